"""
Whatever happens at whichever point of a request: nothing is lost, nobody waits for ever, and the next one is answered.

``ONEHOP_LONG=1`` has everything happen everywhere, a second fault after the first too, and compares with stock Django.
"""

from collections import defaultdict

import pytest

from tests.cancel.conftest import LONG
from tests.cancel.points import FAULTS, cancel_twice, disconnect
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

SMALL = 12
"""Most points of a scenario in which a second fault follows the first at every later point."""

SCENARIOS_WITH_FAULTS = [
    pytest.param(scenario, fault, id=f"{scenario}-{fault.__name__}")
    for scenario in SCENARIOS
    for fault in (FAULTS if LONG else (disconnect, cancel_twice))
]
"""Each scenario with two faults, or with all of them if there is time."""


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


@pytest.mark.parametrize(("scenario", "fault"), SCENARIOS_WITH_FAULTS)
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


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("scenario", SCENARIOS if LONG else [], ids=str)
def test_it_ends_as_under_stock(stage, scenario, fault):
    """The same comes out of the application as out of stock Django, after the same fault at the same place."""
    if "ONEHOP" in scenario.settings:
        pytest.skip("stock Django has no such setting")
    if scenario.view in DELIBERATE:
        pytest.skip(DELIBERATE[scenario.view])
    outcomes = [defaultdict(set), defaultdict(set)]
    for stock, found in zip((True, False), outcomes, strict=True):
        for run in stage(scenario, stock=stock).everywhere(fault):
            number = next(iter(run.faults))
            found[run.trace[number].place if number < len(run.trace) else None].add(run.outcome)
    expected, found = outcomes
    differ = {
        place: (found[place], expected[place])
        for place in found.keys() & expected.keys()
        if not found[place] <= expected[place] and "RuntimeError" not in expected[place]
    }
    assert not differ
