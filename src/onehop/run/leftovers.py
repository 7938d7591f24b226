"""
Is a thread as clean as a new one? Asked on the thread itself, when a request has given it back.

Theory of operation. ``threading.local`` objects can not be listed per thread, so all of them are known by
object: every one that exists is found once, when request threads come into use; every later one is young first,
so the young generation is looked at before each collection (a ``gc`` callback) and at each check-in. An object
is recognised by its type, never by ``isinstance``, which would evaluate lazy users.

Guarantees: a thread that leaves anything in a ``threading.local``, an open transaction or a context variable
behind is retired. Nothing is scrubbed.
Assumes: CPython's generational collector. Once ``gc.freeze()`` has hidden objects, no thread counts as clean.
"""

from __future__ import annotations

import contextvars
import gc
import threading
import time
import weakref
from collections.abc import Iterable
from functools import partial
from typing import Any

from django.db import close_old_connections, connections

from onehop._django import asgiref_thread_local, connection_storage

YOUNG_LIMIT = 20_000
"""Objects in the young generation beyond which looking at it would cost more than a new thread (guessed: 1 ms)."""

ATOMS = (type(None), bool, int, float, str, bytes)
_dict_of = threading.local.__getattribute__


class ThreadLocals:
    """
    Every ``threading.local`` object of the process, held weakly.

    Attributes:
        scan_ms: Duration of the first scan, in milliseconds; None before it.
    """

    def __init__(self) -> None:
        self._known: dict[int, weakref.ref[Any]] = {}
        self._exempt: set[int] = set()
        self._frozen = 0
        self.scan_ms: float | None = None

    def start(self, keep: Iterable[Any] = ()) -> None:
        """
        Find all objects, once, and follow new ones from now on.

        Args:
            keep: Objects whose contents may stay on a thread.
        """
        self._exempt |= {id(local) for local in (connection_storage(), asgiref_thread_local, *keep)}
        for key in self._exempt:
            self._known.pop(key, None)
        if self.scan_ms is None:
            started = time.perf_counter()
            self._frozen = gc.get_freeze_count()
            gc.callbacks.append(self._around_collection)
            self._register(gc.get_objects())
            self.scan_ms = (time.perf_counter() - started) * 1000

    def baseline(self) -> dict[int, dict[str, Any]]:
        """
        Record what ``__init__`` of each ``threading.local`` subclass puts on this new thread.

        Runs on: a new request thread, before its first job.

        Returns:
            Attributes by object id, for the subclasses that have an ``__init__`` of their own.
        """
        found = {}
        for key, local in self._objects():
            if type(local).__init__ is not object.__init__:
                try:
                    contents = dict(_dict_of(local, "__dict__"))
                except Exception:
                    continue  # Its __init__ fails on a bare thread. Without a baseline the thread is retired.
                if _is_comparable(contents):
                    found[key] = contents
        return found

    def leftover(self, baseline: dict[int, dict[str, Any]]) -> str | None:
        """
        Say which ``threading.local`` holds something on this thread that a new thread would not have.

        Runs on: the request thread, between requests.

        Returns:
            A sentence naming the object; None when there is nothing.
        """
        if gc.get_freeze_count() > self._frozen:
            return "gc.freeze() has hidden objects, so thread-locals can not be checked"
        if gc.get_count()[0] > YOUNG_LIMIT:
            return "too many new objects to look for thread-locals among them"
        self._register(gc.get_objects(generation=0))
        for key, local in self._objects():
            if type(local).__init__ is object.__init__:
                contents = _dict_of(local, "__dict__")
                if contents:
                    return f"{_describe(local)} holds {', '.join(map(repr, contents))}"
            elif key not in baseline:
                return f"{_describe(local)} is newer than the thread, or begins with contents that can change inside"
            elif not _is_unchanged(baseline[key], _dict_of(local, "__dict__")):
                return f"{_describe(local)} has changed"
        return None

    def _objects(self) -> list[tuple[int, Any]]:
        pairs = [(key, reference()) for key, reference in list(self._known.items())]
        return [(key, local) for key, local in pairs if local is not None]

    def _around_collection(self, phase: str, details: dict[str, int]) -> None:
        if phase == "start":
            self._register(gc.get_objects(generation=0))
        elif details["generation"] == 0:  # what other threads made between the two
            self._register(gc.get_objects(generation=1))

    def _register(self, objects: list[Any]) -> None:
        types = set(map(type, objects))
        wanted = {each for each in types if issubclass(each, threading.local)}
        if not wanted:
            return
        for candidate in objects:
            if type(candidate) in wanted and id(candidate) not in self._known:
                key = id(candidate)
                if key not in self._exempt:
                    self._known[key] = weakref.ref(candidate, partial(self._forget, key))

    def _forget(self, key: int, _: weakref.ref[Any]) -> None:
        self._known.pop(key, None)


thread_locals = ThreadLocals()


def _is_comparable(contents: dict[str, Any]) -> bool:
    """Tell whether no value can change inside without being seen: it is immutable, or an empty container."""
    return all(
        type(value) in ATOMS or (type(value) in (list, dict, set, tuple) and not value) for value in contents.values()
    )


def _is_unchanged(before: dict[str, Any], now: dict[str, Any]) -> bool:
    """Compare without running code of the values: the same objects, with nothing in them."""
    return (
        before.keys() == now.keys()
        and all(now[name] is value for name, value in before.items())
        and _is_comparable(now)
    )


def _describe(local: Any) -> str:
    """Name a ``threading.local`` by the module attribute that holds it, else by its type."""
    for holder in gc.get_referrers(local):
        if type(holder) is dict and "__name__" in holder and "__spec__" in holder:
            name = next((name for name, value in holder.items() if value is local), None)
            if name is not None:
                return f"{holder['__name__']}.{name}"
    return f"a {type(local).__module__}.{type(local).__qualname__}"


def settle_connections() -> str | None:
    """
    Close or keep this thread's database connections as Django does, and say what is wrong with them.

    Connections that are closed are dropped altogether, so the next request sees new ones, as on a new thread.

    Runs on: the request thread, between requests.

    Returns:
        A sentence when a transaction was left open; None when all is well.
    """
    problem = None
    close_old_connections()
    for alias in [alias for alias in connections if hasattr(connections._connections, alias)]:
        connection = connections[alias]
        if connection.connection is None and not connection.in_atomic_block:
            del connections[alias]
        elif connection.in_atomic_block or connection.needs_rollback:
            problem = f"database {alias!r}: a transaction was left open"
            connection.close()
    return problem


def find_leftover(baseline: dict[int, dict[str, Any]]) -> str | None:
    """
    Say why this thread must not serve another request.

    Runs on: the request thread, between requests. Cost: tens of microseconds.

    Args:
        baseline: What ``ThreadLocals.baseline`` returned on this thread.

    Returns:
        A sentence; None when the thread is as clean as a new one.
    """
    asgiref_thread_local.__dict__.clear()
    problem = settle_connections()
    if problem is None and len(contextvars.copy_context()):
        problem = "a context variable was set outside any request"
    return problem or thread_locals.leftover(baseline)
