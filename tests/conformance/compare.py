"""Compare the two sides, test by test. Nothing here runs a test: ``again`` is called for that."""

import re
from collections import Counter

from tests.conformance.figures import SIDES
from tests.conformance.suite import module_of

MISSING = "missing"
"""The outcome of a test that did not run on a side: the set-up of its class has failed there."""


def compare(stock, onehop, again, known):
    """
    Compare what both sides have shown in full.

    Args:
        stock: A ``Run``.
        onehop: A ``Run`` of the same labels in the same mode.
        again: ``again(tests, alone)`` runs tests once more on both sides, alone or within their whole modules, where
            what an earlier test has left behind is met again; returns the two ``Run``s.
        known: Reasons of the known differences, by test.

    Returns:
        A dictionary with
        ``differences``: what stock passes (or skips) and Onehop does not, each with its reason or None;
        ``flakes``: what was different at first and not again, each with the sides that have failed, and its exceptions;
        ``mended``: what only stock fails;
        ``baseline``: what fails on both sides, with its exceptions by test;
        ``otherwise``: what fails on both sides, with other exceptions;
        ``stale``: known differences that did not occur.
    """
    tests = sorted(stock.outcomes.keys() | onehop.outcomes.keys())
    doubtful = [test for test in tests if outcome(stock, test) != outcome(onehop, test)]
    found = nothing()
    note_common(found, set(tests) - set(doubtful), stock, onehop)
    if doubtful:
        second = again(doubtful, alone=False)
        sort_out(found, doubtful, ([stock, second[0]], [onehop, second[1]]), known)
    return {**found, "stale": stale(found, onehop, known)}


def judge(onehop, again, known):
    """
    Compare with stock only what Onehop has failed. Arguments and result are as in ``compare``.

    What fails alone is told apart alone, which is quick; what does not, within its whole module.
    """
    doubtful = sorted(test for test, outcome in onehop.outcomes.items() if outcome == "failed")
    found = nothing()
    if doubtful:
        stock, second = again(doubtful, alone=True)
        fails = {test for test in doubtful if outcome(second, test) == "failed"}
        note_common(found, fails, stock, second)
        sort_out(found, sorted(fails - found["baseline"].keys()), ([stock], [second]), known)
        if hidden := sorted(set(doubtful) - fails):
            third = again(hidden, alone=False)
            sort_out(found, hidden, ([stock, third[0]], [onehop, second, third[1]]), known)
    return {**found, "stale": stale(found, onehop, known)}


def nothing():
    return {"differences": [], "flakes": [], "mended": [], "baseline": {}, "otherwise": []}


def note_common(found, tests, stock, onehop):
    """Note which tests fail on both sides, and which of them otherwise."""
    for test in sorted(tests):
        if outcome(stock, test) == outcome(onehop, test) == "failed":
            texts = stock.texts[test], onehop.texts[test]
            found["baseline"][test] = texts[0]
            if bare(texts[0]) != bare(texts[1]):
                found["otherwise"].append({"test": test, "stock": texts[0], "onehop": texts[1]})


def sort_out(found, doubtful, runs, known):
    """Note what became of tests that were in doubt, after all runs of stock and all of Onehop; the last ones count."""
    stock, onehop = (side[-1] for side in runs)
    note_common(found, doubtful, stock, onehop)
    for test in doubtful:
        ours, theirs = outcome(onehop, test), outcome(stock, test)
        if ours == theirs != "failed":
            found["flakes"].append(
                {
                    "test": test,
                    "sides": [name for name, side in zip(SIDES, runs, strict=True) if fails_in(side, test)],
                    "text": "".join(run.texts.get(test, "") for side in runs for run in side[:-1]),
                }
            )
        elif ours != theirs and (ours == "failed" or theirs in ("passed", "skipped")):
            text = onehop.texts.get(test, ours)
            found["differences"].append({"test": test, "onehop": text, "reason": known.get(test)})
        elif ours != theirs:
            found["mended"].append(test)


def fails_in(runs, test):
    """Tell whether a test has failed, or is missing, in one of some runs at least."""
    return any(outcome(run, test) in ("failed", MISSING) for run in runs)


def stale(found, onehop, known):
    """Return the known differences that did not occur."""
    differing = [each["test"] for each in found["differences"]]
    return [test for test in known if test in onehop.outcomes and test not in differing]


def outcome(run, test):
    return run.outcomes.get(test, MISSING)


def bare(text):
    """Return a text without what differs from run to run: addresses, which are the identities of objects, too."""
    return re.sub(r"\b(0x[0-9a-f]+|\d{12,})\b", "#", text)


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
