"""
Answer a request while listening for the client's disconnect.

The listener is a task, and a task costs as much as a small request. It could run only when the request's own
task first waits for something, so only then is it made: a request that never waits never has one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import Any


class UntilDisconnect:
    """
    Await a coroutine, and cancel it once when the listener raises.

    Runs on: the loop. Cost: one task, if the coroutine waits for anything.

    Raises:
        What the coroutine raises; else, after a disconnect, what the listener raised.

    Source: Django 6.1, ``ASGIHandler.handle`` in core/handlers/asgi.py (a task group with the listener in it).
    """

    __slots__ = ("_cause", "_listen", "_task", "_work")

    def __init__(self, work: Coroutine[Any, Any, Any], listen: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._work = work
        self._listen = listen
        self._cause: BaseException | None = None
        self._task: asyncio.Task[Any] | None = None

    def __await__(self) -> Generator[Any, Any, Any]:
        work = self._work
        try:
            waits_for = work.send(None)
        except StopIteration as end:
            return end.value
        self._task = asyncio.current_task()
        listener = asyncio.create_task(self._listen())
        listener.add_done_callback(self._disconnected)
        try:
            while True:
                try:
                    sent = yield waits_for
                except BaseException as error:
                    waits_for = work.throw(error)
                else:
                    waits_for = work.send(sent)
        except StopIteration as end:
            result = end.value
        except asyncio.CancelledError:
            if self._uncancelled():
                raise self._cause from None  # type: ignore[misc]
            raise
        finally:
            self._task = None
            listener.cancel()
        if self._uncancelled():
            raise self._cause  # type: ignore[misc]
        return result

    def _disconnected(self, listener: asyncio.Task[None]) -> None:
        """Cancel the request's task; called by the loop when the listener has ended."""
        if listener.cancelled():
            return
        error = listener.exception()
        if self._task is not None:
            self._cause = error
            self._task.cancel()

    def _uncancelled(self) -> bool:
        """Take back our own cancellation. False when there was none, or when somebody else cancelled too."""
        if self._cause is None:
            return False
        task = asyncio.current_task()
        return task is None or task.uncancel() == 0
