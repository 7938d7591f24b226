"""Compare Onehop with stock Django on random sites for as long as it takes: ``python -m tests.parity --help``."""

import json
import multiprocessing
import os
import queue
import sys
import time
from collections import Counter

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tests.parity import fuzz

NOTHING_FOUND, FOUND, COULD_NOT_RUN = range(3)


class Found:
    """What a run has found so far."""

    def __init__(self):
        self.counts, self.used, self.kinds, self.differences = Counter(), Counter(), Counter(), []

    def add(self, counts, used, kinds, difference):
        self.counts.update(counts)
        self.used.update(used)
        self.kinds.update(kinds)
        if difference is not None:
            self.differences.append(difference)


@click.command()
@click.option("--pairs", default=2_000, show_default=True, help="Stop after this many pairs of requests …")
@click.option("--stacks", default=100, show_default=True, help="… over at least this many stacks.")
@click.option("--seed", default=0, show_default=True, help="The same seed draws the same cases.")
@click.option("--jobs", default=1, show_default=True, help="Processes.")
@click.option("--json", "target", type=click.Path(dir_okay=False), help="Write the result to this file.")
@click.option("--minutes", type=float, help="Stop after this time, too.")
def main(pairs, stacks, seed, jobs, target, minutes):
    """Send the same requests to stock Django and to Onehop, on random sites, and compare everything they do."""
    console = Console(stderr=True)
    context = multiprocessing.get_context("spawn")
    numbers, results = context.Queue(), context.Queue()
    requests_per_stack = max(1, round(pairs / stacks))
    processes = [
        context.Process(target=fuzz.work, args=(numbers, results, seed, requests_per_stack), daemon=True)
        for _ in range(jobs)
    ]
    for process in processes:
        process.start()
    found, begun = Found(), time.monotonic()
    next_number = 0
    for next_number in range(1, 2 * jobs + 1):
        numbers.put(next_number)
    try:
        with _progress(console) as progress:
            task = progress.add_task("pairs", total=pairs, stacks=0, found=0)
            while found.counts["pairs"] < pairs or found.counts["stacks"] < stacks:
                if minutes is not None and time.monotonic() - begun > minutes * 60:
                    break
                try:
                    found.add(*results.get(timeout=1))
                except queue.Empty:
                    if not all(process.is_alive() for process in processes):
                        console.print("A process has ended unexpectedly; what it printed is above.")
                        sys.exit(COULD_NOT_RUN)
                    continue
                next_number += 1
                numbers.put(next_number)
                progress.update(
                    task,
                    completed=found.counts["pairs"],
                    stacks=found.counts["stacks"],
                    found=len(found.differences),
                )
    except KeyboardInterrupt:
        console.print("Stopped; the figures so far:")
    for process in processes:
        process.terminate()
    report(found, seed, time.monotonic() - begun, target)
    sys.exit(FOUND if found.differences else NOTHING_FOUND)


def _progress(console):
    return Progress(
        TextColumn("{task.completed} of {task.total} pairs, {task.fields[stacks]} stacks"),
        BarColumn(),
        TextColumn("{task.fields[found]} differences"),
        TimeRemainingColumn(),
        console=console,
    )


def report(found, seed, seconds, target):
    """Print what was found, and write it as JSON."""
    import django

    console = Console()
    for difference in found.differences:
        console.print(difference, markup=False, highlight=False, soft_wrap=True)
    tables = {"Listed exceptions": found.used, "Cases by kind": found.kinds}
    for title, counted in tables.items():
        table = Table("what", "how often", title=title)
        for name, number in sorted(counted.items()):
            table.add_row(name, str(number))
        console.print(table)
    result = {
        "django": django.__version__,
        "python": sys.version.split()[0],
        "seed": seed,
        "seconds": round(seconds, 1),
        "pairs": found.counts["pairs"],
        "stacks": found.counts["stacks"],
        "pairs_without_a_hop": found.counts["pairs without a hop"],
        "differences": found.differences,
        "listed_exceptions": dict(found.used),
        "kinds": dict(found.kinds),
    }
    summary = f"{result['pairs']} pairs over {result['stacks']} stacks in {result['seconds']} s"
    console.print(f"{summary}: {len(found.differences)} differences (Django {result['django']}, seed {seed})")
    if target:
        with open(target, "w") as file:
            json.dump(result, file, indent=1)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.project.settings")
    main()
