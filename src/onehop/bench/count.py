"""Count hops and threads of one contender. The patches stay in this process, which times nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Any

from asgiref.sync import AsyncToSync, SyncToAsync

from onehop.bench.answers import Answer
from onehop.bench.contenders import CONTENDERS, client_for
from onehop.bench.drive import Client
from onehop.bench.reports import CountReport, ViewCounts
from onehop.bench.timing import ask

WARM_UP = 5
COUNTED = 10
BURST = 100
QUIET_S, PATIENCE_S = 0.02, 2.0


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

    def read(self) -> tuple[int, int, int, int | None]:
        """Return the number of hops, pool hops, started threads and posts."""
        return len(self.hops), len(self.pool_hops), len(self.threads_started), posts()


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


def posts() -> int:
    """Return how many posts this process has made so far."""
    from onehop.run.threads import pool

    return pool.posts_total


def count_contender(contender: str, views: Sequence[str], concurrencies: Sequence[int]) -> CountReport:
    """
    Build a contender and count each view.

    Args:
        contender: A key of ``CONTENDERS``.
        views: URLs in the order of counting.
        concurrencies: Numbers of clients at which the peak number of threads is taken.
    """
    application = CONTENDERS[contender]()
    counts: dict[str, ViewCounts] = {}
    answers: dict[str, Answer] = {}
    with asyncio.Runner() as runner, counting() as counters:
        for view in views:
            client = client_for(contender, application, view, runner)
            answers[view] = ask(client)
            if answers[view]["status"] == 200:
                at = () if contender == "wsgi" else concurrencies
                counts[view] = _count_view(client, at, counters, contender == "onehop")
    return {"views": counts, "answers": answers}


def _count_view(client: Client, concurrencies: Sequence[int], counters: Counters, with_posts: bool) -> ViewCounts:
    client.sequential(WARM_UP)
    before = _settled(counters.read)
    client.sequential(COUNTED)
    after = _settled(counters.read)
    hops, pool_hops, threads, posts = (
        None if one is None or other is None else (other - one) / COUNTED
        for one, other in zip(before, after, strict=True)
    )
    assert hops is not None and pool_hops is not None and threads is not None
    peaks: dict[str, int] = {}
    for clients in concurrencies:
        counters.peak_threads = threading.active_count()
        client.concurrent(max(clients, min(2 * clients, BURST)), clients)
        peaks[str(clients)] = counters.peak_threads
    return {
        "hops": hops,
        "pool_hops": pool_hops,
        "posts": posts if with_posts else None,
        "threads_started": threads,
        "peak_threads": peaks,
    }


def _settled(read: Callable[[], Any]) -> Any:
    """Return what ``read`` returns once it has not changed for a moment: posts end after their request."""
    seen, deadline = read(), monotonic() + PATIENCE_S
    while monotonic() < deadline:
        sleep(QUIET_S)
        if seen == (now := read()):
            break
        seen = now
    return seen
