"""Compare Onehop with stock Django on random sites for as long as it takes: ``python -m tests.parity --help``."""

import json
import multiprocessing
import os
import queue
import signal
import sys
import time
from collections import Counter

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tests.parity import fuzz

REQUESTS_PER_STACK = 20
"""At most, on average: Hypothesis draws no case that is much larger."""
TOLD_EVERY_S = 30
NOTHING_FOUND, FOUND, COULD_NOT_RUN = range(3)


class Found:
    """What a run has found so far; ``stacks`` are digests, so that one that two processes drew counts once."""

    def __init__(self):
        self.counts, self.used, self.kinds = Counter(), Counter(), Counter()
        self.stacks, self.differences = set(), []

    def add(self, counts, used, kinds, stacks, difference):
        self.counts.update(counts)
        self.used.update(used)
        self.kinds.update(kinds)
        self.stacks |= stacks
        if difference is not None:
            self.differences.append(difference)


@click.command()
@click.option("--pairs", default=2_000, show_default=True, help="Stop after this many pairs of requests …")
@click.option(
    "--stacks", type=int, help=f"… over at least this many different stacks.  [default: pairs / {REQUESTS_PER_STACK}]"
)
@click.option("--seed", default=0, show_default=True, help="The same seed draws the same cases.")
@click.option("--jobs", default=1, show_default=True, help="Processes.")
@click.option("--json", "target", type=click.Path(dir_okay=False), help="Write the result to this file.")
@click.option("--minutes", type=float, help="Stop after this time, too.")
def main(pairs, stacks, seed, jobs, target, minutes):
    """Send the same requests to stock Django and to Onehop, on random sites, and compare everything they do."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a job of a shell's background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    console = Console(stderr=True)
    stacks = max(1, pairs // REQUESTS_PER_STACK) if stacks is None else stacks
    found, begun = Found(), time.monotonic()
    processes, lost = [], False
    try:
        lost = gather(found, processes, pairs, stacks, seed, jobs, minutes, console)
    except KeyboardInterrupt:
        console.print("Stopped; the figures so far:")
    for process in processes:
        process.terminate()
    report(found, seed, time.monotonic() - begun, target)
    if lost:
        console.print("A process has ended unexpectedly; what it printed is above.")
    sys.exit(FOUND if found.differences else COULD_NOT_RUN if lost else NOTHING_FOUND)


def gather(found, processes, pairs, stacks, seed, jobs, minutes, console):
    """
    Have processes compare until enough was compared.

    Args:
        processes: Where to put them.

    Returns:
        Whether one of them has ended, which none should.
    """
    context = multiprocessing.get_context("spawn")
    numbers, results = context.Queue(), context.Queue()
    requests_per_stack = min(REQUESTS_PER_STACK, max(1, round(pairs / max(1, stacks))))
    for _ in range(jobs):
        arguments = numbers, results, seed, requests_per_stack
        processes.append(context.Process(target=fuzz.work, args=arguments, daemon=True))
        processes[-1].start()
    for number in range(1, 2 * jobs + 1):
        numbers.put(number)
    next_number = 2 * jobs + 1
    begun = told = time.monotonic()
    with _progress(console) as progress:
        task = progress.add_task("pairs", total=pairs, stacks=0, found=0)
        while found.counts["pairs"] < pairs or len(found.stacks) < stacks:
            now = time.monotonic()
            if minutes is not None and now - begun > minutes * 60:
                break
            if not console.is_terminal and now - told > TOLD_EVERY_S:
                told = now
                console.print(tell(found, pairs, stacks, now - begun), soft_wrap=True)
            try:
                *figures, difference = results.get(timeout=1)
            except queue.Empty:
                if not all(process.is_alive() for process in processes):
                    return True
                continue
            found.add(*figures, difference)
            if difference is not None:
                console.print(difference, markup=False, highlight=False, soft_wrap=True)
            numbers.put(next_number)
            next_number += 1
            progress.update(
                task,
                completed=found.counts["pairs"],
                stacks=len(found.stacks),
                found=len(found.differences),
            )
    return False


def tell(found, pairs, stacks, seconds):
    """Return a line about how far a run is."""
    done = min(found.counts["pairs"] / max(1, pairs), len(found.stacks) / max(1, stacks))
    left = f"{seconds * (1 - done) / done / 60:.0f} min left" if done else "not yet known what is left"
    return (
        f"{found.counts['pairs']} of {pairs} pairs, {len(found.stacks)} of {stacks} stacks, "
        f"{found.counts['pairs'] / seconds:.0f} pairs/s, {len(found.differences)} differences, {left}"
    )


def _progress(console):
    return Progress(
        TextColumn("{task.completed} of {task.total} pairs, {task.fields[stacks]} stacks"),
        BarColumn(),
        TextColumn("{task.fields[found]} differences"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def report(found, seed, seconds, target):
    """Print what was found, and write it as JSON."""
    import django

    console = Console()
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
        "cases": found.counts["cases"],
        "stacks": len(found.stacks),
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
