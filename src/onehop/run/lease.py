"""
A request's own thread, from its first blocking call to the end of its last one.

Theory of operation. A lease is the executor that asgiref finds for one request. Its first ``submit`` takes a
thread; it counts unfinished jobs; it ends when the request is over *and* the last job has returned, not when a
coroutine has.

Guarantees: everything blocking of one request runs on one thread, in order; that thread serves nobody else
before the last job has returned.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from typing import Any

from onehop.run.threads import Job, RequestThread, pool

logger = logging.getLogger("onehop")


class Lease(Executor):
    """
    The executor of one request's blocking calls.

    A job of a task that outlives the request takes a thread of its own, for as long as it lasts.

    Attributes:
        is_urgent: True once the request is being closed: that must not wait for MAX_REQUEST_THREADS.
    """

    is_urgent = False
    _thread: RequestThread | None = None
    _waiting = False
    _unfinished = 0
    _posts_made = 0
    _ended = False
    _announced = False

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._backlog: list[Job] = []

    @property
    def has_thread(self) -> bool:
        """True from the first ``submit`` until the thread is given back."""
        return self._thread is not None or self._waiting

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **keywords: Any) -> Future[Any]:
        """
        Run a function on the request's thread.

        Runs on: any thread. Cost: the caller never waits for a thread.

        Returns:
            The function's future. It fails with ``NoRequestThread`` when too many threads are in use, and with
            ``RuntimeError`` when the system can start no thread.
        """
        job = Job(partial(function, **keywords) if keywords else function, arguments, self._job_ended)
        with self._lock:
            self._unfinished += 1
            if self._thread is None and not self._waiting:
                try:
                    self._thread = pool.take(self)
                except RuntimeError as error:
                    self._unfinished -= 1
                    job.future.set_exception(error)
                    return job.future
                if self._thread is not None:
                    self._thread.reopen_connections()
                self._waiting = self._thread is None
            if self._thread is None:
                self._backlog.append(job)
            else:
                self._thread.do(job)
        return job.future

    def post(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Run a function on the request's thread that nobody waits for. If it fails, that is logged."""
        with self._lock:
            self._posts_made += 1
        pool.posts_total += 1
        self.submit(function, *arguments).add_done_callback(_log_failure)

    def end(self) -> None:
        """Declare the request over: the thread is given back when its last job has returned."""
        with self._lock:
            self._ended = True
            if self._thread is None:
                return  # none was needed, or the last job of one still to come gives it back
            if self._unfinished <= self._posts_made:
                self._announced = True
                pool.announce()
        self._give_back_if_done()

    def grant(self, thread: RequestThread) -> None:
        """Receive a thread this lease has waited for."""
        with self._lock:
            self._waiting = False
            self._thread = thread
            thread.reopen_connections()
            backlog, self._backlog = self._backlog, []
            for job in backlog:
                thread.do(job)

    def refuse(self, error: Exception) -> None:
        """Fail all jobs that wait for a thread."""
        with self._lock:
            self._waiting = False
            backlog, self._backlog = self._backlog, []
            self._unfinished -= len(backlog)
        for job in backlog:
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(error)

    def _job_ended(self) -> None:
        with self._lock:
            self._unfinished -= 1
        self._give_back_if_done()

    def _give_back_if_done(self) -> None:
        with self._lock:
            if not self._ended or self._unfinished or self._thread is None:
                return
            thread, self._thread = self._thread, None
            if not self._announced:
                pool.announce()
            self._announced = False
        pool.give_back(thread)


def _log_failure(future: Future[Any]) -> None:
    error = None if future.cancelled() else future.exception()
    if error is not None:
        logger.error("Closing a request failed after its response was sent.", exc_info=error)
