"""
Open and close a request under ASGI.

Theory of operation. ``serve`` does what Django's ``ASGIHandler.handle`` does, with Django's own methods. It
registers a lease for a thread-sensitive context, so that everything blocking finds one thread, and closes exactly
once, whatever ended the request. Closing waits for nobody when all that closes is Django's own:
on the loop if nothing was opened on a thread, else as a *post* behind the last job of the request thread.

Guarantees: one ``request_finished`` and at most one ``response.close()`` per request; the body file is open as
long as a job may read it; a request that never hops starts no thread.

Source: Django 6.1, ``ASGIHandler.handle`` in core/handlers/asgi.py.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine
from typing import Any

from django.core import signals
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIRequest, get_script_prefix
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.urls import set_script_prefix

from onehop._django import (
    ThreadSensitiveContext,
    asgiref_thread_local,
    executors_by_context,
    is_nested,
    rehome,
    thread_sensitive_context,
)
from onehop.errors import NoRequestThread
from onehop.run.disconnect import until_disconnect
from onehop.run.hop import hop_to_thread
from onehop.run.lease import Lease
from onehop.run.runners import fate_of_request
from onehop.run.signals import Work, asend, forget_urlconf, is_idle, nobody_watches, work_of


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
        closing.body_file = await handler.read_body(receive)
        set_script_prefix(get_script_prefix(scope))
        if not is_idle(signals.request_started):
            try:
                await asend(signals.request_started, sender, scope=scope)
            except NoRequestThread as error:
                await _refuse(handler, closing, error, send)
                return
        request, closing.response = handler.create_request(scope, closing.body_file)
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
    await handler.send_response(response, send)


async def _refuse(handler: Any, closing: Closing, error: NoRequestThread, send: Any) -> None:
    """Answer that no thread came free."""
    closing.response = HttpResponse(f"{error}\n", status=503, content_type="text/plain")
    closing.response._handler_class = closing.sender
    await handler.send_response(closing.response, send)


class Closing:
    """
    All that has to be closed at the end of one request, and the lease of its thread.

    Attributes:
        sender: The class in whose name ``request_finished`` is sent.
        body_file: The request's body. None as long as it was not read: then nothing was opened.
        response: The response to close; None as long as there is none.
        aborted: True once the request was aborted; code on the request thread looks at it.
        orphan: A response that was made, also when the request was aborted before it could be sent.
        detached: True when nobody may wait for the closing: the server has cancelled the request's task.
    """

    body_file: Any = None
    response: Any = None
    aborted = False
    orphan: Any = None
    detached = False
    _finished = False
    _lease: Lease | None = None
    _entered: contextvars.Token[ThreadSensitiveContext] | None = None

    def __init__(self, sender: type) -> None:
        self.sender = sender
        self._outer_fate = fate_of_request.get()
        fate_of_request.set(self)
        context = thread_sensitive_context.get(None)
        if context is None:
            context = ThreadSensitiveContext()
            self._entered = thread_sensitive_context.set(context)
        self._context = context
        if not is_nested():
            lease = Lease()
            if executors_by_context.setdefault(context, lease) is lease:
                self._lease = lease

    def close(self) -> Coroutine[Any, Any, None] | None:
        """
        Close response and body and send ``request_finished``, each once.

        Runs on: the loop. Cost: nothing that waits, unless a receiver or closer is not Django's own (one hop).

        Returns:
            What has to be awaited; None when there is nothing.
        """
        if fate_of_request.get() is not self:  # The garbage collector closes it, in the context of somebody else.
            return contextvars.copy_context().run(self._close)
        return self._close()

    def _close(self) -> Coroutine[Any, Any, None] | None:
        waiting = None
        try:
            if self.body_file is not None:
                lease = self._lease
                if lease is not None:
                    lease.is_urgent = True
                work = self._work()
                if lease is None or (work is Work.FOREIGN and not self.detached):
                    waiting = self._wait()
                elif work is Work.NONE and not lease.has_thread and not getattr(self.body_file, "_rolled", True):
                    self._finish_silently() if nobody_watches(signals.request_finished) else self._finish()
                else:
                    self._post()
        finally:
            if waiting is None:
                self._leave()
        return waiting

    def _leave(self) -> None:
        """Give back what was taken at the start."""
        if fate_of_request.get() is self:
            fate_of_request.set(self._outer_fate)
        if self._lease is not None:
            executors_by_context.pop(self._context, None)
            self._lease.end()
        if self._entered is not None:
            try:
                thread_sensitive_context.reset(self._entered)
            except ValueError:
                pass  # closed by the garbage collector

    def _work(self) -> Work:
        """Tell what closers and receivers have to do."""
        files = False
        if self.response is not None:
            if type(self.response).close is not HttpResponseBase.close or "close" in self.response.__dict__:
                return Work.FOREIGN
            for closer in self.response._resource_closers:
                if getattr(closer, "__func__", None) is not ASGIRequest.close:
                    return Work.FOREIGN
                files = files or bool(getattr(closer.__self__, "_files", None))
        work = work_of(signals.request_finished)
        return Work.DJANGOS if files and work is Work.NONE else work

    async def _wait(self) -> None:
        try:
            if self.detached:  # Somebody else's thread-sensitive context: nothing of ours could outlive the task.
                task = asyncio.ensure_future(hop_to_thread(self._finish))
                _detached.add(task)
                task.add_done_callback(_detached.discard)
                return
            try:
                await hop_to_thread(self._finish)
            except asyncio.CancelledError:
                if self._lease is not None:
                    self._post()  # The job may have been cancelled before it began; it does nothing twice.
                raise
        finally:
            self._leave()

    def _post(self) -> None:
        function = _finish_alone if self.detached else _in_context
        self._lease.post(function, contextvars.copy_context(), self._finish)  # type: ignore[union-attr]

    def _finish(self) -> None:
        if self._finished:
            return
        self._finished = True
        response = self.response
        if response is None and isinstance(self.orphan, HttpResponseBase):
            response = self.orphan
            response._handler_class = self.sender
        try:
            if response is not None:
                response.close()
            else:
                signals.request_finished.send(sender=self.sender)
        finally:
            self.body_file.close()

    def _finish_silently(self) -> None:
        """
        Close where no receiver has work, without the machinery of sending a signal to them.

        Source: Django 5.2-6.1, ``HttpResponseBase.close`` in http/response.py.
        """
        self._finished = True
        response = self.response
        if response is not None:
            for closer in response._resource_closers:
                try:
                    closer()
                except Exception:
                    pass
            response._resource_closers.clear()
            response.closed = True
        forget_urlconf(signals.request_finished, self.sender)
        self.body_file.close()


def _finish_alone(context: contextvars.Context, function: Any) -> None:
    """Let async receivers run on a loop of their own: that of the request may never run again."""
    asgiref_thread_local.__dict__.pop("main_event_loop", None)
    _in_context(context, function)


def _in_context(context: contextvars.Context, function: Any) -> None:
    context.run(_rehomed, context, function)


def _rehomed(context: contextvars.Context, function: Any) -> None:
    rehome(context)
    function()


_detached: set[asyncio.Future[Any]] = set()
