"""
The one event loop on which all WSGI requests of a process run their async code.

Theory of operation. asgiref's ``async_to_sync`` hands its coroutine to the loop that a ``threading.local`` names, and
then runs on its own thread the blocking calls that come back, until the coroutine has a result. During a WSGI request
``background`` is what it finds there. It starts the coroutine as the root of a *family*, the root task and every task
made inside it, and returns when the family is over: left-over tasks cancelled, async generators closed, jobs of the
default executor done. That is what the end of ``asyncio.run`` does in stock Django, where each such call has a loop.

Guarantees: what leaves a task as ``SystemExit`` or ``KeyboardInterrupt`` is raised in its own request, and nobody else
notices; a loop that cannot go on fails the requests it had, and the next request gets a new one; no thread of the
default executor serves two families; nothing of a request is kept after its end.
"""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from onehop._django import AsyncToSync, asgiref_thread_local
from onehop.run.supervised import SupervisedLoop, family_token

DRAIN_AT_EXIT_S = 10.0
"""How long the interpreter's exit waits for requests that still use the loop."""

Former = tuple[Any, Any, contextvars.Token[object]]
"""The loop, its process and the token that were there before."""


class Background:
    """
    What stands for the loop of this process where ``async_to_sync`` looks for one.

    It starts the loop when it is first needed, in every process.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: SupervisedLoop | None = None
        self._pid = os.getpid()

    @property
    def loop(self) -> SupervisedLoop:
        """The running loop. Raises ``RuntimeError`` when the system can start no thread."""
        loop = self._loop
        if loop is None or loop.lost:
            with self._lock:
                loop = self._loop
                if loop is None or loop.lost:
                    loop = self._loop = SupervisedLoop()
        return loop

    @property
    def asyncio_loop(self) -> asyncio.AbstractEventLoop:
        """The loop on which this thread's ``async_to_sync`` calls run during a request."""
        named = asgiref_thread_local.main_event_loop
        return self.loop.asyncio_loop if named is self else named  # type: ignore[no-any-return]

    def enter(self) -> Former | None:
        """
        Have this thread's ``async_to_sync`` calls run on the background loop.

        Returns:
            What ``leave`` puts back; None, and nothing is changed, when somebody else's live loop is there.
        """
        local = asgiref_thread_local.__dict__
        former, pid = local.get("main_event_loop"), None
        if former is not None:
            pid = local.get("main_event_loop_pid")
            if pid == self._pid and not self._is_ours(former) and not former.is_closed():
                return None
        local["main_event_loop"] = self
        local["main_event_loop_pid"] = self._pid
        return former, pid, family_token.set(object())

    def leave(self, former: Former) -> None:
        """Put back what ``enter`` found."""
        loop, pid, token = former
        local = asgiref_thread_local.__dict__
        if loop is None:
            del local["main_event_loop"], local["main_event_loop_pid"]
        else:
            local["main_event_loop"], local["main_event_loop_pid"] = loop, pid
        family_token.reset(token)

    def create_task(self, work: Coroutine[Any, Any, None]) -> None:
        """Stand for the method that asgiref names to ``call_soon_threadsafe``. Nobody calls it."""
        raise NotImplementedError

    def call_soon_threadsafe(self, _: Callable[..., Any], work: Coroutine[Any, Any, None]) -> None:
        """
        Run asgiref's coroutine as a family, and this thread's blocking calls meanwhile; return when it is over.

        Runs on: the request thread. Cost: two thread switches.

        Raises:
            RuntimeError: No loop can be started; asgiref makes one of its own then.
            LoopLost: The loop broke.
            SystemExit, KeyboardInterrupt: What escaped from a task of the family.

        Source: asgiref 3.13, ``AsyncToSync.__call__``, which waits for the result afterwards: it is there by then, and
        so is the context.
        """
        __traceback_hide__ = True
        executor = AsyncToSync.executors.current
        loop = self.loop
        family = loop.start(work, executor)
        try:
            executor.run_until_future(family.done)
        except BaseException:
            loop.soon(family.abandon)
            raise
        finally:
            asgiref_thread_local.main_event_loop = self  # sync_to_async has named the loop itself
        family.done.result()

    def end(self) -> None:
        """End the loop at the interpreter's exit."""
        if self._loop is not None:
            self._loop.end(DRAIN_AT_EXIT_S)

    def forget(self) -> None:
        """Forget the loop of the parent process: its thread is not here. asgiref's table keeps it from being closed."""
        self.__init__()  # type: ignore[misc]

    def _is_ours(self, loop: Any) -> bool:
        return loop is self or (self._loop is not None and loop is self._loop.asyncio_loop)


background = Background()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=background.forget)
atexit.register(background.end)
