"""
Request threads: started when a lease needs one, inspected when it comes back, then used again or retired.

Guarantees: a thread is never with two leases; one that is handed on is as clean as a new one; nobody joins one.
Assumes: what runs under the lock here is a few operations, and never foreign code.
"""

from __future__ import annotations

import asyncio
import atexit
import itertools
import logging
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol

from django.db import close_old_connections, connections, reset_queries

from onehop.errors import NoRequestThread
from onehop.run import leftovers

logger = logging.getLogger("onehop")

MAX_IDLE = 32
"""Most threads kept idle. Active ones are limited by MAX_REQUEST_THREADS only."""
WAIT_FOR_CLOSING_S = 0.05
"""How long a lease waits for a thread that is only closing its last request, before another is started."""
WAIT_FOR_ANY_S = 5.0
"""How long a lease waits for a thread while MAX_REQUEST_THREADS are in use."""
DRAIN_AT_EXIT_S = 10.0
"""How long the interpreter's exit waits for jobs that still run."""

_numbers = itertools.count(1)


class Waiter(Protocol):
    """A lease that waits for a thread: it gets one, or an error."""

    is_urgent: bool

    def grant(self, thread: RequestThread) -> None: ...
    def refuse(self, error: Exception) -> None: ...


class Job:
    """One call to make on a request thread."""

    __slots__ = ("_begun", "_ended", "_failure", "_result", "arguments", "function", "future")

    def __init__(
        self,
        function: Callable[..., Any],
        arguments: tuple[Any, ...] = (),
        ended: Callable[[], None] | None = None,
    ) -> None:
        self.future: Future[Any] = Future()
        self.function = function
        self.arguments = arguments
        self._ended = ended
        self._begun = False
        self._result: Any = None
        self._failure: BaseException | None = None

    def run(self) -> None:
        """
        Call the function, tell that the job has ended, then settle the future.

        Called again, because something thrown in from outside has broken it off, it does what is left of that.
        """
        __traceback_hide__ = True
        if not self._begun:
            try:
                self._begun = True
                if self.future.set_running_or_notify_cancel():
                    self._result = self.function(*self.arguments)
            except BaseException as error:
                self._failure = error
        ended, self._ended = self._ended, None
        if ended is not None:
            ended()
        failure, self._failure = self._failure, None
        if self.future.done():
            return
        if failure is not None:
            self.future.set_exception(failure)
        else:
            self.future.set_result(self._result)
        del failure  # it refers to this frame


class RequestThread:
    """
    One thread that does jobs in order.

    Guarantee: an exception that another thread throws into this one, as time limits do, ends the job that runs, never
    one that is still to come.

    Attributes:
        fresh: What the thread was like before its first job; None as long as it has not begun.
        keeps_connections: True when the last request left database connections open, as CONN_MAX_AGE allows.
    """

    def __init__(self) -> None:
        self._jobs: deque[Job | None] = deque()
        self._arrived: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.fresh: leftovers.Fresh | None = None
        self.keeps_connections = False
        threading.Thread(target=self._work, name=f"onehop-request-{next(_numbers)}", daemon=True).start()

    @property
    def unfinished(self) -> int:
        """The number of jobs that wait or run."""
        return len(self._jobs)

    def _work(self) -> None:
        if pool.reuse:
            try:
                self.fresh = leftovers.Fresh()
            except BaseException:  # without it the thread is retired
                logger.exception("A new request thread could not be looked at.")
        working = True
        while working:
            try:
                while working:
                    working = self._do_next()
            except BaseException:
                logger.warning("An exception came too late for the code that it was thrown at.", exc_info=True)
        self.fresh = None  # What it holds would keep the thread's locals alive.
        connections.close_all()

    def _do_next(self) -> bool:
        """Wait for a job and do it. It leaves the queue when it is done. Returns False behind the last one."""
        while not self._jobs:
            self._arrived.get()
        job = self._jobs[0]
        if job is not None:
            job.run()
        self._jobs.popleft()
        return job is not None

    def do(self, job: Job | None) -> None:
        """Have a job done after those before it."""
        self._jobs.append(job)
        self._arrived.put(None)

    def end(self) -> None:
        """Have the thread end after the last job."""
        self.do(None)

    def reopen_connections(self) -> None:
        """Have the work of Django's ``request_started`` receivers done before the next job, where there is some."""
        if self.keeps_connections:
            self.keeps_connections = False
            self.do(Job(_reopen))


def _reopen() -> None:
    """Close connections as ``request_started`` does, and have the others checked before their next query."""
    reset_queries()
    close_old_connections()
    for connection in connections.all(initialized_only=True):
        connection.health_check_enabled = True


class RequestThreads:
    """
    All request threads of the process.

    Attributes:
        reuse: False starts a new thread for every lease, as stock Django does.
        limit: Most threads in use at the same time; None for no limit.
        posts_total: Posts so far, for measuring.
        retired: The last reasons for which threads were not used again, newest last.
    """

    def __init__(self, *, reuse: bool = True, limit: int | None = None) -> None:
        self._lock = threading.RLock()  # A garbage collection may close a request that its server has dropped.
        self._threads: set[RequestThread] = set()
        self._idle: deque[RequestThread] = deque()
        self._waiting: deque[Waiter] = deque()
        self._closing = 0
        self._busy = 0
        self.reuse = reuse
        self.limit = limit
        self.posts_total = 0
        self.retired: deque[str] = deque(maxlen=20)

    def take(self, waiter: Waiter) -> RequestThread | None:
        """
        Return a thread for a lease; or None, when the lease is granted or refused one later.

        Runs on: any thread. Cost: a new thread when none is idle.
        """
        with self._lock:
            full = self._is_full() and not waiter.is_urgent
            if self._idle and self.reuse and not full:
                self._busy += 1
                return self._idle.pop()
            if full or (self.reuse and self._closing > len(self._waiting)):
                self._waiting.append(waiter)
                now = time.monotonic()
                self._expire_later(WAIT_FOR_ANY_S if full else WAIT_FOR_CLOSING_S, waiter, now + WAIT_FOR_ANY_S)
                return None
            self._busy += 1
        return self._start()

    def announce(self) -> None:
        """Note that a busy thread has only its closing left to do."""
        with self._lock:
            self._busy -= 1
            self._closing += 1

    def give_back(self, thread: RequestThread) -> None:
        """Have an announced thread inspected, on itself, then used again or retired."""
        thread.do(Job(self._check_in, (thread,)))

    def drain(self, timeout_s: float) -> bool:
        """
        Wait until no thread has a job. Returns False when the time was not enough.

        A lease that nobody will end, because the server has left its loop, is not waited for.
        """
        deadline = time.monotonic() + timeout_s
        while any(thread.unfinished for thread in list(self._threads)):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        return True

    def _is_full(self) -> bool:
        return self.limit is not None and self._busy + self._closing >= self.limit

    def _start(self) -> RequestThread:
        try:
            thread = RequestThread()
        except BaseException:
            with self._lock:
                self._busy -= 1
            raise
        self._threads.add(thread)
        return thread

    def _check_in(self, thread: RequestThread) -> None:
        problem: str | None = "THREAD_REUSE is 'never'"
        if self.reuse and thread.fresh is not None:
            try:
                problem = thread.fresh.find_leftover()
                thread.keeps_connections = bool(connections.all(initialized_only=True))
            except BaseException as error:
                problem = f"it could not be inspected: {error!r}"
        with self._lock:
            self._closing -= 1
            waiter = self._waiting.popleft() if self._waiting else None
            keep = problem is None and (waiter is not None or len(self._idle) < MAX_IDLE)
            if waiter is not None:
                self._busy += 1
            elif keep:
                self._idle.append(thread)
        if problem is not None:
            self.retired.append(problem)
            logger.debug("A request thread was retired: %s.", problem)
        if not keep:
            self._threads.discard(thread)
            thread.end()
        if waiter is not None:
            self._serve(waiter, thread if keep else None)

    def _serve(self, waiter: Waiter, thread: RequestThread | None) -> None:
        try:
            thread = thread or self._start()
        except RuntimeError as error:
            waiter.refuse(error)
        else:
            waiter.grant(thread)

    def _expire_later(self, delay_s: float, waiter: Waiter, deadline: float) -> None:
        try:
            asyncio.get_running_loop().call_later(delay_s, self._expire, waiter, deadline)
        except RuntimeError:
            pass  # Submitted outside a loop: the lease waits until a thread comes back.

    def _expire(self, waiter: Waiter, deadline: float) -> None:
        with self._lock:
            if waiter not in self._waiting:
                return
            full = self._is_full() and not waiter.is_urgent
            rest = deadline - time.monotonic()
            if full and rest > 0:
                return self._expire_later(rest, waiter, deadline)
            self._waiting.remove(waiter)
            if not full:
                self._busy += 1
        if not full:
            return self._serve(waiter, None)
        waiter.refuse(
            NoRequestThread(
                f"All {self.limit} request threads were busy for {WAIT_FOR_ANY_S:g} s. Raise "
                "ONEHOP['MAX_REQUEST_THREADS'], or find what keeps them busy."
            )
        )


pool = RequestThreads()


def _forget_threads() -> None:
    """Start anew in a forked child, which has none of its parent's threads."""
    pool.__init__(reuse=pool.reuse, limit=pool.limit)  # type: ignore[misc]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
atexit.register(pool.drain, DRAIN_AT_EXIT_S)
