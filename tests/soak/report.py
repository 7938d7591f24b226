"""What a run has shown: as data, as a table, and in one sentence for each number that has grown."""

import platform
from dataclasses import asdict
from importlib.metadata import version
from typing import NamedTuple

from rich import box
from rich.table import Table

from tests.soak.trend import NEEDED, trend_of

GROWS, FLAT, CANNOT_TELL = "grows", "flat", "cannot tell"
TITLES = {"onehop": "Onehop", "stock": "stock Django"}


class Figure(NamedTuple):
    """
    A number that must not grow.

    Attributes:
        name: Its name in a sample.
        title: What people call it, with the unit.
        limit: The slope per hour that is still called flat.
    """

    name: str
    title: str
    limit: float = 0.0


FIGURES = (
    Figure("rss_mb", "resident memory (MB)", 1.0),
    Figure("descriptors", "descriptors"),
    Figure("threads", "threads"),
    Figure("tasks left", "tasks left"),
    Figure("greenlets alive", "greenlets alive"),
    Figure("objects", "gc objects"),
    Figure("blocks", "memory blocks"),
)


def trends_of(record):
    """Return the trend of each figure behind the warm-up, by contender and figure; None where the run is too short."""
    return {
        name: {figure.name: trend_of(history.points(figure.name, record.warm_up_s)) for figure in FIGURES}
        for name, history in record.histories.items()
    }


def verdict(figure, ours, stock):
    """
    Tell whether a number grows: ``GROWS``, ``FLAT`` or ``CANNOT_TELL``.

    It is flat if its slope is not above the limit, or not above stock Django's. Else it grows if that is sure: its
    whole interval is above the limit, and above that of stock Django.
    """
    if ours is None:
        return CANNOT_TELL
    if ours.slope <= figure.limit or (stock is not None and ours.slope <= stock.slope):
        return FLAT
    return GROWS if ours.low > max(figure.limit, stock.high if stock else figure.limit) else CANNOT_TELL


def growing(record):
    """Return a sentence for each number of Onehop's that grows."""
    return _told(record, GROWS)


def unclear(record):
    """Return a sentence for each number of Onehop's that may grow, or not: the run was too short, or too noisy."""
    return _told(record, CANNOT_TELL)


def _told(record, sought):
    """Return a sentence for each number with a verdict; none if memory is traced, which takes memory itself."""
    if record.options.traced:
        return []
    trends = trends_of(record)
    stock = trends.get("stock", {})
    return [
        f"{figure.title}: {_an_hour(ours)}, stock Django {_an_hour(stock.get(figure.name))}"
        for figure in FIGURES
        if verdict(figure, ours := trends["onehop"][figure.name], stock.get(figure.name)) == sought
    ]


def _an_hour(trend):
    return f"{trend} an hour" if trend else "too short to tell"


def versions():
    """Return what ran, by name."""
    names = ("Django", "asgiref", "greenlet", "django-onehop")
    return {"Python": platform.python_version(), **{name: version(name) for name in names}}


def as_json(record, found):
    """Return all of a run."""
    trends = trends_of(record)
    return {
        "versions": versions() | {record.options.server: version(record.options.server)},
        "options": asdict(record.options),
        "elapsed_s": record.elapsed_s,
        "warm_up_s": record.warm_up_s,
        "found": found,
        "unclear": unclear(record),
        "slopes_per_hour": {
            name: {figure: trend and trend._asdict() for figure, trend in each.items()} for name, each in trends.items()
        },
        "contenders": {
            name: {"requests": history.requests(), **asdict(history)} for name, history in record.histories.items()
        },
    }


def table_of(record):
    """Return the table of what was seen so far."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for name in record.histories:
        table.add_column(TITLES[name], overflow="fold")
    histories, trends = record.histories.values(), trends_of(record).values()
    table.add_row("requests", *(f"{each.requests():,}" for each in histories))
    table.add_row("each second of load", *(f"{each.requests() / (each.loaded_s or 1):.0f}" for each in histories))
    table.add_row("disconnects", *(f"{sum(each.left.values()):,}" for each in histories))
    table.add_row("wrong answers", *(f"{each.wrong:,}" for each in histories))
    table.add_row("laws broken", *("\n".join(each.broken) or "none" for each in histories))
    complaints = ("\n".join(f"{what}: {n}" for what, n in each.complaints.items()) for each in histories)
    table.add_row("complaints in the log", *(each or "none" for each in complaints), end_section=True)
    for figure in FIGURES:
        table.add_row(figure.title, *(_change(each.points(figure.name)) for each in histories))
        if figure.limit:
            table.add_row("  peak", *(f"{each.state.get('peak_rss_mb', 0):.1f}" for each in histories))
        table.add_row("  growth an hour", *(str(each[figure.name] or "too short to tell") for each in trends))
    return table


def _change(points):
    """Return the first and the last of some points, in words."""
    if not points:
        return ""
    ends = (value for _, value in (points[0], points[-1]))
    return " → ".join(f"{value:,.1f}" if isinstance(value, float) else f"{value:,}" for value in ends)


def line_of(record):
    """Return one line of what was seen so far."""
    parts = [f"{record.elapsed_s / 60:.1f} of {record.options.minutes:g} min"]
    for name, history in record.histories.items():
        if history.samples:
            last = history.samples[-1]
            parts.append(
                f"{TITLES[name]}: {history.requests():,} requests, {history.wrong} wrong, {last['rss_mb']:.1f} MB, "
                f"{last['threads']} threads, {last['descriptors']} descriptors"
            )
    return " | ".join(parts)


def notes_of(record, found):
    """Return the sentences behind the table."""
    options = record.options
    shown = ", ".join(f"{name} {each}" for name, each in versions().items())
    yield f"{options.server} {version(options.server)}, {shown}; seed {options.seed}."
    yield (
        f"Growth: the median of the slopes of all pairs of bins behind the warm-up of {record.warm_up_s:.0f} s "
        f"(Theil-Sen), with its interval of 95 %; at least {NEEDED} bins."
    )
    for name, history in record.histories.items():
        if history.grown:
            yield f"{TITLES[name]} allocates most since the warm-up at:"
            yield from (f"  {line}" for line in history.grown)
    yield from (f"Found: {what}." for what in found)
    doubts = unclear(record)
    yield from (f"Cannot tell whether it grows: {what}." for what in doubts)
    if not found:
        growth = "what grows was not looked at" if options.traced else "nothing grows"
        end = f"{len(doubts)} of {len(FIGURES)} numbers need a longer run" if doubts else growth
        yield f"Nothing found: every law held, every answer was right, {end}."
