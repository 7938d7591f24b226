"""
Tell what a plan will do: one line for each step in the order of the run, and the hops of stock Django beside it.

The lines follow the path of a request that is answered by its view: no early response, no exception, no guard
that says *thread*. The conditions under which a step would hop are part of its line.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from onehop.plan.build import CLOSE, OPEN, choose_lanes, count_hops
from onehop.steps import Affinity, Lane, Layer, Mode, Plan, Step

RESOLVE = Step("resolve URL", Affinity.ANYWHERE, "as in stock Django")
VIEWS = {
    Mode.SYNC: Step("view", Affinity.THREAD, "sync view"),
    Mode.ASYNC: Step("view", Affinity.LOOP, "async view"),
}


@dataclass(frozen=True, slots=True)
class Line:
    """
    One step of a plan as people see it.

    Attributes:
        number: Position in the run, from 1.
        step: What is called.
        lane: ``loop`` or ``thread``.
        affinity: ``loop``, ``thread`` or ``anywhere``.
        reason: Why.
        conditions: When it would need the thread after all; empty when never.
        crosses: True when the step before it runs on the other lane.
    """

    number: int
    step: str
    lane: str
    affinity: str
    reason: str
    conditions: str
    crosses: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """
    A plan for one kind of view.

    Attributes:
        mode: ``sync`` or ``async``: how the view is called.
        lines: In the order of the run. Never empty.
        hops: Hops of a request that is answered by its view.
        posts: Closing jobs that nobody waits for.
        stock_hops: Hops of the same request on stock Django.
        stock_threads: Threads that stock Django starts for it.
    """

    mode: str
    lines: tuple[Line, ...]
    hops: int
    posts: int
    stock_hops: int
    stock_threads: int

    def as_json(self) -> dict[str, Any]:
        """Return the explanation as plain data."""
        return asdict(self)


def explain(plan: Plan, mode: Mode, view: str = "view") -> Explanation:
    """
    Explain a plan for a sync or an async view.

    Args:
        plan: The plan.
        mode: Mode of the view.
        view: Name of the view.
    """
    steps = list(_run_order(plan, mode, view))
    lanes = choose_lanes([(step.affinity, half) for step, half in steps], Lane.LOOP)
    before = [Lane.LOOP, *lanes]
    lines = tuple(
        Line(
            number=number,
            step={OPEN: f"{step.label} begins", CLOSE: f"{step.label} ends"}.get(half, step.label),
            lane=lane.value,
            affinity=step.affinity.value,
            reason=step.reason,
            conditions=step.conditions,
            crosses=lane is not before[number - 1],
        )
        for number, ((step, half), lane) in enumerate(zip(steps, lanes, strict=True), start=1)
    )
    return Explanation(
        mode=mode.value,
        lines=lines,
        hops=count_hops(lanes, Lane.LOOP),
        posts=1 if Lane.THREAD in lanes else 0,
        stock_hops=stock_hops(plan, mode),
        stock_threads=2,
    )


def _run_order(plan: Plan, mode: Mode, view: str) -> Iterator[tuple[Step, str]]:
    """Yield each step with its half, in the order of the run."""
    for layer in plan.layers:
        if layer.around is not None:
            yield layer.around, OPEN
        elif hasattr(layer.instance, "process_request"):
            yield layer.request, ""
    yield RESOLVE, ""
    for step, _ in plan.views:
        yield step, ""
    planned = VIEWS[mode]
    yield Step(view, planned.affinity, planned.reason), ""
    for layer in reversed(plan.layers):
        if layer.around is not None:
            yield layer.around, CLOSE
        elif hasattr(layer.instance, "process_response"):
            yield layer.response, ""


def stock_hops(plan: Plan, mode: Mode) -> int:
    """
    Count the hops that stock Django makes for the same request.

    One for ``request_started``, one for closing; one for each change of mode in the chain, for each hook of
    ``MiddlewareMixin`` in async mode, for each sync ``process_view``, and for a sync view.

    Source: Django 5.2-6.1, ``BaseHandler.load_middleware`` and ``MiddlewareMixin.__acall__``.
    """
    hops = 2 + (mode is Mode.SYNC) + sum(step.affinity is not Affinity.LOOP for step, _ in plan.views)
    inner = Mode.ASYNC
    for layer in reversed(plan.layers):
        hops += layer.stock_mode is not inner
        if layer.stock_mode is Mode.ASYNC and layer.around is None:
            hops += _hooks_of(layer)
        inner = layer.stock_mode
    return hops + (inner is Mode.SYNC)


def _hooks_of(layer: Layer) -> int:
    return sum(hasattr(layer.instance, hook) for hook in ("process_request", "process_response"))
