"""Compare the two sides, test by test. Nothing here runs a test: ``again`` is called for that."""

import re
from collections import Counter

from tests.conformance.suite import module_of

MISSING = "missing"
"""The outcome of a test that did not run on a side: the set-up of its class has failed there."""


def compare(stock, onehop, again, known):
    """
    Compare what both sides have shown in full.

    Args:
        stock: A ``Run``.
        onehop: A ``Run`` of the same labels in the same mode.
        again: Runs the tests it is given once more, on both sides; returns the two ``Run``s.
        known: Reasons of the known differences, by test.

    Returns:
        A dictionary with
        ``differences``: what stock passes (or skips) and Onehop does not, each with its reason or None;
        ``flakes``: what was different at first and not when it ran again alone, with its exceptions by test;
        ``mended``: what only stock fails;
        ``baseline``: what fails on both sides, with its exceptions by test;
        ``otherwise``: what fails on both sides, with other exceptions;
        ``stale``: known differences that did not occur.
    """
    tests = sorted(stock.outcomes.keys() | onehop.outcomes.keys())
    doubtful = [test for test in tests if outcome(stock, test) != outcome(onehop, test)]
    both = [test for test in tests if test not in doubtful and outcome(stock, test) == "failed"]
    found = sort_out(doubtful, [stock, onehop], again, known)
    differing = [each["test"] for each in found["differences"]]
    return {
        **found,
        "baseline": {**{test: stock.texts[test] for test in both}, **found["baseline"]},
        "otherwise": [
            {"test": test, "stock": stock.texts[test], "onehop": onehop.texts[test]}
            for test in both
            if bare(stock.texts[test]) != bare(onehop.texts[test])
        ],
        "stale": [test for test in known if test in onehop.outcomes and test not in differing],
    }


def judge(onehop, again, known):
    """Compare with stock only what Onehop has failed. Arguments and result are as in ``compare``."""
    doubtful = sorted(test for test, outcome in onehop.outcomes.items() if outcome == "failed")
    found = sort_out(doubtful, [onehop], again, known)
    differing = [each["test"] for each in found["differences"]]
    stale = [test for test in known if test in onehop.outcomes and test not in differing]
    return {**found, "otherwise": [], "stale": stale}


def sort_out(doubtful, before, again, known):
    """Run again, alone, on both sides, what is in doubt after the runs before, and say what each test is."""
    found = {"differences": [], "flakes": {}, "mended": [], "baseline": {}}
    if not doubtful:
        return found
    stock, onehop = again(doubtful)
    for test in doubtful:
        if outcome(onehop, test) == outcome(stock, test) == "failed":
            found["baseline"][test] = stock.texts[test]
        elif outcome(onehop, test) == outcome(stock, test):
            found["flakes"][test] = "".join(run.texts.get(test, "") for run in before)
        elif outcome(onehop, test) == "failed" or outcome(stock, test) in ("passed", "skipped"):
            text = onehop.texts.get(test, outcome(onehop, test))
            found["differences"].append({"test": test, "onehop": text, "reason": known.get(test)})
        else:
            found["mended"].append(test)
    return found


def outcome(run, test):
    return run.outcomes.get(test, MISSING)


def bare(text):
    """Return a text without what differs from run to run: addresses, numbers of objects."""
    return re.sub(r"0x[0-9a-f]+|\d+", "#", text)


def by_module(run, labels):
    """Return for each label how many of its tests have passed, have run, and were skipped."""
    counted = Counter((module_of(test, labels), outcome) for test, outcome in run.outcomes.items())
    return {
        label: {
            "passed": counted[label, "passed"],
            "ran": counted[label, "passed"] + counted[label, "failed"],
            "skipped": counted[label, "skipped"],
        }
        for label in labels
    }
