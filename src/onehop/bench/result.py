"""Turn a record into the result: medians, spreads and paired ratios."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import median, quantiles
from typing import Any, TypedDict

from onehop.bench.contenders import WSGI_VIEWS
from onehop.bench.machine import Facts
from onehop.bench.reports import FloorReport, TimeReport, ViewCounts
from onehop.bench.run import Record
from onehop.bench.straight import VIEW as STRAIGHT_VIEW

NOISY = 0.15

Series = Sequence[float | None]
"""One number for each round, in order; ``None`` where a round has none."""


class Value(TypedDict):
    """One measured value over all rounds."""

    values: list[float | None]
    median: float | None
    iqr: float | None
    """Distance between the quartiles; ``None`` for fewer than two rounds."""
    spread: float | None
    """``iqr / median``."""
    vs_stock: float | None
    """How many times better than stock Django: the median of the ratios of each round."""


class Row(TypedDict):
    """One contender on one view."""

    view: str
    contender: str
    sequential_us: Value
    req_per_s: dict[str, Value]
    counts: ViewCounts | None


class Floor(TypedDict):
    """What no contender can go below, and how near each came, as a multiple: the median of the rounds."""

    straight_line_us: Value
    bare_hop_us: Value
    driver_us: Value
    multiples: dict[str, float | None]
    """Sequential time of ``/async/`` by contender, in straight lines."""


class Result(TypedDict):
    """All that a run has found. ``raw`` holds every report of every process."""

    complete: bool
    facts: Facts | None
    options: dict[str, Any]
    orders: list[list[str]]
    rows: list[Row]
    floor: Floor
    wsgi_multiples: dict[str, dict[str, float | None]]
    """Sequential time by view and contender, in times of ``wsgi``."""
    warnings: list[str]
    raw: dict[str, Any]


def ratio(above: Series, below: Series) -> float | None:
    """Return the median of the ratios of each round that has both; ``None`` if none has."""
    pairs = zip(above, below, strict=True)
    ratios = [one / other for one, other in pairs if one is not None and other is not None]
    return median(ratios) if ratios else None


def value_of(values: Series, vs_stock: float | None = None) -> Value:
    """Describe one value over all rounds."""
    known = [value for value in values if value is not None]
    middle = median(known) if known else None
    iqr = None
    if len(known) > 1:
        quarter, _, three_quarters = quantiles(known, n=4, method="inclusive")
        iqr = three_quarters - quarter
    spread = iqr / middle if iqr is not None and middle else None
    return {"values": list(values), "median": middle, "iqr": iqr, "spread": spread, "vs_stock": vs_stock}


def result_of(record: Record) -> Result:
    """Compute the result of a record, complete or not."""
    options = record.options
    pairs = [(view, name) for view in options.views for name in options.contenders]
    rows = [_row(record, view, name) for view, name in pairs if view in options.views_of(name)]
    return {
        "complete": record.complete,
        "facts": record.facts,
        "options": {
            "settings": options.settings,
            "views": list(options.views),
            "contenders": list(options.measured),
            "rounds": options.rounds,
            "block_s": options.block_s,
            "concurrencies": list(options.concurrencies),
        },
        "orders": record.orders,
        "rows": rows,
        "floor": _floor(record),
        "wsgi_multiples": _wsgi_multiples(record),
        "warnings": _warnings(record, rows),
        "raw": {"counts": record.counts, "rounds": record.times, "floors": record.floors},
    }


def _sequential(record: Record, name: str, view: str) -> Series:
    return _series(record.times, name, view, lambda views: views[view]["sequential_us"])


def _series(times: Iterable[dict[str, TimeReport]], name: str, view: str, read: Callable[[Any], float]) -> Series:
    """Read one number of each round's report; ``None`` where the contender or the view is missing."""
    return [read(by_name[name]["views"]) if view in _views(by_name, name) else None for by_name in times]


def _views(by_name: dict[str, TimeReport], name: str) -> Iterable[str]:
    return by_name[name]["views"] if name in by_name else ()


def _row(record: Record, view: str, name: str) -> Row:
    own = _sequential(record, name, view)
    req_per_s: dict[str, Value] = {}
    for clients in map(str, record.options.concurrencies if name not in WSGI_VIEWS else ()):

        def read(views: Any, clients: str = clients) -> float:
            return float(views[view]["req_per_s"][clients])

        rates, stock_rates = (_series(record.times, who, view, read) for who in (name, "stock"))
        req_per_s[clients] = value_of(rates, ratio(rates, stock_rates))
    counted = record.counts.get(name)
    return {
        "view": view,
        "contender": name,
        "sequential_us": value_of(own, ratio(_sequential(record, "stock", view), own)),
        "req_per_s": req_per_s,
        "counts": counted["views"].get(view) if counted else None,
    }


def _floor(record: Record) -> Floor:
    def series(read: Callable[[FloorReport], float | None]) -> Series:
        return [None if floor is None else read(floor) for floor in record.floors]

    line = series(lambda floor: floor["straight_line_us"])
    names = [name for name in record.options.contenders if STRAIGHT_VIEW in record.options.views_of(name)]
    return {
        "straight_line_us": value_of(line),
        "bare_hop_us": value_of(series(lambda floor: floor["bare_hop_us"])),
        "driver_us": value_of(series(lambda floor: floor["driver_us"])),
        "multiples": {name: ratio(_sequential(record, name, STRAIGHT_VIEW), line) for name in names},
    }


def _wsgi_multiples(record: Record) -> dict[str, dict[str, float | None]]:
    options = record.options
    views = options.views_of("wsgi") if "wsgi" in options.contenders else ()
    return {
        view: {
            name: ratio(_sequential(record, name, view), _sequential(record, "wsgi", view))
            for name in options.contenders
            if name != "wsgi" and view in options.views_of(name)
        }
        for view in views
    }


def _warnings(record: Record, rows: Sequence[Row]) -> list[str]:
    """Say in one line each what makes the numbers weaker than they look; may be empty."""
    warnings = []
    noisy = [(spread, row) for row in rows if (spread := row["sequential_us"]["spread"] or 0.0) > NOISY]
    if noisy:
        spread, row = max(noisy, key=lambda pair: pair[0])
        warnings.append(
            f"{len(noisy)} of {len(rows)} sequential times spread over more than {NOISY:.0%} between rounds "
            f"(most: {row['contender']} on {row['view']}, {spread:.0%}). Something else used this machine. "
            "Repeat the run when it is quiet, or take more --rounds."
        )
    varying = [view for view, (_, answer) in record.answers.items() if answer["varies"]]
    if varying:
        warnings.append(f"{', '.join(varying)} gives a different body at each request. Only its status was compared.")
    return warnings
