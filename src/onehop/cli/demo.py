"""``onehop demo``: a small project on stock Django and on Onehop, side by side, in one table."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from onehop.demo.children import Children
from onehop.demo.nouns import S0, S1, DemoError, Pair, Report, Result
from onehop.demo.tour import BLOCKS, STEPS, environment, tour

NEEDED = {
    "uvicorn": "uvicorn",
    "httptools": "httptools",
    "httpx": "httpx",
    "django-prometheus": "django_prometheus",
    "django-cors-headers": "corsheaders",
}
WIDTH = 118


@click.command()
@click.option("--seconds", default=0.8, show_default=True, type=click.FloatRange(0.1, 60), help="Length of one block.")
@click.option("--keep", is_flag=True, help="Keep the project and say where it is.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(seconds: float, keep: bool, as_json: bool) -> None:
    """Make a small project and race stock Django against Onehop.

    Serves the project with uvicorn both ways, checks that both answer the same, counts hops and threads,
    and loads both in interleaved blocks. Takes about a minute. Exit code 1 if an answer differs.
    """
    _check_installed()
    folder = Path(tempfile.mkdtemp(prefix="onehop-demo-"))
    children = Children(folder, environment())
    try:
        with children, _progress() as report:
            result = tour(children, seconds, report)
    except DemoError as error:
        for line in error.lines:
            click.echo(f"  {line}", err=True)
        raise
    finally:
        if keep:
            click.echo(f"The project is in {folder}", err=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    if as_json:
        click.echo(json.dumps(_as_json(result, seconds, children.pids, folder if keep else None), indent=2))
    else:
        _print(result, seconds)
    if result.answers.differences:
        raise click.exceptions.Exit(1)


def _check_installed() -> None:
    """Raise ``DemoError`` if a distribution that the demo needs is missing."""
    missing = [name for name, module in NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        named = " and ".join(filter(None, [", ".join(missing[:-1]), missing[-1]]))
        verb = "is" if len(missing) == 1 else "are"
        raise DemoError(
            f'onehop demo needs {named}, which {verb} not installed. Run: pip install "django-onehop[demo]"'
        )


@contextmanager
def _progress() -> Iterator[Report]:
    """Yield a report that moves a bar on a terminal and prints plain lines elsewhere, both on stderr."""
    if not sys.stderr.isatty():
        yield lambda line: click.echo(line, err=True)
        return
    columns = (BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f}"), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, TextColumn("{task.description}"), console=console, transient=True) as progress:
        task = progress.add_task("making a project", total=STEPS)
        yield lambda line: progress.update(task, advance=1, description=line)


def _print(result: Result, seconds: float) -> None:
    """Print the table and the lines below it."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH)
    arrow = "→" if console.encoding.startswith("utf") else "->"
    table = Table(title=f"stock Django {arrow} Onehop", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("View", no_wrap=True)
    for heading in ("Hops", "Threads started", "Requests/s", "Ratio", "p50 ms", "p99 ms"):
        table.add_column(heading, justify="right")
    for row in result.rows:
        ratio = row.requests_per_s.ratio
        table.add_row(
            f"{row.view.stack.name} {row.view.path}",
            _cell(row.hops, arrow, "g"),
            _cell(row.threads, arrow, "g"),
            _cell(row.requests_per_s, arrow, ".0f"),
            f"{ratio:.2f}" if ratio else "",
            _cell(row.p50_ms, arrow),
            _cell(row.p99_ms, arrow),
            end_section=row.view.path == "/aggregate-sync/",
        )
    console.print(table)
    for line in _lines(result, seconds, arrow):
        console.print(line, markup=False, soft_wrap=True)


def _lines(result: Result, seconds: float, arrow: str) -> Iterator[str]:
    """Yield what is said below the table, in order."""
    ten = _cell(result.ten_users_s, arrow, ".2f")
    yield f"S1 /slow/, ten users at once, each waits for one second: {ten} s until all ten have their answer."
    yield ""
    for stack in (S0, S1):
        yield f"{stack.name}: {stack.described}."
    yield (
        "Hops and threads are per request, counted in a process of their own; the ten inner requests of "
        "/aggregate/ are not theirs."
    )
    yield (
        f"Each way was loaded in two blocks of {seconds:g} s, in the order {', '.join(BLOCKS)}, "
        "by 50 keep-alive clients (aggregations: 4) in a process of their own."
    )
    answers = result.answers
    if answers.differences:
        yield f"NOT THE SAME: {len(answers.differences)} differences in {answers.compared} requests:"
        yield from (f"  {line}" for line in answers.differences)
    else:
        yield f"Both gave the same answers to {answers.compared} requests: status, headers, cookies and body."
    yield f"Not compared: {'; '.join(answers.ignored)}."
    yield f"{', '.join(f'{name} {version}' for name, version in _versions().items())}; {os.cpu_count()} CPUs."


def _cell(pair: Pair, arrow: str, form: str | None = None) -> str:
    """Return both numbers, with three digits or more unless ``form`` says how."""
    return arrow.join(f"{number:{form or ('.0f' if number >= 100 else '.1f')}}" for number in (pair.stock, pair.onehop))


def _versions() -> dict[str, str]:
    names = ("Django", "asgiref", "uvicorn", "django-onehop")
    return {"Python": platform.python_version(), **{name: importlib.metadata.version(name) for name in names}}


def _as_json(result: Result, seconds: float, pids: list[int], folder: Path | None) -> dict[str, Any]:
    """Return the result with names and units, for ``--json``."""
    return {
        "versions": _versions(),
        "cpus": os.cpu_count(),
        "seconds_per_block": seconds,
        "rows": [
            {
                "stack": row.view.stack.name,
                "path": row.view.path,
                "clients": row.view.clients,
                "hops": asdict(row.hops),
                "threads_started": asdict(row.threads),
                "requests_per_s": asdict(row.requests_per_s),
                "ratio": row.requests_per_s.ratio,
                "p50_ms": asdict(row.p50_ms),
                "p99_ms": asdict(row.p99_ms),
                "blocks": [{"way": way, "requests_per_s": rate} for way, rate in row.blocks],
            }
            for row in result.rows
        ],
        "ten_users": {"path": "/slow/", "clients": 10, "seconds": asdict(result.ten_users_s)},
        "answers": asdict(result.answers) | {"same": not result.answers.differences},
        "pids": pids,
        "folder": str(folder) if folder else None,
    }
