"""Count hops and started threads, for the demo and the benchmark. It patches asgiref and ``threading`` meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from asgiref.sync import AsyncToSync, SyncToAsync


class Counters:
    """
    What has been counted since the patches were made.

    Lists, because appending to one is atomic whatever thread does it.
    """

    def __init__(self) -> None:
        self.hops: list[None] = []
        self.pool_hops: list[None] = []
        self.threads_started: list[None] = []
        self.peak_threads = 0

    def read(self) -> tuple[int, int, int]:
        """Return the number of hops, pool hops and started threads."""
        return len(self.hops), len(self.pool_hops), len(self.threads_started)


@contextmanager
def counting() -> Iterator[Counters]:
    """
    Count every call of asgiref's two bridges and every start of a thread, in the whole process.

    Source: asgiref 3.13, ``asgiref/sync.py``: everything that hops, ``Signal.asend`` too, calls one of these.
    """
    counters = Counters()
    to_async, to_sync = SyncToAsync.__call__, AsyncToSync.__call__
    start = threading.Thread.start

    async def counted_to_async(self: Any, *args: Any, **kwargs: Any) -> Any:
        (counters.hops if self._thread_sensitive else counters.pool_hops).append(None)
        return await to_async(self, *args, **kwargs)

    def counted_to_sync(self: Any, *args: Any, **kwargs: Any) -> Any:
        counters.hops.append(None)
        return to_sync(self, *args, **kwargs)

    def counted_start(self: threading.Thread) -> None:
        # Counted before: a short-lived thread may be over when start() returns.
        counters.threads_started.append(None)
        counters.peak_threads = max(counters.peak_threads, threading.active_count() + 1)
        start(self)

    SyncToAsync.__call__ = counted_to_async  # type: ignore[method-assign]
    AsyncToSync.__call__ = counted_to_sync  # type: ignore[method-assign]
    threading.Thread.start = counted_start  # type: ignore[method-assign]
    try:
        yield counters
    finally:
        SyncToAsync.__call__ = to_async  # type: ignore[method-assign]
        AsyncToSync.__call__ = to_sync  # type: ignore[method-assign]
        threading.Thread.start = start  # type: ignore[method-assign]
