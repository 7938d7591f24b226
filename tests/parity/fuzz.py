"""Draw cases with Hypothesis until one differs, and make that one small."""

import random
import signal

import hypothesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Flaky

from tests.parity import compare, drawn
from tests.parity.world import World

STACKS_PER_BATCH = 25


def find(world, seed, stacks, cases, counts, shrink=True):
    """
    Compare random cases.

    Args:
        seed: A pair of numbers; the same one draws the same cases.
        stacks: How many cases.
        cases: The strategy that draws them.
        counts: ``compare.Counts`` to add to. What is run to make a differing case small is not counted.
        shrink: Make a differing case small.

    Returns:
        The ``Difference`` of the differing case; None if none differs.
    """
    quiet = compare.Counts()
    found = []

    @hypothesis.seed(random.Random(repr(seed)).getrandbits(64))
    @settings(
        max_examples=stacks,
        deadline=None,
        database=None,
        phases=[Phase.generate, *([Phase.shrink] if shrink else [])],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
    )
    @given(cases)
    def run(case):
        try:
            compare.compare(case, world, quiet if found else counts)
        except compare.Difference as difference:
            found.append(difference)
            raise

    try:
        run()
    except compare.Difference as difference:
        return difference
    except Flaky:  # it does not differ every time
        return found[-1]
    return None


def work(numbers, results, seed, requests_per_stack):
    """Compare batch after batch; one process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    compare.prepare()
    cases = drawn.cases(most=2 * requests_per_stack)
    with World().open() as world:
        while (number := numbers.get()) is not None:
            counts = compare.Counts()
            difference = find(world, (seed, number), STACKS_PER_BATCH, cases, counts)
            results.put((dict(counts), dict(counts.used), dict(counts.kinds), difference and str(difference)))
