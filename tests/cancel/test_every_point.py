"""
Whatever happens at whichever point of a request: nothing is lost, nobody waits for ever, and the next one is answered.

Each scenario takes its turn of the faults. ``ONEHOP_LONG=1`` has everything happen everywhere, a second fault after the
first, too, and compares with stock Django; ``-n 2 --dist load`` divides it.
"""

from collections import defaultdict

import pytest

from tests.cancel.conftest import LONG
from tests.cancel.laws import OUTCOMES
from tests.cancel.points import FAULTS
from tests.cancel.scenarios import (
    SCENARIOS,
    async_stream_that_fails,
    file,
    stream_of_rows,
    sync_stream,
    sync_stream_of_an_async_view,
    sync_stream_that_fails,
)
from tests.cancel.stage import figures, points_of

SMALL = 8
"""Most points of a scenario in which a second fault follows the first at every later point."""

FAULTS_OF_EACH = len(FAULTS) if LONG else 1
FEWEST_SHARED = 2
"""Places that both handlers must come to, the end among them, lest nothing is compared."""


def with_faults(scenarios, count):
    """Return each scenario with so many faults; the next one begins with the next fault."""
    drawn = [
        (scenario, FAULTS[(number + turn) % len(FAULTS)])
        for number, scenario in enumerate(scenarios)
        for turn in range(count)
    ]
    return [pytest.param(scenario, fault, id=f"{scenario}-{fault.__name__}") for scenario, fault in drawn]


def told(stage, runs):
    """Count some runs of a stage, and return what was wrong in them, with their stories."""
    points_of[stage.scenario.name] = len(stage.calm.trace)
    stories = []
    for run in runs:
        figures["runs"] += 1
        if run.problems:
            figures["broken"] += 1
            stories.append("\n".join([*run.problems, run.story()]))
    return "\n\n".join(stories)


def test_there_are_many_scenarios():
    """No name stands for two of them, and every fault has its turn."""
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS) >= 40
    assert {parameters.values[1] for parameters in with_faults(SCENARIOS, 1)} == set(FAULTS)


@pytest.mark.parametrize(("scenario", "fault"), with_faults(SCENARIOS, FAULTS_OF_EACH))
def test_nothing_is_lost(stage, scenario, fault):
    """The fault happens at every point in turn; each time all laws hold, and the next request finds nothing of it."""
    played = stage(scenario)
    wrong = told(played, played.everywhere(fault))
    assert not wrong, wrong


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("scenario", SCENARIOS if LONG else [], ids=str)
def test_nothing_is_lost_when_a_second_fault_follows(stage, scenario, fault):
    """In a small scenario, at every point behind the first fault, each of the others happens, too."""
    played = stage(scenario)
    if len(played.calm.trace) > SMALL:
        pytest.skip(f"more than {SMALL} points")
    runs = (
        run
        for number in range(len(played.calm.trace))
        for second in FAULTS
        for run in played.everywhere(second, {number: fault})
    )
    wrong = told(played, runs)
    assert not wrong, wrong


DELIBERATE = {
    **dict.fromkeys(
        (sync_stream, sync_stream_of_an_async_view, sync_stream_that_fails, file, stream_of_rows),
        "stock Django reads a sync iterator to its end before it sends anything",
    ),
    async_stream_that_fails: "what the stream raises comes out, also if the server cancels at that moment",
}


COMPARABLE = [
    scenario for scenario in SCENARIOS if "ONEHOP" not in scenario.settings and scenario.view not in DELIBERATE
]
"""Stock Django has no such settings."""


@pytest.mark.parametrize(("scenario", "fault"), with_faults(COMPARABLE if LONG else [], FAULTS_OF_EACH))
def test_it_ends_as_under_stock(stage, scenario, fault):
    """
    The same comes out of the application as out of stock Django, after the same fault at the same place.

    Where stock breaks, which is a ``RuntimeError`` of asgiref's, Onehop ends as the laws say.
    """
    outcomes = [defaultdict(set), defaultdict(set)]
    for stock, found in zip((True, False), outcomes, strict=True):
        for run in stage(scenario, stock=stock).everywhere(fault):
            number = next(iter(run.faults))
            found[run.trace[number].place if number < len(run.trace) else None].add(run.outcome)
    expected, found = outcomes
    shared = found.keys() & expected.keys()
    assert len(shared) >= FEWEST_SHARED
    allowed = {place: expected[place] - {"RuntimeError"} for place in shared}
    for place in shared:
        if "RuntimeError" in expected[place]:
            allowed[place] |= OUTCOMES[fault.__name__]
    assert {place: found[place] for place in shared if not found[place] <= allowed[place]} == {}
