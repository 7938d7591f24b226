"""
Send a streaming response under ASGI.

Theory of operation. A sync iterator stays on the request thread. A job there, a *fill*, takes items from it and
hands each to the loop at once, until the loop is far enough behind; then it ends, so that other jobs of the request
get their turn. All fills run in one context, one after the other; what closes the response comes behind them, and
closes the iterator in that context.
An async iterator runs on the loop, as in stock Django; one that never waits gives the loop a turn now and then. A
plain file is left to a server that offers to send it.

Guarantees: messages as stock Django sends them; each item is sent when it exists; no more than 64 KiB, or one item,
is taken before it can be sent; the iterator is advanced and closed on one thread, never by two jobs at a time.

Source: Django 6.1, ``ASGIHandler.send_response`` and ``StreamingHttpResponse.__aiter__``, which reads a sync
iterator to its end first.
"""

from __future__ import annotations

import asyncio
import contextvars
import io
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import FileResponse, StreamingHttpResponse

from onehop._django import raw_iterator, rehome, rehomed
from onehop.run.hop import hop_to_thread

AHEAD_BYTES = 2**16
FILL_S = 0.05
TURN_S = 0.01
PATHSEND = "http.response.pathsend"


async def send_stream(handler: Any, response: Any, scope: Any, send: Any) -> None:
    """
    Send a response whose ``streaming`` is True with the handler's ``send_response``.

    Args:
        handler: Django's ASGI handler.
        response: The response; a sync iterator in it is replaced by an async one.
        scope: The request's ASGI scope.
        send: ASGI send callable.
    """
    __traceback_hide__ = True
    if type(response).__aiter__ is not StreamingHttpResponse.__aiter__:
        await handler.send_response(response, _in_turns(send))
    elif response.is_async:
        await _send_async(handler, response, send)
    elif path := await _plain_file(response, scope):
        response.streaming_content = _nothing()
        await handler.send_response(response, _with_path(path, send))
    else:
        stream = Stream(response.streaming_content)
        response.streaming_content = stream.items()
        try:
            await handler.send_response(response, send)
        except IteratorFailed:
            pass
        finally:
            stream.stop(response._resource_closers)
        if stream.error is not None:
            raise stream.error


async def _send_async(handler: Any, response: Any, send: Any) -> None:
    """Send from an async iterator, and close it: stock Django leaves that to the garbage collector."""
    iterator = raw_iterator(response)
    try:
        await handler.send_response(response, _in_turns(send))
    finally:
        if hasattr(iterator, "aclose"):
            try:
                await iterator.aclose()
            except Exception as error:
                asyncio.get_running_loop().call_exception_handler(
                    {"message": f"{iterator!r} raised while it was closed", "exception": error, "asyncgen": iterator}
                )


def _in_turns(send: Any) -> Any:
    """
    Return a send callable that gives the loop a turn now and then.

    Neither an async iterator nor ``send`` has to wait for anything. Without a turn the loop would stand still, and
    nobody would hear that the client has gone.
    """
    until = time.monotonic() + TURN_S

    async def send_in_turns(message: Any) -> None:
        nonlocal until
        await send(message)
        if message.get("more_body") and time.monotonic() > until:
            await asyncio.sleep(0)
            until = time.monotonic() + TURN_S

    return send_in_turns


class IteratorFailed(Exception):
    """A sync iterator has raised something. Django's own code takes a ``TypeError`` for a sign of its own."""


class Stream:
    """
    A sync iterator on the request thread, and its items on the loop.

    Attributes:
        error: What the iterator raised; None if it did not.
    """

    def __init__(self, iterator: Iterator[bytes]) -> None:
        self._iterator = iterator
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self._fill_on_thread = sync_to_async(self._fill, thread_sensitive=True, context=self._context)
        self._made: deque[bytes] = deque()
        self._bytes_made = self._bytes_taken = 0
        self._filling: asyncio.Future[None] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.error: BaseException | None = None
        self._ended = self._stopped = False

    async def items(self) -> AsyncIterator[bytes]:
        """
        Return the items, in order, each as soon as it exists.

        Runs on: the loop. Cost: one hop for each 64 KiB, each larger item, or each 50 ms of the iterator's work.

        Raises:
            IteratorFailed: After the items before it. ``error`` holds what the iterator raised.
        """
        while True:
            ended = self._ended  # Before the last items are taken: the thread adds them first.
            while self._made:
                item = self._made.popleft()
                self._bytes_taken += len(item)
                self._fill_if_behind()
                yield item
            if ended:
                break
            self._fill_if_behind()
            await self._arrival()
        rehome(self._context)
        if self.error is not None:
            raise IteratorFailed

    def stop(self, closers: list[Any]) -> None:
        """
        Take no further item from the iterator. One that is being made is still finished.

        Args:
            closers: Those of the response. What was iterated is closed in the context that it was advanced in.
        """
        self._stopped = True
        if not self._ended:
            for index, closer in enumerate(closers):
                if hasattr(getattr(closer, "__self__", None), "__next__"):
                    closers[index] = partial(self._close, closer)

    def _close(self, closer: Callable[[], None]) -> None:
        try:
            self._context.run(rehomed, self._context, closer)
        finally:
            rehome(self._context)

    def _fill_if_behind(self) -> None:
        behind = self._bytes_made - self._bytes_taken <= AHEAD_BYTES // 2
        if behind and self._filling is None and not self._ended:
            self._filling = asyncio.ensure_future(self._begin())
            _fills.add(self._filling)
            self._filling.add_done_callback(self._filled)

    async def _begin(self) -> None:
        if not self._stopped:  # else the request may have given its thread back
            await self._fill_on_thread()

    def _filled(self, filling: asyncio.Future[None]) -> None:
        _fills.discard(filling)
        self._filling = None
        if filling.cancelled():
            self.error, self._ended = asyncio.CancelledError(), True
        elif error := filling.exception():  # what asgiref raises: there is no thread
            self.error, self._ended = error, True
        self._wake()

    async def _arrival(self) -> None:
        """Wait for an item, or for the end of a fill."""
        self._waiter = self._loop.create_future()
        try:
            if not (self._made or self._ended):
                await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fill(self) -> None:
        """Take items from the iterator. Runs on: the request thread."""
        until = time.monotonic() + FILL_S
        try:
            while not self._stopped:
                item = next(self._iterator, None)
                if item is None:
                    self._ended = True
                    return
                self._made.append(item)
                self._bytes_made += len(item)
                if self._waiter is not None:
                    self._loop.call_soon_threadsafe(self._wake)
                if self._bytes_made - self._bytes_taken >= AHEAD_BYTES or time.monotonic() > until:
                    return
        except BaseException as error:
            self.error, self._ended = error, True


_fills: set[asyncio.Future[None]] = set()


async def _plain_file(response: Any, scope: Any) -> str | None:
    """Return the path of the file that a response consists of, if the server offers to send it."""
    if PATHSEND not in (scope.get("extensions") or ()) or type(response) is not FileResponse:
        return None
    file = response.file_to_stream
    if type(file) is not io.BufferedReader or type(file.raw) is not io.FileIO or not isinstance(file.name, str):
        return None
    for closer in response._resource_closers:
        if closer != file.close and getattr(closer, "__func__", None) is not ASGIRequest.close:
            return None
    path: str | None = await hop_to_thread(_whole_file, file, response)
    return path


def _whole_file(file: io.BufferedReader, response: Any) -> str | None:
    """Return a file's path, if that still leads to it and nothing of it was read."""
    try:
        path = os.path.abspath(file.name)
        opened, found = os.fstat(file.fileno()), os.stat(path)
    except (OSError, ValueError):
        return None
    whole = file.tell() == 0 and response.headers.get("Content-Length") == str(found.st_size)
    return path if whole and os.path.samestat(opened, found) else None


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""


def _with_path(path: str, send: Any) -> Any:
    """Return a send callable that sends a path in the place of the body."""

    async def send_path(message: Any) -> None:
        if message["type"] == "http.response.body":
            message = {"type": PATHSEND, "path": path}
        await send(message)

    return send_path
