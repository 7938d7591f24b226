"""``python -m tests.faults``: every fault at every phase, and all bad input, on stock Django and Onehop; the page."""

import gc
import json
import logging
import os
import platform
import sys
import warnings
from collections import Counter
from pathlib import Path

import click
from rich.console import Console
from rich.progress import track

PAGE = Path(__file__).parent.parent.parent / "docs" / "faults.md"


@click.command()
@click.option("--write", is_flag=True, help="Write docs/faults.md.")
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False), help="Write the outcome of each request to a file."
)
@click.option("--only", default="", help="Only cases with these words in their name.")
def main(write, json_file, only):
    """Compare faults and bad input. Exit code 0: equal or better; 1: something is worse; 2: could not run."""
    console = Console(stderr=True)
    if write and only:
        raise click.UsageError("--write needs the whole run: leave --only out.")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.project.settings")
    try:
        import django

        django.setup(set_prefix=False)
        from django.core.management import call_command

        call_command("migrate", verbosity=0, interactive=False)
        from tests.faults.inputs import INPUTS
        from tests.faults.table import CASES
    except Exception as error:
        console.print(f"Could not run: {error!r}")
        sys.exit(2)
    outcomes = []
    try:
        for case in track([each for each in (*CASES, *INPUTS) if only in str(each)], "faults", console=console):
            outcomes.append((case, outcome_of(case, console)))
    except KeyboardInterrupt:
        console.print("Interrupted.")
        write = False
    counts = Counter("worse" if why is None else "better" if why else "equal" for _, why in outcomes)
    console.print(f"{len(outcomes)} pairs: " + ", ".join(f"{count} {word}" for word, count in sorted(counts.items())))
    if json_file:
        told = {str(case): None if why is None else [reason.text for reason in why] for case, why in outcomes}
        Path(json_file).write_text(json.dumps(told, indent=1))
    if write:
        from tests.faults.page import page_of

        versions = f"Django {django.__version__}, Python {platform.python_version()}"
        PAGE.write_text(page_of(outcomes, versions))
    sys.exit(1 if counts["worse"] else 0)


def outcome_of(case, console):
    """Return the reasons for which Onehop is better in a case; None if it is worse, which is printed."""
    from tests.faults.judge import Worse, tried

    logging.lastResort = None
    gc.collect()
    gc.freeze()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return tried(case)
        except Worse as worse:
            console.print(str(worse), markup=False)
            return None


if __name__ == "__main__":
    main()
