"""
Answer a request under ASGI: open it, have it answered, send the response, close it.

``serve`` does what Django's ``ASGIHandler.handle`` does, with Django's own methods. Everything blocking finds one
thread, through the lease that ``Closing`` registers; a request that never hops starts none.

Source: Django 6.1, ``ASGIHandler.handle`` in core/handlers/asgi.py.
"""

from __future__ import annotations

from typing import Any

from django.core import signals
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import get_script_prefix
from django.http import HttpResponse
from django.urls import set_script_prefix

from onehop.errors import NoRequestThread
from onehop.run.body import read_body
from onehop.run.closing import Closing
from onehop.run.disconnect import until_disconnect
from onehop.run.signals import asend, is_idle
from onehop.run.stream import send_stream


async def serve(handler: Any, sender: type, scope: Any, receive: Any, send: Any) -> None:
    """
    Answer one HTTP request.

    Args:
        handler: Django's ASGI handler.
        sender: The class in whose name ``request_started`` and ``request_finished`` are sent.
        scope: ASGI scope of type ``http``.
        receive: ASGI receive callable.
        send: ASGI send callable.
    """
    __traceback_hide__ = True
    closing = Closing(sender)
    try:
        try:
            closing.body_file = await read_body(handler, receive)
            set_script_prefix(get_script_prefix(scope))
            if not is_idle(signals.request_started):
                await asend(signals.request_started, sender, scope=scope)
        except NoRequestThread as error:
            await _refuse(handler, closing, error, send)
            return
        closing.request, closing.response = handler.create_request(scope, closing.body_file)
        request = closing.request
        if request is None:
            await handler.send_response(closing.response, send)
        else:
            work = _respond(handler, closing, request, send)
            await until_disconnect(work, handler.listen_for_disconnect, receive)
    except RequestAborted:
        closing.aborted = True
    except BaseException as error:
        closing.aborted = True
        closing.detached = not isinstance(error, Exception)
        raise
    finally:
        waiting = closing.close()
        if waiting is not None:
            await waiting


async def _respond(handler: Any, closing: Closing, request: Any, send: Any) -> None:
    __traceback_hide__ = True
    try:
        response = await handler.run_get_response(request)
    except NoRequestThread as error:
        await _refuse(handler, closing, error, send)
        return
    response._handler_class = closing.sender
    closing.response = response
    if response.streaming:
        await send_stream(handler, response, request.scope, send)
    else:
        await handler.send_response(response, send)


async def _refuse(handler: Any, closing: Closing, error: NoRequestThread, send: Any) -> None:
    """Answer that no thread came free, and close with that answer what was made so far."""
    response = HttpResponse(f"{error}\n", status=503, content_type="text/plain")
    response._resource_closers += getattr(closing.orphan, "_resource_closers", [])
    closing.take(response)
    await handler.send_response(response, send)
