"""``onehop bench``: measure stock Django and Onehop, side by side, in this project or the built-in one."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import nullcontext, redirect_stdout
from typing import Any

import click

from onehop.bench.answers import AnswersDiffer, BenchError
from onehop.bench.contenders import CONTENDERS, PROJECT, VIEWS
from onehop.bench.result import Result, result_of
from onehop.bench.run import Options, Record, run, steps_in
from onehop.bench.table import cells, headings, notes, plain, title

ROUNDS, QUICK_ROUNDS = 2, 1
BLOCK_S, QUICK_BLOCK_S = 0.3, 0.02
CLIENTS, QUICK_CLIENTS = (50, 200), (2, 8)
INTERRUPTED = 130


class NotMeasured(click.ClickException):
    """Something could not be measured."""

    exit_code = 2


class NotComparable(click.ClickException):
    """A contender answers something else than stock Django."""

    exit_code = 1


@click.command("bench", short_help="Measure stock Django and Onehop.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option("--rounds", type=click.IntRange(min=1), metavar="N", help=f"How often to measure [{ROUNDS}].")
@click.option("--quick", is_flag=True, help="A few seconds: shows that it works, not how quick it is.")
@click.option("--view", "views", multiple=True, type=click.Choice(VIEWS), help="Only this built-in view.")
@click.option("--contender", "contenders", multiple=True, type=click.Choice(list(CONTENDERS)), help="Only this.")
@click.option("--url", "urls", multiple=True, metavar="/PATH/", help="Measure this URL of your own project.")
@click.option("--settings", metavar="MODULE", help="The settings of your own project, for --url.")
@click.pass_context
def command(
    ctx: click.Context,
    as_json: bool,
    rounds: int | None,
    quick: bool,
    views: tuple[str, ...],
    contenders: tuple[str, ...],
    urls: tuple[str, ...],
    settings: str | None,
) -> None:
    """
    Measure stock Django and Onehop in fresh, interleaved processes.

    Without --url it measures five views of a built-in project. Exit codes: 1 a contender gave another answer
    than stock Django; 2 something could not be measured; 130 interrupted, what was measured is printed.
    """
    options = Options(
        contenders=tuple(dict.fromkeys(contenders or CONTENDERS)),
        named=bool(contenders),
        views=_views(views, urls, settings),
        settings=_project(settings) if urls else PROJECT,
        rounds=rounds or (QUICK_ROUNDS if quick else ROUNDS),
        block_s=QUICK_BLOCK_S if quick else BLOCK_S,
        concurrencies=QUICK_CLIENTS if quick else CLIENTS,
    )
    record = Record(options)
    try:
        with _progress(steps_in(options)) as show:
            for line in run(record):
                show(line)
    except KeyboardInterrupt:
        _print(result_of(record), as_json)
        ctx.exit(INTERRUPTED)
    except AnswersDiffer as error:
        raise NotComparable(str(error)) from error
    except BenchError as error:
        raise NotMeasured(str(error)) from error
    _print(result_of(record), as_json)


def _views(views: tuple[str, ...], urls: tuple[str, ...], settings: str | None) -> tuple[str, ...]:
    """Return the URLs to measure: unique, in the order given."""
    if urls and views:
        raise click.UsageError("--view names a view of the built-in project, --url one of yours. Give one of them.")
    if settings and not urls:
        raise click.UsageError("--settings names your project, but no URL of it. Add --url /path/")
    for url in urls:
        if not url.startswith("/"):
            raise click.UsageError(f"--url {url} does not start with a slash. Give path and query only: --url /{url}")
    return tuple(dict.fromkeys(urls or views or VIEWS))


def _project(settings: str | None) -> str:
    from onehop.cli import find_project

    with redirect_stdout(sys.stderr):  # stdout is for the result, whatever the settings print
        return find_project(settings)


def _print(result: Result, as_json: bool) -> None:
    """Print a result to stdout: as JSON, as a rich table on a terminal, else as plain text."""
    if as_json:
        click.echo(json.dumps(result, indent=2))
    elif not sys.stdout.isatty():
        click.echo(plain(result))
    else:
        _print_rich(result)


def _print_rich(result: Result) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for index, heading in enumerate(headings(result)):
        table.add_column(heading, justify="left" if index < 2 else "right", no_wrap=True, vertical="bottom")
    last = None
    for row in result["rows"]:
        view, *others = cells(result, row)
        if last not in (None, view):
            table.add_section()
        style = "bold green" if row["contender"] == "onehop" else None
        table.add_row("" if view == last else view, *others, style=style)
        last = view
    console = Console(highlight=False)
    if console.measure(table).maximum > console.width:
        click.echo(plain(result))
        return
    console.print(title(result), style="dim", markup=False)
    console.print(table)
    for note in notes(result):
        console.print(note, style="yellow" if note.startswith("Warning:") else None, markup=False)


def _progress(steps: int) -> Any:
    """Return a context that gives a function to show the next step: a bar on a terminal, else nothing."""
    if not sys.stderr.isatty():
        silent: Callable[[str], None] = lambda line: None  # noqa: E731
        return nullcontext(silent)
    return _Bar(steps)


class _Bar:
    """A progress bar on stderr; it is gone when the table comes."""

    def __init__(self, steps: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
        self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._progress.add_task("", total=steps, completed=-1)

    def __enter__(self) -> Callable[[str], None]:
        self._progress.start()
        return self._show

    def __exit__(self, *exc_info: object) -> None:
        self._progress.stop()

    def _show(self, line: str) -> None:
        self._progress.update(self._task, description=line, advance=1)
