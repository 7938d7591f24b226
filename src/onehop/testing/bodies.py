"""The bodies of a response, as a test reads them: all at once, or while they arrive."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import weakref
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

from asgiref.sync import async_to_sync, sync_to_async
from greenlet import GreenletExit, getcurrent, greenlet

from onehop.testing.exchange import Exchange
from onehop.testing.watching import not_counted


class Bodies:
    """The bodies of a response that has arrived as a whole: an iterator, sync and async."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        while not self.exchange.arrived:
            if not self.go_on():
                raise StopIteration
        return self.exchange.arrived.popleft()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not self.exchange.arrived:
            if not await self.ago_on():
                raise StopAsyncIteration
        return self.exchange.arrived.popleft()

    def go_on(self, hang_up: bool = False) -> bool:
        """Let the application run until its next message; return False if it has returned before."""
        return False

    async def ago_on(self, hang_up: bool = False) -> bool:
        """Do the same as ``go_on`` in a coroutine."""
        return False

    def close(self) -> None:
        """Hang up, and wait until the application has returned."""
        while self.go_on(hang_up=True):
            pass

    async def aclose(self) -> None:
        """Do the same as ``close`` in a coroutine."""
        while await self.ago_on(hang_up=True):
            pass


class Stream(Bodies):
    """
    The bodies of a response that is still arriving at a ``HopClient``.

    When it is thrown away, the client hangs up: the greenlet is told to exit, and nothing but this object keeps it.
    """

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange)
        exchange.hand_over = switch_on_thread
        self._greenlet = greenlet(partial(run_exchange, exchange))
        self._greenlet.gr_context = contextvars.copy_context()
        _streams.add(self)

    def go_on(self, hang_up: bool = False) -> bool:
        """Let the application run until its next message; return False if it has returned before."""
        if self._greenlet.dead:
            return False
        self._greenlet.parent = getcurrent()
        self._greenlet.switch(hang_up)
        return True


_streams: weakref.WeakSet[Stream] = weakref.WeakSet()


def _leave_all() -> None:
    """Hang up where a test did not, because it failed: the interpreter waits for the loops' threads at its end."""
    for stream in list(_streams):
        try:
            stream.close()
        except Exception:
            pass


threading._register_atexit(_leave_all)  # type: ignore[attr-defined]  # atexit comes after that wait


def run_exchange(exchange: Exchange, _hang_up: bool = False) -> None:
    async_to_sync(exchange.run, force_new_loop=True)()


def _switch() -> bool:
    """Let the test go on; return, when it wants more, whether it hangs up. Runs on: the test's thread."""
    try:
        return getcurrent().parent.switch()  # type: ignore[no-any-return]
    except GreenletExit:
        return True


switch_on_thread = sync_to_async(_switch)
not_counted.append(switch_on_thread)


class AsyncStream(Bodies):
    """The bodies of a response that is still arriving at an ``AsyncHopClient``."""

    _task: asyncio.Task[None] | None = None
    _turn: asyncio.Future[bool] | None = None
    _arrival: asyncio.Future[None] | None = None

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange)
        exchange.hand_over = self._hand_over

    def go_on(self, hang_up: bool = False) -> bool:
        """Refuse: the application runs on this very loop."""
        raise TypeError(
            "A response that is still arriving at an AsyncHopClient is read with 'async for' and left with 'aclose'."
        )

    async def ago_on(self, hang_up: bool = False) -> bool:
        """Let the application run until its next message; return False if it has returned before."""
        if self._task is not None and self._task.done():
            return False
        arrival = self._arrival = asyncio.get_running_loop().create_future()
        if self._task is None:
            self._task = asyncio.create_task(self.exchange.run())
            self._task.add_done_callback(self._arrived)
        elif self._turn is not None and not self._turn.done():
            self._turn.set_result(hang_up)
        elif hang_up:
            self.exchange.hang_up()
        await arrival
        if self._task.done():
            self._task.result()
        return True

    async def _hand_over(self) -> bool:
        self._turn = asyncio.get_running_loop().create_future()
        self._arrived()
        return await self._turn

    def _arrived(self, *_: Any) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    def cancel(self) -> None:
        """Cancel the application."""
        if self._task is not None:
            self._task.cancel()
