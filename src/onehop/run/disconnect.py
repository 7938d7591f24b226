"""
Answer a request while listening for the client's disconnect.

The listener is a task, and a task costs as much as a small request. It could run only when the request's own
task first waits for something, so only then is it made: a request that never waits never has one.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any


@types.coroutine
def until_disconnect(
    work: Coroutine[Any, Any, Any],
    listen: Callable[[Any], Coroutine[Any, Any, None]],
    receive: Callable[[], Awaitable[Any]],
) -> Generator[Any, Any, Any]:
    """
    Await a coroutine, and cancel it once when ``listen(receive)`` raises.

    Runs on: the loop. Cost: one task, if the coroutine waits for anything.

    Raises:
        What the coroutine raises; else, after a disconnect, what the listener raised.

    Source: Django 6.1, ``ASGIHandler.handle`` in core/handlers/asgi.py (a task group with the listener in it).
    """
    try:
        waits_for = work.send(None)
    except StopIteration as end:
        return end.value
    return (yield from Listening(listen(receive)).drive(work, waits_for))


class Listening:
    """A listener beside the coroutine that the current task awaits."""

    def __init__(self, listener: Coroutine[Any, Any, None]) -> None:
        self._cause: BaseException | None = None
        self._task = asyncio.current_task()
        self._listener = asyncio.create_task(listener)
        self._listener.add_done_callback(self._disconnected)

    def drive(self, work: Coroutine[Any, Any, Any], waits_for: Any) -> Generator[Any, Any, Any]:
        """Go on with a coroutine that waits for something."""
        value: Any = None
        try:
            while True:
                go_on, value = work.send, None
                try:
                    value = yield waits_for
                except BaseException as error:
                    go_on, value = work.throw, error
                waits_for = go_on(value)  # outside that block, or all of work's code would be handling the error
        except StopIteration as end:
            result = end.value
        except asyncio.CancelledError:
            if self._uncancelled():
                raise self._cause from None  # type: ignore[misc]
            raise
        finally:
            value = None  # the traceback of an error holds this frame
            self._task = None
            self._listener.cancel()
        if self._uncancelled():
            raise self._cause  # type: ignore[misc]
        return result

    def _disconnected(self, listener: asyncio.Task[None]) -> None:
        """Cancel the request's task; called by the loop when the listener has ended."""
        if listener.cancelled():
            return
        error = listener.exception()
        if error is not None and self._task is not None:
            self._cause = error
            self._task.cancel()

    def _uncancelled(self) -> bool:
        """Take back our own cancellation. False when there was none, or when somebody else cancelled too."""
        if self._cause is None:
            return False
        task = asyncio.current_task()
        return task is None or task.uncancel() == 0
