"""What this process does right now, for the live page."""

import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

from onehop.counting import counting


class Figures:
    """
    Count requests, hops and threads of this process.

    Attributes:
        viewers: Number of open event streams.
        closing: True when the server ends and the streams should, too.
    """

    viewers = 0
    closing = False

    def __init__(self):
        self._counting = counting()  # kept: counting ends with it
        self._counters = self._counting.__enter__()
        self._lock = threading.Lock()
        self._in_flight = self._answered = 0

    @contextmanager
    def request(self):
        """Count one request while the block runs; the stopwatch yielded has its time, in ``ms``, afterwards."""
        stopwatch = SimpleNamespace(ms=0.0)
        started = time.perf_counter()
        with self._lock:
            self._in_flight += 1
        try:
            yield stopwatch
        finally:
            stopwatch.ms = (time.perf_counter() - started) * 1000
            with self._lock:
                self._in_flight -= 1
                self._answered += 1

    def read(self):
        """Return the figures by name: totals since the start, and what is there now."""
        hops, pool_hops, threads_started = self._counters.read()
        return {
            "in_flight": self._in_flight,
            "answered": self._answered,
            "hops": hops + pool_hops,
            "threads": threading.active_count(),
            "threads_started": threads_started,
            "viewers": self.viewers,
        }


figures = Figures()
