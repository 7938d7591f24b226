"""``python -m tests.soak``: load Onehop and stock Django for a while, and find what is left of it."""

import json
import sys
import tempfile
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import click
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tests.soak.contender import COMMANDS
from tests.soak.picture import draw
from tests.soak.plants import PLANTS
from tests.soak.report import as_json, growing, line_of, notes_of, table_of
from tests.soak.run import CouldNotRun, Found, Options, Record, soak

FOUND, COULD_NOT_RUN, INTERRUPTED = 1, 2, 130
LINE_EVERY_S = 30
FILE = click.Path(dir_okay=False, writable=True, path_type=Path)


@click.command()
@click.option("--minutes", default=20.0, show_default=True, type=click.FloatRange(min=0.01), help="How long to run.")
@click.option("--server", default="uvicorn", show_default=True, type=click.Choice(list(COMMANDS)))
@click.option("--seed", default=1, show_default=True, help="The same seed sends the same requests.")
@click.option("--requests", default=400, show_default=True, type=click.IntRange(1), help="How many in each turn.")
@click.option("--clients", default=8, show_default=True, type=click.IntRange(1), help="How many at the same time.")
@click.option("--leaving", default=0.05, show_default=True, type=click.FloatRange(0, 1), help="Share of disconnects.")
@click.option("--trace-memory", is_flag=True, help="Name the lines that allocate more and more; slow.")
@click.option("--plant", "plants", multiple=True, type=click.Choice(list(PLANTS)), help="Have the site leak this.")
@click.option("--json", "json_file", type=FILE, help="Write all that was seen to this file.")
@click.option("--png", "png_file", type=FILE, help="Draw it into this file.")
@click.pass_context
def command(ctx, minutes, server, seed, requests, clients, leaving, trace_memory, plants, json_file, png_file):
    """Load Onehop and stock Django in turns, for a while, and find what is left of it.

    Each turn ends at a quiet point: nothing is in flight, all that was opened must be closed. Stock Django, which
    breaks some of these laws, is only reported. Ctrl-C prints and writes what was seen so far.

    Exit codes: 0 nothing found; 1 a law broken, a wrong answer, a complaint in the log or a number that grows;
    2 could not run; 130 interrupted, nothing found so far.
    """
    if png_file is not None and find_spec("matplotlib") is None:
        raise click.UsageError("--png draws with matplotlib, which is not installed. Run: pip install matplotlib")
    record = Record.of(Options(minutes, server, seed, requests, clients, leaving, traced=trace_memory, plants=plants))
    found, interrupted = [], False
    with tempfile.TemporaryDirectory(prefix="onehop-soak-", ignore_cleanup_errors=True) as folder:
        try:
            with _progress(record) as show:
                for _ in soak(record, Path(folder)):
                    show()
        except Found as error:
            found = [str(error)]
        except KeyboardInterrupt:
            interrupted = True
        except CouldNotRun as error:
            click.echo(f"Could not run: {error}", err=True)
            ctx.exit(COULD_NOT_RUN)
    found += growing(record)
    _print(record, found)
    if json_file is not None:
        json_file.write_text(json.dumps(as_json(record, found), indent=1) + "\n")
    if png_file is not None:
        draw(record, png_file)
    ctx.exit(FOUND if found else INTERRUPTED if interrupted else 0)


@contextmanager
def _progress(record):
    """Yield a function that shows what was seen: a table with a bar on a terminal, a line now and then elsewhere."""
    if not sys.stderr.isatty():
        yield _lines(record)
        return
    columns = BarColumn(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn()
    progress = Progress(*columns)
    task = progress.add_task("", total=record.options.minutes * 60)
    with Live(Group(progress, table_of(record)), console=Console(stderr=True), transient=True) as live:

        def show():
            progress.update(task, completed=record.elapsed_s)
            live.update(Group(progress, table_of(record)))

        yield show


def _lines(record):
    last = -LINE_EVERY_S

    def show():
        nonlocal last
        if record.elapsed_s - last >= LINE_EVERY_S:
            last = record.elapsed_s
            click.echo(line_of(record), err=True)

    return show


def _print(record, found):
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=120)
    console.print(table_of(record))
    for note in notes_of(record, found):
        console.print(note, markup=False, soft_wrap=True)


if __name__ == "__main__":
    command()
