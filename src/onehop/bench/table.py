"""Lay a result out as cells, and those as aligned plain text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from onehop.bench.result import Result, Row, Value

NOTHING = "\N{EN DASH}"


def headings(result: Result) -> list[str]:
    """Return the column headings, from left to right; a line break separates group and column."""
    columns = ["view", "contender", "µs/req", "spread", "ratio"]
    for clients in result["options"]["concurrencies"]:
        columns += [f"c={clients}\nreq/s", "ratio", "peak\nthreads"]
    return [*columns, "hops", "pool\nhops", "posts", "threads\nstarted"]


def cells(result: Result, row: Row) -> list[str]:
    """Return the cells of a row, one for each heading."""
    time, counts = row["sequential_us"], row["counts"]
    found = [row["view"], row["contender"], _number(time["median"]), _percent(time["spread"]), _times(time)]
    for clients in map(str, result["options"]["concurrencies"]):
        rate = row["req_per_s"].get(clients)
        peak = counts["peak_threads"].get(clients) if counts else None
        found += [_number(rate["median"], 0), _times(rate)] if rate else [NOTHING, NOTHING]
        found.append(NOTHING if peak is None else str(peak))
    if counts is None:
        return [*found, NOTHING, NOTHING, NOTHING, NOTHING]
    each = (counts["hops"], counts["pool_hops"], counts["posts"], counts["threads_started"])
    return [*found, *map(_count, each)]


def title(result: Result) -> str:
    """Say in one line what was measured and where."""
    facts, options = result["facts"], result["options"]
    if facts is None:
        return "Nothing was measured."
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    machine = facts["machine"]
    cores = machine["usable_cores"] or machine["cores"]
    done = sum(1 for by_name in result["raw"]["rounds"] if len(by_name) == len(options["contenders"]))
    rounds = f"Medians of {done} of {options['rounds']} rounds; ratio: how many times better than stock"
    return f"{versions}\n{machine['cpu']}, {cores} cores\n{rounds}"


def notes(result: Result) -> Iterator[str]:
    """Yield the lines below the table: the floor, the comparison with WSGI, the warnings."""
    floor = result["floor"]
    if floor["straight_line_us"]["median"] is not None:
        yield _against("straight line", floor["straight_line_us"], "/async/", floor["multiples"])
    if floor["bare_hop_us"]["median"] is not None:
        yield f"bare asgiref hop, warm thread: {_number(floor['bare_hop_us']['median'])} µs"
        yield f"driver, in every ASGI time:    {_number(floor['driver_us']['median'])} µs"
    for view, multiples in result["wsgi_multiples"].items():
        yield f"{view} in times of wsgi: {_multiples(multiples)}"
    if not result["complete"]:
        yield f"This run was interrupted: what is missing is shown as {NOTHING}."
    for warning in result["warnings"]:
        yield f"Warning: {warning}"


def plain(result: Result) -> str:
    """Return title, table and notes as plain text: columns aligned, no colour, no lines drawn."""
    heads = [heading.partition("\n") for heading in headings(result)]
    lines = [[top if below else "" for top, below, _ in heads], [last or first for first, _, last in heads]]
    lines += [cells(result, row) for row in result["rows"]]
    return "\n".join([title(result), "", *_aligned(lines), "", *notes(result)])


def _aligned(lines: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield lines with the first two columns to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        padded = [
            cell.ljust(width) if index < 2 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        yield "  ".join(padded).rstrip()


def _against(name: str, value: Value, view: str, multiples: dict[str, float | None]) -> str:
    return f"{name}, {view}: {_number(value['median'])} µs; in times of it: {_multiples(multiples)}"


def _multiples(multiples: dict[str, float | None]) -> str:
    known = [f"{name} {multiple:.2f}" for name, multiple in multiples.items() if multiple is not None]
    return ", ".join(known) or NOTHING


def _number(number: float | None, digits: int = 1) -> str:
    return NOTHING if number is None else f"{number:.{digits}f}"


def _times(value: Value) -> str:
    return NOTHING if value["vs_stock"] is None else f"{value['vs_stock']:.2f}"


def _percent(share: float | None) -> str:
    return NOTHING if share is None else f"{share:.0%}"


def _count(number: float | None) -> str:
    if number is None:
        return NOTHING
    return str(round(number)) if abs(number - round(number)) < 0.001 else f"{number:.1f}"
