"""``python -m tests.conformance``: run Django's own tests on stock Django and on Onehop, and compare them."""

import json
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console

from tests.conformance.compare import by_module, compare, judge
from tests.conformance.figures import complaints
from tests.conformance.known import rows_for
from tests.conformance.report import Report
from tests.conformance.source import digest, facts
from tests.conformance.suite import CouldNotRun, label_of, module_of, run
from tests.conformance.tiers import MODES, TIERS

NOTHING_FOUND, FOUND, COULD_NOT_RUN = range(3)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("labels", nargs=-1)
@click.option("--tests", required=True, type=click.Path(exists=True, path_type=Path), help="Folder of runtests.py.")
@click.option("--mode", "modes", multiple=True, type=click.Choice([*MODES]), help="Default: all.")
@click.option("--tier", "tiers", multiple=True, type=click.Choice([*map(str, TIERS)]), help="Default: all.")
@click.option("--quick", is_flag=True, help="Run only Onehop, and stock only for what has failed.")
@click.option("--workers", default=os.cpu_count(), show_default=True, help="How many processes share the tests.")
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write the result to FILE.")
def main(labels, tests, modes, tiers, quick, workers, file):
    """
    Run Django's own tests, or those of the modules LABELS, on stock Django and on Onehop.

    Ends with 0 if Onehop fails nothing that stock passes, else with 1; with 2 if the tests could not run.
    """
    chosen = {"given": labels} if labels else {name: TIERS[name] for name in sorted(map(int, tiers or TIERS))}
    parts = [(mode, tier) for mode in sorted(modes or MODES) for tier in chosen]
    result = {
        **facts(),
        "date": datetime.now(UTC).date().isoformat(),
        "complete": not (labels or quick or modes or tiers),
        "parts": [],
    }
    for number in signal.SIGINT, signal.SIGTERM:  # a job of a shell's background ignores the first
        signal.signal(number, signal.default_int_handler)
    report = Report(Console(highlight=False), sum(1 if quick else 2 for _ in parts))
    report.title(result)
    try:
        for mode, tier in parts:
            result["parts"].append(examine(tests, mode, tier, chosen[tier], quick, workers, report))
            report.part(result["parts"][-1])
    except (CouldNotRun, KeyboardInterrupt) as error:
        report.stopped(error)
        result["complete"] = False
        code = COULD_NOT_RUN
    else:
        found = [complaint for part in result["parts"] for complaint in complaints(part)]
        report.summary(found)
        code = FOUND if found else NOTHING_FOUND
        result["complete"] &= digest() == result["source"]  # nobody has edited it meanwhile
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(result, indent=1) + "\n")
    sys.exit(code)


def examine(tests, mode, tier, labels, quick, workers, report):
    """Run the modules of a tier in a mode, and return what was found."""
    runs = {}
    for side in ("onehop",) if quick else ("stock", "onehop"):
        with report.running(mode, tier, side) as progress:
            runs[side] = run(tests, side, mode, labels, workers, progress)

    def again(doubtful, alone):
        chosen = sorted({label_of(test) if alone else module_of(test, labels) for test in doubtful})
        what = f"{len(chosen)} {'alone' if alone else 'modules'}, again"
        with report.running(mode, tier, what, again=True) as progress:
            return [run(tests, side, mode, chosen, 1 if alone else workers, progress) for side in ("stock", "onehop")]

    known = rows_for(facts()["release"], mode)  # of the installed Django, whose tests these are
    found = judge(runs["onehop"], again, known) if quick else compare(runs["stock"], runs["onehop"], again, known)
    counted = {side: by_module(each, labels) for side, each in runs.items()}
    return {
        "mode": mode,
        "tier": tier,
        "modules": {label: {side: counted[side][label] for side in runs} for label in labels},
        "requests": {side: each.requests for side, each in runs.items()},
        "seconds": {side: each.seconds for side, each in runs.items()},
        **found,
    }


if __name__ == "__main__":
    main(prog_name="python -m tests.conformance")
