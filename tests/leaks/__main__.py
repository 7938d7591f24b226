"""
The leak oracle: ``python -m tests.leaks``.

Interleaved requests, each with a canary of its own, to stock Django, to Onehop, and to naive variants of Onehop that
must be caught. Exit code 0: nothing found; 1: a leak, a loss, or a naive variant that was not caught; 2: not run, or
ended by Ctrl-C, with the figures so far.
"""

import json
import platform
import secrets
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
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
FEWEST_FOR_STOCK, FEWEST_FOR_NAIVE = 300, 120
MOST_FOR_STOCK = 20_000
MOST_FOR_NAIVE = 2_400
ATTEMPTS = 3
"""So often the naive variants are sent requests, as long as there is a kind of store that was not caught in any."""
OF_ONE_SHAPE = 15
"""Requests to stock Django of each of the shapes that are sent often."""
WIDTH = 140
SHARD = 20_000
"""Most requests of one process."""
LINE_EVERY_S = 30


@click.command(help=__doc__)
@click.option("--requests", default=20_000, show_default=True, help="Requests to Onehop, all its settings together.")
@click.option("--jobs", default=2, show_default=True, help="Processes at once.")
@click.option("--seed", type=int, help="Repeats a run: the same requests in the same order, not the same timing.")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write the figures here.")
def main(requests, jobs, seed, json_file):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job of a shell's background ignores it
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
    few = requests // 5
    for_stock = min(max(few, FEWEST_FOR_STOCK), MOST_FOR_STOCK)
    for_naive = min(max(few, FEWEST_FOR_NAIVE), MOST_FOR_NAIVE)
    first = [(name, name, for_stock, 0) for name in STOCK]
    naive = [[(name, "stock", for_naive, attempt) for name in NAIVE] for attempt in range(ATTEMPTS)]
    children = Children(seed, for_stock // (2 * OF_ONE_SHAPE))
    bars = {}
    with _ended_by_ctrl_c(children), children, Progress(*columns, console=console) as progress, _lines_of(progress):

        def expect(parts):
            for name, _, count, _ in parts:
                if name not in bars:
                    bars[name] = progress.add_task(name, total=0)
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

        def send(parts):
            with ThreadPoolExecutor(jobs) as threads:
                list(threads.map(lambda part: one(*part), parts))
            return {name: merge(found) for name, found in reports.items()}

        shards = list(_shards_of(requests))
        expect([*first, *naive[0], *shards])
        merged = send(first)
        if not failures:
            merged = send([*naive[0], *shards])
        for more in naive[1:]:
            if failures or children.ended or not Verdict(merged, NAIVE).uncaught:
                break
            expect(more)
            merged = send(more)
        if children.ended:
            failures.append("Ctrl-C; these are the figures so far")
    return merged, failures


@contextmanager
def _ended_by_ctrl_c(children):
    """Have Ctrl-C, and ``kill -INT`` also in a job of a shell's background, end the children with what they have."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, lambda *_: children.end())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _lines_of(progress):
    """Print a line now and then, where no bar can be seen."""
    over = threading.Event()

    def tell():
        while not over.wait(LINE_EVERY_S):
            tasks = progress.tasks
            done, total = sum(task.completed for task in tasks), sum(task.total for task in tasks)
            click.echo(f"{progress.get_time() - begun:.0f} s: {done:,.0f} of {total:,.0f} requests", err=True)

    begun = progress.get_time()
    if sys.stderr.isatty() or progress.console.quiet:
        yield
        return
    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()


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
