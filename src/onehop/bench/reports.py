"""What a child process prints, as JSON: one kind of report for each of its modes."""

from __future__ import annotations

from typing import TypedDict

from onehop.bench.answers import Answer


class ViewTimes(TypedDict):
    """One view, timed once."""

    sequential_us: float
    req_per_s: dict[str, float]
    """By concurrency; empty where there is none (WSGI)."""
    requests: dict[str, int]
    """How many requests were timed: under ``sequential`` and under each concurrency."""


class TimeReport(TypedDict):
    """One contender, timed once. Views in the order of measuring."""

    views: dict[str, ViewTimes]
    answers: dict[str, Answer]


class ViewCounts(TypedDict):
    """What one request of a view costs in hops and threads, in the steady state."""

    hops: float
    pool_hops: float
    posts: float | None
    """``None`` where nothing counts them."""
    threads_started: float
    peak_threads: dict[str, int]
    """By concurrency, the main thread included; empty where there is none (WSGI)."""


class CountReport(TypedDict):
    """One contender, counted."""

    views: dict[str, ViewCounts]
    answers: dict[str, Answer]


class FloorReport(TypedDict):
    """What no contender can go below, and what the measuring itself costs."""

    straight_line_us: float | None
    """``None`` in a user's project."""
    bare_hop_us: float
    driver_us: float
    answers: dict[str, Answer]
