"""
Whatever happens at whichever point of a request: nothing is lost, nobody waits for ever, and the next one is answered.

Each scenario takes its turn of the faults. ``ONEHOP_LONG=1`` has everything happen everywhere, a second fault after the
first, too, and compares with stock Django; ``-n 2 --dist load`` divides it.
"""

from collections import defaultdict

import pytest

from tests.cancel.conftest import LONG
from tests.cancel.laws import OUTCOMES, WAIT_FOR_SWALLOWS
from tests.cancel.points import FAULTS, cancel, cancel_twice, swallowed_cancel
from tests.cancel.scenarios import (
    SCENARIOS,
    async_stream_that_fails,
    file,
    stream_of_rows,
    sync_stream,
    sync_stream_of_an_async_view,
    sync_stream_that_fails,
)
from tests.cancel.stage import found, points_of, runs_with

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


def told(stage, runs, name):
    """Count some runs of a stage under a name, and return what was wrong in them, with their stories."""
    points_of[stage.scenario.name] = len(stage.calm.trace)
    stories = []
    for run in runs:
        runs_with[name] += run.struck
        found.update(run.breaches)
        found["other problems"] += len(run.problems) - run.breaches.total()
        if run.problems:
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
    wrong = told(played, played.everywhere(fault), fault.__name__)
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
    wrong = told(played, runs, "two faults")
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


def ends_otherwise(scenario, fault, place):
    """Return how Onehop may end where stock Django cannot, on purpose: each has a test of its own."""
    mark, *_ = place or ("",)
    cancels = fault in (cancel, cancel_twice, swallowed_cancel)
    if cancels and (scenario.drops_responses or (scenario.name.startswith("wait_for") and WAIT_FOR_SWALLOWS)):
        return {"returned"}  # swallowed inside; in stock Django another task (5.2) or a task group has it again
    if mark == "the body goes to the disk" and fault is swallowed_cancel:
        return {"CancelledError"}  # stock Django writes on the loop, and so waits in ``receive`` only
    return set()


@pytest.mark.parametrize(("scenario", "fault"), with_faults(COMPARABLE if LONG else [], FAULTS_OF_EACH))
def test_it_ends_as_under_stock(stage, scenario, fault):
    """
    The same comes out of the application as out of stock Django, after the same fault at the same place.

    Where stock breaks, which is a ``RuntimeError`` of asgiref's, Onehop ends as the laws say.
    """
    outcomes = [defaultdict(set), defaultdict(set)]
    for stock, ended in zip((True, False), outcomes, strict=True):
        for run in stage(scenario, stock=stock).everywhere(fault):
            number = next(iter(run.faults))
            ended[run.trace[number].place if run.struck else None].add(run.outcome)
            runs_with["a fault, compared with stock"] += run.struck and not stock
    expected, ended = outcomes
    shared = ended.keys() & expected.keys()
    assert len(shared) >= FEWEST_SHARED
    allowed = {place: (expected[place] - {"RuntimeError"}) | ends_otherwise(scenario, fault, place) for place in shared}
    for place in shared:
        if "RuntimeError" in expected[place]:
            allowed[place] |= OUTCOMES[fault.__name__]
    assert {place: ended[place] for place in shared if not ended[place] <= allowed[place]} == {}


def struck_runs(stage, name, fault):
    """Return the runs of a scenario that a fault has struck, none of which lost anything, and its calm run."""
    played = stage(next(scenario for scenario in SCENARIOS if scenario.name == name))
    runs = [run for run in played.everywhere(fault) if run.struck]
    assert not any(run.problems for run in runs)
    return runs, played.calm


@pytest.mark.parametrize(
    "name",
    [
        "view that ignores its cancellation",
        pytest.param(
            "wait_for around the chain",
            marks=pytest.mark.skipif(not WAIT_FOR_SWALLOWS, reason="Python 3.12 has mended wait_for"),
        ),
    ],
)
def test_a_request_whose_cancellation_is_swallowed_inside_is_answered_and_closed(stage, name):
    """It is answered whole, as if nothing had happened."""
    runs, calm = struck_runs(stage, name, cancel)
    swallowed = [[message["type"] for message in run.messages] for run in runs if run.outcome == "returned"]
    assert swallowed
    assert all(types == [message["type"] for message in calm.messages] for types in swallowed)


def test_a_cancellation_while_the_body_is_written_comes_out(stage):
    """Nobody waits in ``receive`` then, who could take it for a disconnect."""
    runs, _ = struck_runs(stage, "the body goes to the disk", swallowed_cancel)
    outcomes = {run.outcome for run in runs if "the body goes to the disk" in run.trace[next(iter(run.faults))]}
    assert outcomes == {"CancelledError"}
