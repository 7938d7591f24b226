"""Time one contender on its views. Nothing is patched here; counting has a process of its own."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from onehop.bench.answers import Answer, answer_of
from onehop.bench.contenders import CONTENDERS, WSGI_VIEWS, client_for
from onehop.bench.drive import Client
from onehop.bench.reports import TimeReport, ViewTimes

WARM_UP, WARM_UP_CLIENTS = 20, 50
"""Requests of the first block, which is thrown away: of a sequential one; of a concurrent one at most."""


class Block(NamedTuple):
    """A number of requests and how long they took."""

    requests: int
    elapsed_ns: int

    @property
    def request_us(self) -> float:
        """Mean time of a request."""
        return self.elapsed_ns / self.requests / 1e3

    @property
    def req_per_s(self) -> float:
        """Requests answered in a second."""
        return self.requests / self.elapsed_ns * 1e9


def timed(run: Callable[[int], int], warm_up: int, smallest: int, block_s: float) -> Block:
    """
    Find out how many requests fill a block, and time that block.

    Blocks before it only warm up; the last of them takes a quarter of ``block_s`` at least.

    Args:
        run: Sends a number of requests and returns the nanoseconds they took.
        warm_up: The number of requests of the first block.
        smallest: The least number of requests that is worth timing.
        block_s: How long the block must last at least.

    Returns:
        The last block.
    """
    block = Block(warm_up, run(warm_up))
    while block.elapsed_ns < block_s * 1e9 / 4:
        block = _longer(run, block, warm_up, block_s / 4)
    while True:
        block = _longer(run, block, smallest, block_s)
        if block.elapsed_ns >= block_s * 1e9:
            return block


def _longer(run: Callable[[int], int], block: Block, smallest: int, wanted_s: float) -> Block:
    """Run as many requests as should last a little longer than ``wanted_s``, judged by the last block."""
    wanted = wanted_s * 1e9 / max(block.elapsed_ns, 1) * block.requests * 1.25
    requests = max(smallest, math.ceil(wanted))
    return Block(requests, run(requests))


def time_contender(contender: str, views: Sequence[str], concurrencies: Sequence[int], block_s: float) -> TimeReport:
    """
    Build a contender and time each view: sequentially, then at each concurrency.

    Args:
        contender: A key of ``CONTENDERS``.
        views: URLs in the order of measuring.
        concurrencies: Numbers of clients, in the order of measuring.
        block_s: How long each timed block lasts at least.
    """
    application = CONTENDERS[contender]()
    times: dict[str, ViewTimes] = {}
    answers: dict[str, Answer] = {}
    with asyncio.Runner() as runner:
        for view in views:
            client = client_for(contender, application, view, runner)
            answers[view] = ask(client)
            if answers[view]["status"] == 200:
                times[view] = _time_view(client, () if contender in WSGI_VIEWS else concurrencies, block_s)
    return {"views": times, "answers": answers}


def ask(client: Client) -> Answer:
    """Send two requests and describe their answers."""
    status, first = client.answer()
    return answer_of(status, first, client.answer()[1])


def _time_view(client: Client, concurrencies: Sequence[int], block_s: float) -> ViewTimes:
    block = timed(client.sequential, WARM_UP, WARM_UP, block_s)
    times: ViewTimes = {
        "sequential_us": block.request_us,
        "req_per_s": {},
        "requests": {"sequential": block.requests},
    }
    for clients in concurrencies:
        run = partial(client.concurrent, clients=clients)
        block = timed(run, min(clients, WARM_UP_CLIENTS), clients, block_s)
        times["req_per_s"][str(clients)] = block.req_per_s
        times["requests"][str(clients)] = block.requests
    return times
