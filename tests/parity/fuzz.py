"""Draw cases with Hypothesis until one differs, and make that one small."""

import gc
import random
import signal
import warnings

import hypothesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Flaky

from tests.parity import compare, drawn
from tests.parity.world import World

CASES_PER_BATCH = 25


def find(world, seed, number, cases, counts, *, shrink=True, distinct=False):
    """
    Compare random cases.

    Args:
        seed: A pair of numbers; the same one draws the same cases.
        number: How many cases.
        cases: The strategy that draws them.
        counts: ``compare.Counts`` to add to. What is run to make a differing case small is not counted.
        shrink: Make a differing case small.
        distinct: No two cases have the same stack; Hypothesis draws variations of what it has drawn.

    Returns:
        The ``Difference`` of the differing case; None if none differs.
    """
    quiet = compare.Counts()
    found = []

    @hypothesis.seed(random.Random(repr(seed)).getrandbits(64))
    @settings(
        max_examples=number,
        deadline=None,
        database=None,
        phases=[Phase.generate, *([Phase.shrink] if shrink else [])],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
    )
    @given(cases)
    def run(case):
        if distinct and not found and compare.stack_of(case) in counts.stacks:
            hypothesis.reject()
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
            difference = find(world, (seed, number), CASES_PER_BATCH, cases, counts, distinct=True)
            figures = dict(counts), dict(counts.used), dict(counts.kinds), counts.stacks
            results.put((*figures, difference and str(difference)))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about what stock Django has not closed
                gc.collect()  # the world has disabled it, and each case has classes of its own, which are cycles
