"""What the figures of all contenders say."""

ALWAYS_OWN = {
    "request": "an attribute of the request itself",
    "row of django-easy-audit, requests": "the user is read from the request's own cookie",
}
"""Kinds that none of the naive variants can mix up, and why. They are looked at all the same."""
ENOUGH = 100
"""A naive variant that was sent fewer requests, because the run was ended, has not failed to be caught."""


class Verdict:
    """
    What was found.

    Attributes:
        reports: The merged report of each contender.
        faults: Sentences; empty when nothing is wrong with stock Django and Onehop, and every naive variant is caught.
        kinds: For each kind of store that there is, how many own canaries Onehop has read.
        blind: Those in which Onehop was never seen to hold one: nothing was shown of them.
        caught: For each kind of store, the naive variants that leaked or lost it.
        uncaught: The kinds that none of them leaked or lost, though it could have.
    """

    def __init__(self, reports, naive):
        self.reports = reports
        kinds = sorted({kind for report in reports.values() for kind in report["canaries"]})
        ours = [report for name, report in reports.items() if name.startswith("onehop")]
        self.kinds = {kind: sum(report["canaries"].get(kind, 0) for report in ours) for kind in kinds}
        self.blind = [kind for kind, count in self.kinds.items() if not count]
        self.caught = {
            kind: [name for name in naive if name in reports and _shows(reports[name], kind)] for kind in kinds
        }
        self.uncaught = [kind for kind, caught in self.caught.items() if not caught and kind not in ALWAYS_OWN]
        self.faults = [
            f"{name}: {what}"
            for name, report in reports.items()
            for what in (_faults_of_naive(report) if name in naive else _faults_of(report))
        ]
        if all(name in reports and reports[name]["requests"] >= ENOUGH for name in naive):
            self.faults += [f"{kind}: no naive variant was caught here" for kind in self.uncaught]


def _shows(report, kind):
    return bool(report["leaks"].get(kind)) or any(cell.endswith(f": {kind}") for cell in report["lost"])


def _faults_of(report):
    for kind, count in report["leaks"].items():
        yield f"{count} leaks in {kind}; {next(iter(report['examples']), '')}"
    for cell, count in report["lost"].items():
        yield f"lost {count} times: {cell}"
    for cell, count in report["unsought"].items():
        yield f"came there never, not about {count} times: {cell}"
    for what, count in report["odd"].items():
        yield f"answered otherwise {count} times: {what}"


def _faults_of_naive(report):
    if not report["leaks"] and report["requests"] >= ENOUGH:
        yield "not caught: no leak was seen, so the oracle does not see"
