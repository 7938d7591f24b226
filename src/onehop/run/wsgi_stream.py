"""
Serve an async iterator under WSGI, item by item.

Theory of operation. One task on the background loop iterates. The server's thread asks it for an item, and does the
blocking calls that the iterator makes until the item is there. Nothing is read ahead.

Guarantees: the whole iteration, also the closing of its async generators, happens in one task; the iterator is closed
once, before the response's closers run; calls of the server are served one at a time, on whatever thread they come.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

from onehop._django import AsyncToSync, CurrentThreadExecutor, rehome
from onehop.run.background import background
from onehop.run.family import Family, Outcome
from onehop.run.supervised import SupervisedLoop


class Stream(Iterator[bytes]):
    """The body of a streaming response whose iterator is async, as a WSGI server takes it."""

    def __init__(self, response: Any) -> None:
        self._response = response
        self._pump = Pump(response)
        self._lock = threading.Lock()

    def __next__(self) -> bytes:
        """Return the next item, or raise what the iterator raises."""
        with self._lock:
            return self._pump.next()

    def close(self) -> None:
        """End the iteration, then close the response."""
        with self._lock:
            try:
                self._pump.end()
            finally:
                self._response.close()

    def __del__(self) -> None:
        if self._pump.is_running:  # A garbage collection may run on the loop's own thread, which must not wait.
            threading.Thread(target=self._pump.end, daemon=True).start()


class Pump:
    """One iteration over a response's async iterator."""

    _loop: SupervisedLoop
    _family: Family | None = None
    _context: contextvars.Context | None = None
    _closing = False
    _ended = False

    def __init__(self, response: Any) -> None:
        self._response = response
        self._asked: asyncio.Queue[Future[bytes]] = asyncio.Queue()
        self._executor = MovingExecutor()

    @property
    def is_running(self) -> bool:
        """True from the first ``next`` until the end."""
        return self._family is not None and not self._ended

    def next(self) -> bytes:
        """
        Return the next item.

        Runs on: any thread. Cost: two thread switches.
        """
        __traceback_hide__ = True
        if self._ended:
            raise StopIteration
        item: Future[bytes] = Future()
        item.add_done_callback(self._executor.wake)
        try:
            self._run_until(item)
            if item.done():
                return item.result()
        except BaseException:
            self.end()
            raise
        self.end()
        raise StopIteration

    def end(self) -> None:
        """Have the iterator closed, and wait for it. Runs on: any thread but the loop's."""
        family, ended, self._ended = self._family, self._ended, True
        if family is None or ended:
            return
        self._run_until(family.done)
        if self._context is not None:
            former = getattr(AsyncToSync.executors, "current", None)
            rehome(self._context)
            AsyncToSync.executors.current = former
        family.done.result()

    def _run_until(self, future: Future[Any] | Outcome) -> None:
        """Ask for an item, or for the end, and do the iterator's blocking calls until it is there."""
        former = background.enter()
        try:
            if self._family is None:
                self._loop = background.loop
                self._family = self._loop.start(self._iterate(), self._executor)
                self._family.done.add_done_callback(self._executor.wake)
            if self._ended:
                self._loop.soon(self._stop)
            else:
                self._loop.soon(self._asked.put_nowait, future)
            self._executor.run_until(future, self._family.done)
        finally:
            if former is not None:
                background.leave(former)

    def _stop(self) -> None:
        if not self._closing:
            self._family.root.cancel()  # type: ignore[union-attr]

    async def _iterate(self) -> None:
        rehome(contextvars.copy_context())
        AsyncToSync.executors.current = self._executor
        item: Future[bytes] = Future()
        try:
            parts = aiter(self._response.streaming_content)
            while True:
                item = await self._asked.get()
                item.set_result(await anext(parts))
        except BaseException as error:
            self._closing = True
            if not item.done():
                item.set_exception(StopIteration() if isinstance(error, StopAsyncIteration) else error)
        await self._close()

    async def _close(self) -> None:
        """Close the generators in the task that has run them, then keep the context for the server's thread."""
        task = asyncio.current_task()
        while task.cancelling():  # type: ignore[union-attr]
            task.uncancel()  # type: ignore[union-attr]
        family = self._loop.family()
        try:
            await family.close_generators()  # type: ignore[union-attr]
        except BaseException as error:
            family.fail(error)  # type: ignore[union-attr]
        self._context = contextvars.copy_context()


class MovingExecutor(CurrentThreadExecutor):
    """asgiref's executor of a waiting thread, for a thread that waits again and again, or for another each time."""

    def __init__(self) -> None:
        super().__init__(None)

    def run_until(self, *futures: Future[Any] | Outcome) -> None:
        """
        Run on this thread what is submitted, until one of these futures is done and nothing is left to run.

        Each must have been given ``wake`` as a callback.
        """
        self._work_thread = threading.current_thread()
        while True:
            with self._work_ready:
                while not self._work_items and not any(future.done() for future in futures):
                    self._work_ready.wait()
                if not self._work_items:
                    return
                work = self._work_items.popleft()
            work.run()
            del work

    def wake(self, _: Any) -> None:
        """Have the waiting thread look whether it may go on."""
        with self._work_ready:
            self._work_ready.notify()
