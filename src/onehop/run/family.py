"""What one outermost ``async_to_sync`` call starts on the background loop, and how it ends."""

from __future__ import annotations

import asyncio
import logging
import sys
import weakref
from asyncio import CancelledError, wrap_future
from collections.abc import AsyncGenerator, Callable, Coroutine
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from onehop.errors import LoopLost

if TYPE_CHECKING:
    from onehop.run.supervised import SupervisedLoop

logger = logging.getLogger("onehop")

MOST_ROUNDS = 10
"""How often tasks that cancelled tasks have started are cancelled in their turn."""


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
