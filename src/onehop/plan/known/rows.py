"""The table of known hooks, filled by the modules beside this one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module, resources

from onehop.declare import adds_behaviour, adds_nothing_to
from onehop.plan.known.reach import Reach

Blocks = Callable[..., str | None]


@dataclass(frozen=True, slots=True)
class Row:
    """
    What is known about one hook of one class.

    Attributes:
        path: Dotted path of the class.
        hook: Name of the method.
        why: Why it does not block, in a few words.
        conditions: When it may block after all, in words; empty when never.
        blocks: Called with the instance and the hook's arguments: why it may block now, or None. None: never.
        response: True when the hook also uses the response's headers or content, which its class may override.
        unreached: Names that the hook's code looks up only where ``blocks`` does not return None.
        further: Asked in the place of ``blocks`` where that returns ``FURTHER``, once the names in ``unreached`` have
            been compared too.
    """

    path: str
    hook: str
    why: str
    conditions: str
    blocks: Blocks | None
    response: bool = False
    unreached: tuple[str, ...] = ()
    further: Blocks | None = None


FURTHER = "further"
TABLE: dict[tuple[str, str], Row] = {}
SOURCES = ("onehop.plan.known.django_rows", "onehop.plan.known.prometheus_rows")


OVERRIDES = "the response class overrides how content or headers work"


def never(path: str, hook: str, why: str, unreached: tuple[str, ...] = ()) -> None:
    """Add a row for a hook that never blocks; if it works on a response, unless that is of a class of one's own."""
    works_on_response = hook == "process_response"
    conditions = OVERRIDES if works_on_response else ""
    TABLE[path, hook] = Row(path, hook, why, conditions, None, works_on_response, unreached)


def unless(
    path: str,
    hook: str,
    why: str,
    conditions: str,
    unreached: tuple[str, ...] = (),
    further: Blocks | None = None,
) -> Callable[[Blocks], Blocks]:
    """Add a row for a hook that never blocks unless the decorated function returns a reason."""

    def add(blocks: Blocks) -> Blocks:
        works_on_response = hook == "process_response"
        words = f"{conditions}; {OVERRIDES}" if works_on_response else conditions
        TABLE[path, hook] = Row(path, hook, why, words, blocks, works_on_response, unreached, further)
        return blocks

    return add


@cache
def fingerprints() -> dict[str, dict[str, list[str]]]:
    """Return the digests of the code that was read, by kind and path (written by ``tools/fingerprints.py``)."""
    text = resources.files("onehop.plan.known").joinpath("fingerprints.json").read_text(encoding="utf-8")
    read: dict[str, dict[str, list[str]]] = json.loads(text)
    return read


def known_rows() -> dict[tuple[str, str], Row]:
    """Return the whole table, by class path and hook."""
    for source in SOURCES:
        import_module(source)
    return TABLE


def find_row(cls: type, hook: str) -> tuple[Row | None, str]:
    """
    Find the row that holds for a hook of a class.

    Returns:
        The row and an empty string; or None and the reason why the hook is a thread step.
    """
    rows = known_rows()
    for klass in cls.__mro__:
        path = f"{klass.__module__}.{klass.__qualname__}"
        row = rows.get((path, hook))
        if row is not None and _is_at(klass, path) and adds_nothing_to(cls, klass):
            if Reach.of(cls, hook).digest() in fingerprints()["hooks"].get(f"{path}.{hook}", ()):
                return row, ""
            return None, "its code is not one that was checked"
        if adds_behaviour(klass):
            break
    known_base = next(
        (base for base in cls.__mro__[1:] if (f"{base.__module__}.{base.__qualname__}", hook) in rows), None
    )
    if known_base is not None:
        return None, f"adds code of its own to {known_base.__name__}"
    return None, "neither known nor declared"


def _is_at(cls: type, path: str) -> bool:
    """Tell whether a class really is what its path leads to, and not one that only bears the name."""
    module, _, name = path.rpartition(".")
    try:
        return getattr(import_module(module), name, None) is cls
    except ImportError:
        return False
