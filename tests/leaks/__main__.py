"""
The leak oracle: ``python -m tests.leaks``.

Interleaved requests, each with a canary of its own, to stock Django, to Onehop, and to naive variants of Onehop that
must be caught. Exit code 0: nothing found; 1: a leak, a loss, or a naive variant that was not caught; 2: not run.
"""

import json
import platform
import secrets
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tests.leaks.children import Children, Failed, merge
from tests.leaks.packages import MISSING, PRESENT
from tests.leaks.verdict import ALWAYS_OWN, Verdict

SHARES = {
    "onehop": 0.6,
    "onehop, 4 threads": 0.15,
    "onehop, installed": 0.1,
    "onehop, never": 0.1,
    "onehop WSGI": 0.05,
}
STOCK = ("stock", "stock WSGI")
NAIVE = ("naive: hooks inline", "naive: raw threads", "naive: bare hop", "naive: module globals")
FEWEST = 300
"""Fewest requests to stock Django, and to each naive variant."""
MOST_FOR_STOCK = 6_000
MOST_FOR_NAIVE = 2_400
WIDTH = 140
SHARD = 20_000
"""Most requests of one process."""


@click.command(help=__doc__)
@click.option("--requests", default=20_000, show_default=True, help="Requests to Onehop, all its settings together.")
@click.option("--jobs", default=2, show_default=True, help="Processes at once.")
@click.option("--seed", type=int, help="Repeats a run: the same requests in the same order, not the same timing.")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write the figures here.")
def main(requests, jobs, seed, json_file):
    seed = secrets.randbelow(10**6) if seed is None else seed
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    console.print(
        f"Python {platform.python_version()}, Django {version('django')}, asgiref {version('asgiref')}, seed {seed}. "
        f"Packages: {', '.join(f'{name} {version(name)}' for name in PRESENT)}."
    )
    for name, why in MISSING.items():
        console.print(f"[yellow]Skipped: {name} ({why}).")
    reports, failures = run(requests, jobs, seed, console)
    if set(STOCK + NAIVE) - reports.keys() or not any(name.startswith("onehop") for name in reports):
        failures.append("not every contender has come to its end")
    verdict = Verdict(reports, NAIVE)
    show(console, verdict)
    if json_file is not None:
        figures = {"seed": seed, "django": version("django"), "python": platform.python_version(), "skipped": MISSING}
        found = {"faults": verdict.faults, "blind": verdict.blind, "failures": failures, "caught": verdict.caught}
        json_file.write_text(json.dumps({**figures, **found, "contenders": reports}, indent=1) + "\n")
    for fault in verdict.faults[:20]:
        console.print(f"[red]{fault}")
    for failure in failures:
        console.print(f"[red]Could not run: {failure}.")
    if verdict.blind:
        console.print(f"[red]Nothing was shown of {', '.join(verdict.blind)}: no canary was read there.")
    sys.exit(1 if verdict.faults else 2 if failures or verdict.blind else 0)


def run(requests, jobs, seed, console):
    """Run everything: stock Django first, because it says what has to be seen. Return reports and failures."""
    reports, failures = {}, []
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    few = max(requests // 5, FEWEST)
    first = [(name, name, min(few, MOST_FOR_STOCK), 0) for name in STOCK]
    then = [(name, "stock", min(few, MOST_FOR_NAIVE), 0) for name in NAIVE] + list(_shards_of(requests))
    with Children(seed) as children, Progress(*columns, console=console) as progress:
        bars = {}
        for name, _, count, _ in [*first, *then]:
            bars.setdefault(name, progress.add_task(name, total=0))
            progress.update(bars[name], total=progress.tasks[bars[name]].total + count)

        def one(name, baseline, count, shard):
            before = 0

            def told(done):
                nonlocal before
                progress.advance(bars[name], done - before)
                before = done

            try:
                report = children.run(name, baseline, count, shard, told)
            except Failed as failure:
                failures.append(str(failure))
            else:
                if report is not None:
                    reports.setdefault(name, []).append(report)

        with ThreadPoolExecutor(jobs) as threads:
            try:
                list(threads.map(lambda part: one(*part), first))
                if not failures:
                    list(threads.map(lambda part: one(*part), then))
            except KeyboardInterrupt:
                failures.append("Ctrl-C; these are the figures so far")
                children.end()
    return {name: merge(parts) for name, parts in reports.items()}, failures


def _shards_of(requests):
    for name, share in SHARES.items():
        rest, shard = round(requests * share), 0
        while rest > 0:
            yield name, "stock WSGI" if "WSGI" in name else "stock", min(rest, SHARD), shard
            rest, shard = rest - SHARD, shard + 1


def show(console, verdict):
    """Print the figures of each contender, and of each kind of store."""
    table = Table("contender", "requests", "per s", "threads", "reads", "canaries", "rows", "leaks", "lost", "listed")
    for name, report in verdict.reports.items():
        rate = report["requests"] / report["seconds"]
        sums = [sum(report[key].values()) for key in ("canaries", "rows", "leaks", "lost", "listed")]
        figures = [report["requests"], round(rate), report["threads"], report["reads"], *sums]
        table.add_row(name, *(f"{figure:,}" for figure in figures))
    console.print(table)
    table = Table("kind", "own canaries read by Onehop", "caught in")
    for kind, count in verdict.kinds.items():
        caught = ", ".join(name.removeprefix("naive: ") for name in verdict.caught[kind])
        table.add_row(kind, f"{count:,}", caught or f"({ALWAYS_OWN.get(kind, 'by none')})")
    console.print(table)


if __name__ == "__main__":
    main()
