"""
Put steps in order, and give each the lane on which it will run.

Theory of operation. With two lanes, "stay where you are until a step cannot run there" is minimal: between two
steps that are bound to different lanes at least one crossing is needed, and staying makes exactly one there.
Steps that run anywhere never cause a crossing. The two halves of a wrapper run on the lane on which it was
entered, and a wrapper that runs anywhere is entered where the last bound step before it ran: the view and the
guards to come are not known then. Among all plans that keep this constraint none crosses less often
(``tests/plan/test_build_is_minimal.py`` checks it against brute force).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from onehop.steps import Affinity, Lane, Layer, Plan, Step

Listed = tuple[tuple[Step, Callable[..., Any]], ...]


def build_plan(
    layers: tuple[Layer, ...], views: Listed = (), templates: Listed = (), exceptions: tuple[str, ...] = ()
) -> Plan:
    """
    Put layers and hooks together.

    Args:
        layers: Outermost first. May be empty.
        views: ``process_view`` steps, outermost first.
        templates: ``process_template_response`` steps, innermost first.
        exceptions: Labels of ``process_exception`` hooks, innermost first.

    Returns:
        The frozen plan.
    """
    stretches: list[tuple[Layer, ...]] = [()]
    wrappers: list[int | None] = [None]
    for position in range(len(layers) - 1, -1, -1):
        if layers[position].around is None:
            stretches.insert(0, (layers[position], *stretches[0]))
            wrappers.insert(0, wrappers[0])
        else:
            stretches.insert(0, ())
            wrappers.insert(0, position)
    return Plan(layers, views, templates, exceptions, tuple(stretches), tuple(wrappers))


OPEN, CLOSE = "open", "close"


def choose_lanes(steps: Sequence[tuple[Affinity, str]], home: Lane) -> list[Lane]:
    """
    Choose the lane of each step, as the runners do.

    Args:
        steps: Affinity of each step in the order of the run, with ``"open"`` and ``"close"`` for the two halves of
            a wrapper and an empty string for all others.
        home: The lane on which the request begins and ends.

    Returns:
        A lane for each step, in the same order.
    """
    lanes: list[Lane] = []
    entered: list[Lane] = []
    here = home
    for affinity, half in steps:
        if half == CLOSE:
            here = entered.pop()
        elif affinity is not Affinity.ANYWHERE:
            here = Lane.LOOP if affinity is Affinity.LOOP else Lane.THREAD
        if half == OPEN:
            entered.append(here)
        lanes.append(here)
    return lanes


def count_hops(lanes: Sequence[Lane], home: Lane) -> int:
    """Count the hops of a run: a request ends where it began, so every second crossing is the way back."""
    path = [home, *lanes, home]
    return sum(before is not after for before, after in pairwise(path)) // 2
