"""
Read the body of a request with Django's own ``read_body``, but without its writes to the disk on the loop.

Theory of operation. Django's coroutine is driven by hand: each time it asks for a message, the driver awaits the
server's, and has the coroutine go on with it on the loop, or on the request thread when it is about to write to a
file. Nothing of what it does is known here but that it keeps the body in a ``SpooledTemporaryFile``, and when that
rolls over.

Guarantee: the file is closed if reading fails, or is cancelled, unless the loop itself ends during a write.

Source: Django 5.2-6.1, ``ASGIHandler.read_body`` in core/handlers/asgi.py.
"""

from __future__ import annotations

import asyncio
import inspect
import traceback
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import suppress
from tempfile import SpooledTemporaryFile
from typing import Any

import django
from django.core.handlers.asgi import ASGIHandler

from onehop._django import is_djangos_own, setting
from onehop.run.hop import hop_to_thread

Receive = Callable[[], Awaitable[Any]]

READS_AS_DJANGO = ASGIHandler.read_body if is_djangos_own(ASGIHandler.read_body) else None
DJANGOS_CODE = getattr(READS_AS_DJANGO, "__code__", None)
WRITES_ON_LOOP = django.VERSION < (6, 0)
"""Whether Django writes to a file that has rolled over where its coroutine runs (later: on a pool thread)."""


async def read_body(handler: Any, receive: Receive) -> Any:
    """
    Read a body.

    Runs on: the loop. Cost: nothing for a body that stays in memory. For one that rolls over to a file a hop with the
    message that makes it do so and, on Django 5.2, one with each message after it.

    Returns:
        The body as an open file, at its beginning.

    Raises:
        RequestAborted: The client has gone.
    """
    __traceback_hide__ = True
    if getattr(handler.read_body, "__func__", None) is not READS_AS_DJANGO:
        return await handler.read_body(receive)
    first = await receive()
    limit = setting("FILE_UPLOAD_MAX_MEMORY_SIZE")
    try:
        if not first.get("more_body") and (not limit or len(first.get("body") or b"") <= limit):
            return await handler.read_body(_repeat(first))
        return await _drive(handler.read_body(_ask), receive, first, limit)
    except BaseException as error:
        _close_file(error)
        raise


def _repeat(message: Any) -> Receive:
    async def receive() -> Any:
        return message

    return receive


ASKS = object()


@types.coroutine
def _ask() -> Generator[Any, Any, Any]:
    return (yield ASKS)


@types.coroutine
def _drive(reading: Coroutine[Any, Any, Any], receive: Receive, first: Any, limit: int) -> Generator[Any, Any, Any]:
    """Drive Django's coroutine, from its first question on."""
    size, rolled = 0, False
    message = first
    try:
        waits_for = reading.send(None)
        while True:
            if waits_for is not ASKS:  # Django waits for a write of its own on another thread.
                if asyncio.isfuture(waits_for):
                    yield from _until(waits_for)
                else:
                    yield waits_for
                waits_for = reading.send(None)
                continue
            message = message or (yield from receive().__await__())
            size += len(message.get("body") or b"")
            writes = bool(limit) and size > limit and (WRITES_ON_LOOP or not rolled)
            rolled = rolled or writes
            if writes:
                ended, outcome = yield from _on_thread(reading, message)
                if ended:
                    return outcome
                waits_for = outcome
            else:
                waits_for = reading.send(message)
            message = None
    except StopIteration as end:
        return end.value
    except BaseException:
        _give_up(reading)
        raise


def _on_thread(reading: Coroutine[Any, Any, Any], message: Any) -> Generator[Any, Any, tuple[bool, Any]]:
    """Have a coroutine go on with a message on the request thread. See ``_go_on``."""
    hop: asyncio.Future[tuple[bool, Any]] = asyncio.ensure_future(hop_to_thread(_go_on, reading, message))
    try:
        yield from _until(hop)
    except asyncio.CancelledError:
        if error := hop.exception():
            _close_file(error)
        elif hop.result()[0]:
            hop.result()[1].close()
        raise
    return hop.result()


def _until(write: asyncio.Future[Any]) -> Generator[Any, Any, None]:
    """
    Wait for a write to the file, also when the request is cancelled meanwhile: the file is closed after it.

    A write on the request thread may have to wait for a thread first.

    Raises:
        CancelledError: The request was cancelled, and the write has ended.
    """
    cancelled = False
    while not write.done():
        try:
            yield from asyncio.wait({write}).__await__()
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError


def _give_up(reading: Coroutine[Any, Any, Any]) -> None:
    """Have Django's coroutine close its file, as it does when the client has gone, unless it has ended itself."""
    while inspect.getcoroutinestate(reading) == inspect.CORO_SUSPENDED:
        try:
            reading.send({"type": "http.disconnect"})  # means nothing to one that waits for a write: it asks again
        except StopIteration as end:
            end.value.close()
        except Exception as error:
            _close_file(error)  # The client has gone, or a write has failed.


def _close_file(error: BaseException) -> None:
    """Close the file of Django's coroutine, which has ended with an error: it does so itself on a disconnect only."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code is DJANGOS_CODE:
            for value in frame.f_locals.values():
                if isinstance(value, SpooledTemporaryFile):
                    with suppress(OSError):  # the disk is still full
                        value.close()


def _go_on(reading: Coroutine[Any, Any, Any], message: Any) -> tuple[bool, Any]:
    """Have a coroutine go on with a message; return whether it has ended, and what it returns or waits for."""
    try:
        return False, reading.send(message)
    except StopIteration as end:
        return True, end.value
