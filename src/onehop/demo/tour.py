"""Go through the demo: make the project, serve it both ways, compare, count, load."""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from onehop.demo.answers import compare
from onehop.demo.children import Children
from onehop.demo.load import Order
from onehop.demo.loader import Loader
from onehop.demo.nouns import (
    MODULES,
    S0,
    S1,
    VIEWS,
    Answers,
    Pair,
    Report,
    Result,
    Row,
    Stack,
    View,
)
from onehop.demo.project import make_project
from onehop.demo.servers import Servers

BLOCKS = ("stock", "onehop", "onehop", "stock")
TEN_USERS = 10
# Settings of the caller that would change what is shown: its project, a switched-off Onehop.
FOREIGN = ("DJANGO_SETTINGS_MODULE", "ONEHOP_DISABLE", "DJANGO_ALLOW_ASYNC_UNSAFE", "WEB_CONCURRENCY")
STEPS = 1 + len((S0, S1)) * (2 + len(MODULES)) + len(VIEWS) * len(BLOCKS) + len(MODULES)


@dataclass(slots=True)
class Measured:
    """The blocks of one way to run one view, put together."""

    latencies_us: list[int] = field(default_factory=list)
    elapsed_s: float = 0.0

    @property
    def requests_per_s(self) -> float:
        """Answered requests per second of load."""
        return len(self.latencies_us) / self.elapsed_s

    def percentile_ms(self, percent: int) -> float:
        """Return the latency that ``percent`` per cent of the requests did not exceed."""
        if len(self.latencies_us) < 2:
            return self.latencies_us[0] / 1000
        return statistics.quantiles(self.latencies_us, n=100, method="inclusive")[percent - 1] / 1000


def environment() -> dict[str, str]:
    """Return the environment of the demo's processes: the caller's, without what would change the result."""
    return {name: value for name, value in os.environ.items() if name not in FOREIGN}


def tour(children: Children, seconds: float, report: Report) -> Result:
    """Run the whole demo in the folder of ``children``.

    Args:
        children: Where processes are started; the caller ends what is left.
        seconds: Length of one block of load.
        report: Called ``STEPS`` times.

    Raises:
        DemoError: Something did not start, failed or answered with an error.
    """
    make_project(children)
    report("made a project with startproject and migrated its database")
    loader = Loader(children)
    answers = Answers()
    rows: list[Row] = []
    for stack in (S0, S1):
        servers = Servers(children, stack)
        report(f"{stack.name}: serving it with uvicorn on stock Django and on Onehop")
        compare(stack.name, servers.ports, answers)
        report(f"{stack.name}: compared the answers")
        views = [view for view in VIEWS if view.stack is stack]
        counts = {way: _count(children, stack, way, servers.ports[way], views, report) for way in MODULES}
        rows += [_race(loader, view, servers.ports, counts, seconds, report) for view in views]
        if stack is S1:
            ten_users = Pair(**{way: _ten_users(loader, way, servers.ports[way], report) for way in MODULES})
        servers.end()
    return Result(tuple(rows), ten_users, answers)


def _count(
    children: Children, stack: Stack, way: str, port: int, views: list[View], report: Report
) -> Mapping[str, Any]:
    """Return hops and threads per request for each path, counted in a process of its own."""
    order = {"module": MODULES[way], "paths": [view.path for view in views], "port": port}
    command = [sys.executable, "-m", "onehop.demo.count"]
    found: dict[str, Any] = children.ask(command, order, timeout_s=60, settings=stack.settings)
    report(f"{stack.name}: counted hops and threads, {way}")
    return found


def _race(
    loader: Loader,
    view: View,
    ports: Mapping[str, int],
    counts: Mapping[str, Mapping[str, Any]],
    seconds: float,
    report: Report,
) -> Row:
    """Load one view in interleaved blocks; the idle server waits."""
    measured = {way: Measured() for way in MODULES}
    blocks = []
    for way in BLOCKS:
        found = loader.load(Order(ports[way], view.path, view.clients, seconds), way)
        measured[way].latencies_us += found["latencies_us"]
        measured[way].elapsed_s += found["elapsed_s"]
        rate = len(found["latencies_us"]) / found["elapsed_s"]
        blocks.append((way, rate))
        report(f"{view.stack.name} {view.path}: {way} {rate:.0f} req/s")
    return Row(
        view,
        hops=Pair(**{way: counts[way][view.path]["hops"] for way in MODULES}),
        threads=Pair(**{way: counts[way][view.path]["threads"] for way in MODULES}),
        requests_per_s=Pair(**{way: measured[way].requests_per_s for way in MODULES}),
        p50_ms=Pair(**{way: measured[way].percentile_ms(50) for way in MODULES}),
        p99_ms=Pair(**{way: measured[way].percentile_ms(99) for way in MODULES}),
        blocks=tuple(blocks),
    )


def _ten_users(loader: Loader, way: str, port: int, report: Report) -> float:
    """Return how long ten users wait in all when each asks once for the one-second view."""
    order = Order(port, "/slow/", TEN_USERS, seconds=10, requests_each=1, warm=False)
    elapsed_s: float = loader.load(order, way)["elapsed_s"]
    report(f"S1 /slow/: {way} {elapsed_s:.2f} s for ten users")
    return elapsed_s
