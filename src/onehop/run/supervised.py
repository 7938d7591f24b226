"""
An event loop that goes on whatever its tasks raise, and tells apart which tasks belong together.

The families of its tasks are known by a token in their contexts; its executors hand each job to the family it is of.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

from onehop._django import executors_by_loop
from onehop.run.family import Family

logger = logging.getLogger("onehop")

family_token: contextvars.ContextVar[object] = contextvars.ContextVar("onehop_family")
"""
Stands for a thread's present family in contexts, which may be kept for longer. It is set before asgiref copies the
thread's context, because asgiref writes that copy over whatever the root task's own context holds.
"""


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
            token = family_token.get(None) or object()
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
        return self.families.get(family_token.get(None))

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
        token, context = family_token.get(None), keywords.get("context")
        if context is not None:
            if token in self.families and context.get(family_token) not in self.families:
                context.run(family_token.set, token)
            token = context.get(family_token)
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
