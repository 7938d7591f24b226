"""``onehop show``: the plan, step by step, and how many hops it makes, beside stock Django's."""

from __future__ import annotations

import json
import sys
from inspect import unwrap
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table

from onehop.cli import find_project


@click.command()
@click.argument("url", required=False)
@click.option("--settings", help="Dotted path of the settings module.")
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
def command(url: str | None, settings: str | None, as_json: bool) -> None:
    """Print the plan: every hook, where it runs and why; for an async and a sync view, or for the view of URL."""
    find_project(settings)
    import django

    django.setup()
    from onehop.handler import OnehopASGIHandler
    from onehop.plan.explain import explain

    plan = OnehopASGIHandler().plan
    explanations = [explain(plan, mode, name) for mode, name in _views(url)]
    if as_json:
        click.echo(json.dumps({"url": url, "views": [each.as_json() for each in explanations]}, indent=2))
        return
    console = Console(width=None if sys.stdout.isatty() else 200, soft_wrap=True)
    _print_steps(console, explanations[0], url)
    _print_hops(console, explanations)


def _views(url: str | None) -> list[tuple[Any, str]]:
    """Return mode and name of the view of a URL, or of one view of each kind."""
    from onehop.steps import Mode

    if url is None:
        return [(Mode.ASYNC, "async view"), (Mode.SYNC, "sync view")]
    from asgiref.sync import iscoroutinefunction
    from django.urls import Resolver404, resolve

    path = "/" + url.partition("?")[0].lstrip("/")
    try:
        view = resolve(path).func
    except Resolver404:
        raise click.ClickException(
            f"No URL pattern matches {path!r}. Give a path of this project, such as /admin/."
        ) from None
    named = unwrap(getattr(view, "view_class", view))
    name = f"{getattr(named, '__module__', '')}.{getattr(named, '__qualname__', type(view).__qualname__)}"
    return [(Mode.ASYNC if iscoroutinefunction(view) else Mode.SYNC, name)]


def _print_steps(console: Console, explanation: Any, url: str | None) -> None:
    table = Table(box=box.SIMPLE_HEAD if console.is_terminal else None, pad_edge=False)
    table.title = f"The plan of {url or 'every URL'}, {explanation.mode} view"
    table.add_column("#", justify="right")
    for heading in ("lane", "step", "affinity: why", "on the thread when"):
        table.add_column(heading, overflow="fold")
    for line in explanation.lines:
        lane = f"[bold yellow]{line.lane}[/]" if line.lane == "thread" else line.lane
        arrow = "→ " if line.crosses else "  "
        why = f"{line.affinity}: {line.reason}"
        table.add_row(str(line.number), arrow + lane, line.step, why, line.conditions)
    console.print(table)
    console.print()


def _print_hops(console: Console, explanations: list[Any]) -> None:
    table = Table(box=box.SIMPLE_HEAD if console.is_terminal else None, pad_edge=False, title="Hops per request")
    for heading in ("", "Onehop", "stock Django"):
        table.add_column(heading, justify="left" if not heading else "right")
    for explanation in explanations:
        hops = str(explanation.hops) + (" + 1 post" if explanation.posts else "")
        table.add_row(f"{explanation.mode} view: hops", hops, str(explanation.stock_hops))
        table.add_row(f"{explanation.mode} view: threads started, once warm", "0", str(explanation.stock_threads))
    console.print(table)
