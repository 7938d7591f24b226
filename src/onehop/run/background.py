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
import logging
import os
import sys
import threading
import time
import weakref
from asyncio import CancelledError, wrap_future
from collections.abc import AsyncGenerator, Callable, Coroutine
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

from onehop._django import AsyncToSync, asgiref_thread_local, executors_by_loop
from onehop.errors import LoopLost

logger = logging.getLogger("onehop")

MOST_ROUNDS = 10
"""How often tasks that cancelled tasks have started are cancelled in their turn."""
DRAIN_AT_EXIT_S = 10.0
"""How long the interpreter's exit waits for requests that still use the loop."""

_token: contextvars.ContextVar[object] = contextvars.ContextVar("onehop_family")
"""
Stands for a thread's present family in contexts, which may be kept for longer. It is set before asgiref copies the
thread's context, because asgiref writes that copy over whatever the root task's own context holds.
"""


Former = tuple[Any, Any, contextvars.Token[object]]
"""The loop, its process and the token that were there before."""


class Outcome:
    """
    Whether a family is over, and what it failed with: what waiting threads need of a ``Future``, without its locks.

    Settled at most once; a callback that is added meanwhile may be called twice.
    """

    __slots__ = ("_callbacks", "_error", "_is_settled")

    def __init__(self) -> None:
        self._callbacks: list[Callable[[Any], Any]] = []
        self._error: BaseException | None = None
        self._is_settled = False

    def settle(self, error: BaseException | None) -> None:
        """Tell all that wait. Runs on: any thread."""
        if not self._is_settled:
            self._error = error
            self._is_settled = True
            for callback in self._callbacks:
                callback(self)

    def add_done_callback(self, callback: Callable[[Any], Any]) -> None:
        """Have a function called, with this object, at the end; at once if that was before."""
        self._callbacks.append(callback)
        if self._is_settled:
            callback(self)

    def done(self) -> bool:
        """Tell whether the family is over."""
        return self._is_settled

    def result(self) -> None:
        """Raise what the family failed with, if it did."""
        if self._error is not None:
            raise self._error


EAGER: dict[str, Any] = {"eager_start": True} if sys.version_info >= (3, 12) else {}
"""Start the root task in the turn of the loop that makes it."""


class Family:
    """
    A root task and every task made inside it, with their async generators and jobs.

    Runs on: the loop, unless said otherwise.

    Attributes:
        done: Settled when the family is over. It fails with what escaped from a task, or with ``LoopLost``.
        executor: Runs the family's thread-sensitive blocking calls.
        tasks: The tasks that have not ended, without the root.
    """

    root: asyncio.Task[None]
    _ending: asyncio.Task[None]
    _failure: BaseException | None = None
    _generators: weakref.WeakKeyDictionary[AsyncGenerator[Any, Any], None] | None = None
    _pool: ThreadPoolExecutor | None = None

    def __init__(self, loop: SupervisedLoop, executor: Executor, token: object) -> None:
        self.done = Outcome()
        self.executor = executor
        self.tasks: set[asyncio.Task[Any]] = set()
        self._token = token
        self._loop = loop
        self._jobs: set[Future[Any]] = set()

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Start the root task, in the context of the thread that asked for it."""
        asyncio.Task(self._live(work), loop=self._loop.asyncio_loop, **EAGER)

    def abandon(self) -> None:
        """Cancel the work of a thread that does not wait any more."""
        self.root.cancel()
        self._settle()

    def fail(self, error: BaseException) -> None:
        """End the family because of what has escaped from one of its tasks."""
        self._failure = error
        self.root.cancel()

    def lose(self) -> None:
        """Fail because the loop cannot go on. Runs on: any thread."""
        self._failure = LoopLost("The background loop broke while this request was using it. The log says why.")
        self._settle()

    def add_task(self, task: asyncio.Task[Any]) -> None:
        """Note a task, which is cancelled when the root has ended."""
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def add_generator(self, generator: AsyncGenerator[Any, Any]) -> None:
        """Note an async generator that begins, which is closed when the root has ended."""
        if self._generators is None:
            self._generators = weakref.WeakKeyDictionary()
        self._generators[generator] = None

    def submit(self, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Future[Any]:
        """Run a function on a thread of this family's own, as the default executor of a loop of its own would."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(thread_name_prefix="onehop-asyncio")
        job = self._pool.submit(function, *arguments, **keywords)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        return job

    async def close_generators(self) -> None:
        """Close the async generators that have begun and not ended, in this task, the outer ones first."""
        generators, self._generators = list(self._generators or ()), None
        for generator in generators:
            try:
                await generator.aclose()
            except Exception as error:
                what = {"message": "An async generator failed while it was closed.", "exception": error}
                self._loop.asyncio_loop.call_exception_handler({**what, "asyncgen": generator})

    async def _live(self, work: Coroutine[Any, Any, None]) -> None:
        self.root = asyncio.current_task()  # type: ignore[assignment]
        await work  # never raises
        if self.tasks or self._generators or self._jobs:
            self._ending = asyncio.Task(self._end(), loop=self._loop.asyncio_loop)
        else:
            self._over()

    async def _end(self) -> None:
        try:
            for _ in range(MOST_ROUNDS):
                try:
                    if not await self._end_round():
                        break
                except CancelledError:
                    pass  # by a task that cancels all there are
                except (SystemExit, KeyboardInterrupt) as error:
                    self._failure = error
            else:
                logger.error("Tasks that were cancelled at the end of a request keep starting others: %r.", self.tasks)
        finally:
            self._over()

    async def _end_round(self) -> bool:
        if tasks := list(self.tasks):
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        elif self._generators:
            await self.close_generators()
        elif jobs := list(self._jobs):
            await asyncio.wait([wrap_future(job) for job in jobs])
        else:
            return False
        return True

    def _over(self) -> None:
        if self._loop.families.get(self._token) is self:
            del self._loop.families[self._token]
        if self._pool is not None:
            self._pool.shutdown(wait=False)
        self._settle()

    def _settle(self) -> None:
        self.done.settle(self._failure)


class SupervisedLoop:
    """
    An event loop and the thread that keeps it running.

    Attributes:
        asyncio_loop: The loop.
        families: Those that are not over, by the token that their contexts hold.
        lost: True when the loop cannot go on.
    """

    def __init__(self) -> None:
        self.asyncio_loop = asyncio.new_event_loop()
        self.families: dict[object, Family] = {}
        self.lost = False
        self._ended = False
        self._lock = threading.Lock()
        self.asyncio_loop.set_task_factory(self._make_task)
        self.asyncio_loop.set_default_executor(DefaultExecutor(self))
        self._thread = threading.Thread(target=self._supervise, name="onehop-loop", daemon=True)
        try:
            self._thread.start()
        except BaseException:
            self.asyncio_loop.close()
            raise
        executors_by_loop[self.asyncio_loop] = ThreadSensitiveExecutor(self)

    def start(self, work: Coroutine[Any, Any, None], executor: Executor) -> Family:
        """
        Start a coroutine that never raises as the root of a family. Runs on: any thread.

        Raises:
            RuntimeError: The loop is lost. The coroutine was not started.
        """
        with self._lock:
            if self.lost:
                raise RuntimeError("The background loop is lost.")
            token = _token.get(None) or object()
            family = self.families[token] = Family(self, executor, token)
            try:
                self.asyncio_loop.call_soon_threadsafe(family.begin, work)
            except RuntimeError:
                del self.families[token]
                raise
        return family

    def soon(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Have a function called on the loop, unless the loop is lost. Runs on: any thread."""
        try:
            self.asyncio_loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            pass

    def family(self) -> Family | None:
        """Return the family of the running task or callback."""
        return self.families.get(_token.get(None))

    def end(self, timeout_s: float) -> None:
        """Wait, bounded, for the families, then end the loop. Runs on: any other thread."""
        deadline = time.monotonic() + timeout_s
        while self.families and time.monotonic() < deadline:
            time.sleep(0.005)
        self._ended = True
        self.soon(self.asyncio_loop.stop)
        self._thread.join(1)

    def _supervise(self) -> None:
        try:
            while not self._ended:
                self.asyncio_loop.call_soon(self._watch_generators)
                try:
                    self.asyncio_loop.run_forever()
                except (SystemExit, KeyboardInterrupt) as error:
                    self._blame(error)
        except BaseException:
            logger.critical("The background loop broke. The next request starts a new one.", exc_info=True)
        finally:
            self._lose()

    def _blame(self, error: BaseException) -> None:
        """Fail the family whose task has ended in this error."""
        for family in list(self.families.values()):
            for task in family.tasks:
                if task.done() and not task.cancelled() and task.exception() is error:
                    return family.fail(error)
        logger.critical("%r was raised on the background loop outside of any request's tasks.", error, exc_info=error)

    def _lose(self) -> None:
        with self._lock:
            self.lost = True
            families, self.families = self.families, {}
        executors_by_loop.pop(self.asyncio_loop, None)
        for family in families.values():
            family.lose()
        try:
            self.asyncio_loop.close()
        except Exception:
            logger.debug("The background loop could not be closed.", exc_info=True)

    def _watch_generators(self) -> None:
        sys.set_asyncgen_hooks(firstiter=self._generator_begins)

    def _generator_begins(self, generator: AsyncGenerator[Any, Any]) -> None:
        family = self.family()
        if family is not None:
            family.add_generator(generator)

    def _make_task(self, loop: Any, coroutine: Any, **keywords: Any) -> asyncio.Task[Any]:
        token, context = _token.get(None), keywords.get("context")
        if context is not None:
            if token in self.families and context.get(_token) not in self.families:
                context.run(_token.set, token)
            token = context.get(_token)
        task = asyncio.Task(coroutine, loop=loop, **keywords)
        family = self.families.get(token)
        if family is not None and not task.done():
            family.add_task(task)
        return task


class DefaultExecutor(ThreadPoolExecutor):
    """The loop's default executor: threads that no other family ever had or will have."""

    def __init__(self, loop: SupervisedLoop) -> None:
        super().__init__(1)
        self._loop = loop

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **keywords: Any) -> Future[Any]:
        """Run a function on a thread of the running family, or else on a thread of its own."""
        family = self._loop.family()
        if family is not None:
            return family.submit(function, *arguments, **keywords)
        pool = ThreadPoolExecutor(1)
        try:
            return pool.submit(function, *arguments, **keywords)
        finally:
            pool.shutdown(wait=False)


class ThreadSensitiveExecutor(Executor):
    """
    Where asgiref runs blocking calls of tasks whose context does not name an executor.

    Those that belong to no family (the lifespan) get a thread of their own, not asgiref's shared one: the request that
    waits for the lifespan may itself run there.
    """

    def __init__(self, loop: SupervisedLoop) -> None:
        self._loop = loop
        self._own = ThreadPoolExecutor(1, thread_name_prefix="onehop-loop-thread")

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **keywords: Any) -> Future[Any]:
        """Run a function on the request thread of the running family, or else on one of this loop's own."""
        family = self._loop.family()
        executor: Executor = self._own if family is None else family.executor
        return executor.submit(function, *arguments, **keywords)


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
        return former, pid, _token.set(object())

    def leave(self, former: Former) -> None:
        """Put back what ``enter`` found."""
        loop, pid, token = former
        local = asgiref_thread_local.__dict__
        if loop is None:
            del local["main_event_loop"], local["main_event_loop_pid"]
        else:
            local["main_event_loop"], local["main_event_loop_pid"] = loop, pid
        _token.reset(token)

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
