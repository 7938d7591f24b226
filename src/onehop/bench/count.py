"""Count hops and threads of one contender. The patches stay in this process, which times nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from time import monotonic, sleep

from onehop.bench.answers import Answer
from onehop.bench.contenders import CONTENDERS, WSGI_VIEWS, client_for
from onehop.bench.drive import Client
from onehop.bench.reports import CountReport, ViewCounts
from onehop.bench.timing import ask
from onehop.counting import Counters, counting

WARM_UP = 5
COUNTED = 10
BURST = 100
QUIET_S, PATIENCE_S = 0.02, 2.0


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
                at = () if contender in WSGI_VIEWS else concurrencies
                counts[view] = _count_view(client, at, counters, contender == "onehop")
    return {"views": counts, "answers": answers}


def _count_view(client: Client, concurrencies: Sequence[int], counters: Counters, with_posts: bool) -> ViewCounts:
    client.sequential(WARM_UP)
    before = _settled(counters)
    client.sequential(COUNTED)
    after = _settled(counters)
    hops, pool_hops, threads, posts = ((other - one) / COUNTED for one, other in zip(before, after, strict=True))
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


def _settled(counters: Counters) -> tuple[int, int, int, int]:
    """Return hops, pool hops, started threads and posts once they stand still: posts end after their request."""
    from onehop.run.threads import pool

    seen, deadline = (*counters.read(), pool.posts_total), monotonic() + PATIENCE_S
    while monotonic() < deadline:
        sleep(QUIET_S)
        if seen == (now := (*counters.read(), pool.posts_total)):
            break
        seen = now
    return seen
