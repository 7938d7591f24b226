"""Say what is found while it is found."""

import time
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.conformance.figures import SIDES, lines_of, ratio, requests_of, total
from tests.conformance.suite import module_of


class Report:
    """
    What the command prints.

    Args:
        console: Where.
        runs: How many runs of Django's tests there will be, without those that run something again.
    """

    def __init__(self, console, runs):
        self.console = console
        self.runs = runs
        self.begun = 0

    def title(self, result):
        versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
        self.console.print(f"Django's own tests on {versions}; Onehop {result['source']}", soft_wrap=True)

    @contextmanager
    def running(self, mode, tier, what, again=False):
        """Show how far a run is, on stderr. Yields what takes the number of tests that are done, and the last one."""
        if not again:
            self.begun += 1
        title = f"Mode {mode}, tier {tier}, {SIDES.get(what, what)}: run {self.begun} of {self.runs}"
        console = Console(stderr=True, highlight=False)
        if not console.is_terminal:
            yield line_by_line(console, title)
            return
        columns = SpinnerColumn(), TextColumn("{task.description}, {task.completed:,} tests"), TimeElapsedColumn()
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task(title)
            yield lambda done, test: progress.update(task, completed=done)

    def part(self, part):
        """Print what a mode has shown for a tier."""
        sides = list(part["seconds"])
        self.console.print(heading(part), style="bold", soft_wrap=True)
        table = Table(box=None, pad_edge=False)
        table.add_column("module")
        for side in sides:
            table.add_column(SIDES[side], justify="right")
        for module, counted in part["modules"].items():
            table.add_row(module, *(ratio(counted[side]) for side in sides))
        table.add_row("all", *(ratio(total(part, side)) for side in sides), style="bold")
        self.console.print(table)
        for line in lines_of(part):
            self.console.print(f"  {line}", markup=False, soft_wrap=True)
        self.console.print()

    def summary(self, found):
        text, style = (f"{len(found)} found.", "bold red") if found else ("Nothing found.", "green")
        self.console.print(text, style=style)

    def stopped(self, error):
        """Say that the run ended early."""
        self.console.print(
            f"Stopped: {str(error) or 'interrupted'}. What is above is all there is.", markup=False, soft_wrap=True
        )


def line_by_line(console, title):
    """Return what prints a line for each module, at its first test."""
    begin, modules = time.monotonic(), set()

    def show(done, test):
        module = module_of(test, ())
        if module not in modules:
            modules.add(module)
            spent = time.monotonic() - begin
            console.print(f"{title}, {done:,} tests, {spent:.0f} s: {module}", markup=False, soft_wrap=True)

    return show


def heading(part):
    seconds = " and ".join(f"{SIDES[side]} {spent:.0f} s" for side, spent in part["seconds"].items())
    seen = part["requests"]["onehop"]
    return (
        f"Mode {part['mode']}, tier {part['tier']}: {requests_of(seen):,} requests, "
        f"{seen.get('planned', 0):,} planned ({seconds})"
    )
