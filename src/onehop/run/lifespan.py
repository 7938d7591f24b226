"""
Enter ``ONEHOP["LIFESPAN"]`` before the first request of a loop, and leave it at the end.

Theory of operation. A server that speaks the lifespan protocol says when. For any other (daphne, test clients, WSGI)
the first request of a loop starts a task that enters the context manager, waits, and leaves it: when the loop
cancels its last tasks, or at exit. Entering and leaving happen in one task, as cancel scopes demand.

Guarantees: entered once per loop, however many requests come first; no request begins before it is entered.

Source: ASGI, specs/lifespan.
"""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import logging
import os
import threading
import traceback
from collections.abc import AsyncIterator, Callable, Mapping, MutableMapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

from onehop.conf import find_lifespan, load_options
from onehop.errors import ConfigError, OnehopError
from onehop.run.threads import DRAIN_AT_EXIT_S, pool

logger = logging.getLogger("onehop")

Factory = Callable[[], AbstractAsyncContextManager[Mapping[str, Any] | None]]
State = Mapping[str, Any]
Loop = asyncio.AbstractEventLoop

LEAVE_AT_EXIT_S = 5.0
ENVIRON_KEY = "onehop.state"


def lifespan_state(request: Any) -> MutableMapping[str, Any]:
    """
    Return what the context manager in ``ONEHOP["LIFESPAN"]`` has yielded, for a request under ASGI or WSGI.

    Returns:
        The request's own shallow copy. Empty when nothing was yielded.

    Raises:
        OnehopError: The request was not made by a handler that has a lifespan.
    """
    state = request.scope.get("state") if hasattr(request, "scope") else request.META.get(ENVIRON_KEY)
    if state is None:
        raise OnehopError(
            "This request has no lifespan state. Set ONEHOP['LIFESPAN'], and serve the project through onehop.asgi or "
            "onehop.wsgi; a request that a test has made itself is given one with request.scope['state'] = {...}, or "
            f"request.META[{ENVIRON_KEY!r}] under WSGI."
        )
    return state  # type: ignore[no-any-return]


@cache
def lifespan_at(path: str | None) -> Lifespan:
    """
    Return the lifespan for the value of ``ONEHOP["LIFESPAN"]``: one in each process, whatever handlers there are.

    Raises:
        ConfigError: The path leads to no function that returns an async context manager.
    """
    return Lifespan(find_lifespan(path))


class Lifespan:
    """
    The lifespan of a project, on each loop that serves it.

    Args:
        factory: Returns the async context manager to enter. None: there is nothing to enter.

    Attributes:
        is_empty: True when there is nothing to enter: then nothing has to be prepared.
    """

    def __init__(self, factory: Factory | None) -> None:
        self.is_empty = factory is None
        self._factory = factory
        self._states: WeakKeyDictionary[Loop, State] = WeakKeyDictionary()
        self._holders: WeakKeyDictionary[Loop, Holder] = WeakKeyDictionary()

    async def speak(self, scope: Any, receive: Any, send: Any) -> None:
        """
        Answer a server that speaks the lifespan protocol.

        An error at startup or shutdown is sent to the server with its traceback; the server ends, or logs it.
        """
        phase = "startup"
        await receive()
        loop = asyncio.get_running_loop()
        try:
            async with self._entered() as state:
                self._states[loop] = state
                if "state" in scope:
                    scope["state"].update(state)
                await send({"type": "lifespan.startup.complete"})
                await receive()
                phase = "shutdown"
                await loop.run_in_executor(None, pool.drain, DRAIN_AT_EXIT_S)
                self._states.pop(loop, None)
        except (Exception, SystemExit):
            await send({"type": f"lifespan.{phase}.failed", "message": traceback.format_exc()})
        else:
            await send({"type": "lifespan.shutdown.complete"})

    async def prepare(self, scope: Any) -> None:
        """
        Give a request its state, and enter the context manager first if that has not been done on this loop.

        Raises:
            What entering raises. The next request tries again.
        """
        state = self._states.get(asyncio.get_running_loop())
        if state is None:
            state = await self._hold()
        _add(state, scope, "state")

    def prepare_on(self, loop: Loop, environ: dict[str, Any]) -> None:
        """
        Do the same for a WSGI request, whose async code runs on a loop of another thread.

        Runs on: any thread but the loop's. Cost: the first time, waiting for the context manager.
        """
        state = self._states.get(loop)
        if state is None:
            state = asyncio.run_coroutine_threadsafe(self._hold(), loop).result()
        _add(state, environ, ENVIRON_KEY)

    def _entered(self) -> AbstractAsyncContextManager[State]:
        return nullcontext({}) if self._factory is None else _checked(self._factory)

    async def _hold(self) -> State:
        loop = asyncio.get_running_loop()
        holder = self._holders.get(loop)
        if holder is None:
            holder = self._holders[loop] = Holder(self._entered(), loop, self._forget)
        state = self._states[loop] = await asyncio.shield(holder.started)
        return state

    def _forget(self, loop: Loop) -> None:
        self._holders.pop(loop, None)
        self._states.pop(loop, None)


def _add(state: State, request: MutableMapping[str, Any], key: str) -> None:
    """Add a state to that of a request. What is there already stays: a test or the server has put it there."""
    held = request.setdefault(key, {})
    for name, value in state.items():
        held.setdefault(name, value)


def under_lifespan(application: Any) -> Any:
    """Return an ASGI application that serves inside ``ONEHOP["LIFESPAN"]``; the same when there is none."""
    lifespan = lifespan_at(load_options().lifespan)
    if lifespan.is_empty:
        return application

    async def application_in_lifespan(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await lifespan.speak(scope, receive, send)
            return
        await lifespan.prepare(scope)
        await application(scope, receive, send)

    return application_in_lifespan


@asynccontextmanager
async def _checked(factory: Factory) -> AsyncIterator[State]:
    async with factory() as state:
        if state is not None and not isinstance(state, Mapping):
            raise ConfigError(
                f"The context manager in ONEHOP['LIFESPAN'] yielded {state!r}. Yield a dictionary, or nothing."
            )
        yield state or {}


class Holder:
    """
    A task that has entered a context manager and will leave it.

    Args:
        manager: The context manager.
        loop: The running loop.
        ended: Called with the loop when the context manager is left, or could not be entered.

    Attributes:
        started: Its state, once it is entered; or the error.
    """

    def __init__(self, manager: AbstractAsyncContextManager[State], loop: Loop, ended: Callable[[Loop], None]) -> None:
        self.started: asyncio.Future[State] = loop.create_future()
        self.started.add_done_callback(lambda started: started.cancelled() or started.exception())
        self._loop = loop
        self._ended = ended
        self._end = asyncio.Event()
        _holders.add(self)
        self._task = loop.create_task(self._run(manager), context=contextvars.Context())

    async def _run(self, manager: AbstractAsyncContextManager[State]) -> None:
        try:
            async with manager as state:
                self.started.set_result(state)
                try:
                    await self._end.wait()
                except asyncio.CancelledError:
                    pass  # The loop ends: the context manager is left as at any other end.
        except (Exception, SystemExit) as error:
            if self.started.done():
                logger.exception("ONEHOP['LIFESPAN'] failed when it was left.")
            else:
                self.started.set_exception(error)
        finally:
            _holders.discard(self)
            self._ended(self._loop)
            if not self.started.done():
                self.started.set_exception(OnehopError("ONEHOP['LIFESPAN'] was cancelled before it was entered."))

    async def leave(self) -> None:
        """Leave the context manager, for at most ``LEAVE_AT_EXIT_S`` seconds. Runs on: the loop."""
        self._end.set()
        await asyncio.wait([self._task], timeout=LEAVE_AT_EXIT_S)

    def leave_at_exit(self) -> None:
        """Leave the context manager, if its loop still can."""
        if self._loop.is_running():
            asyncio.run_coroutine_threadsafe(self.leave(), self._loop).result(LEAVE_AT_EXIT_S)
        elif not self._loop.is_closed():
            self._loop.run_until_complete(self.leave())


_holders: set[Holder] = set()


def _leave_all() -> None:
    for holder in list(_holders):
        try:
            holder.leave_at_exit()
        except Exception:
            logger.exception("ONEHOP['LIFESPAN'] was not left in time.")


# Before executors end, and before any atexit callback: leaving may need threads, and the loop of WSGI requests.
getattr(threading, "_register_atexit", atexit.register)(_leave_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_holders.clear)
