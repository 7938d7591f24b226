"""
Is a thread as clean as a new one? Asked on the thread itself, when a request has given it back.

Theory of operation. The interpreter tells how many ``threading.local`` objects the thread has touched
(``touched.py``). Each must be known by object, so that its contents can be looked at; if one is not, it is searched
for among all objects, the youngest first. An object is recognised by its type, never by ``isinstance``, which would
evaluate lazy users.

Guarantees: a thread that leaves anything in a ``threading.local``, an open transaction or a context variable
behind is retired. Nothing is scrubbed.
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
from onehop.run.touched import Probe, Touched, dict_of

STOP_INTERVAL_S = 1.0
"""The least time between two looks at all objects of the process, each of which stops it for some milliseconds."""

ATOMS = (type(None), bool, int, float, str, bytes)


class ThreadLocals:
    """
    The ``threading.local`` objects of the process, held weakly.

    Attributes:
        search_ms: Duration of the last search among all objects, in milliseconds; None before the first.
    """

    def __init__(self) -> None:
        self._known: dict[int, weakref.ref[Any]] = {}
        self._exempt: set[int] = set()
        self._begin_filled: set[int] = set()
        self._names: dict[int, str] = {}
        self._stopped = -STOP_INTERVAL_S
        self.search_ms: float | None = None

    def start(self, keep: Iterable[Any] = ()) -> None:
        """
        Find all objects that exist now.

        Args:
            keep: Objects whose contents may stay on a thread.
        """
        exempt = [connection_storage(), asgiref_thread_local, *keep]
        self._register(exempt)
        self._exempt |= set(map(id, exempt))
        if self.search_ms is None:
            self._search()

    def begin(self) -> dict[int, dict[str, Any]]:
        """
        Record what ``__init__`` puts on this new thread, for the objects of which some request needed to know.

        Runs on: a new request thread, before its first job. It runs the ``__init__`` of these objects.

        Returns:
            Attributes by object id. An object whose attributes can change inside is left out.
        """
        found = {}
        for key, local in self._objects():
            if key in self._begin_filled:
                try:
                    contents = dict(dict_of(local, "__dict__"))
                except Exception:
                    continue  # Its __init__ fails on a bare thread. Then the thread is retired.
                if _is_comparable(contents):
                    found[key] = contents
        return found

    def leftover(self, touched: Touched, begun: dict[int, dict[str, Any]]) -> str | None:
        """
        Say which ``threading.local`` holds something on this thread that a new thread would not have.

        Runs on: the request thread, between requests.

        Args:
            touched: What the thread has touched.
            begun: What ``begin`` returned on this thread.

        Returns:
            A sentence naming the object; None when there is nothing.
        """
        held = self._held(touched)
        for generation in range(3):
            if len(held) >= touched.count():
                break
            if generation == 2 and self._may_not_stop():
                return "a thread-local that was used is not known yet"
            self._search(generation)
            held = self._held(touched)
        if len(held) < touched.count():
            return "a thread-local that was used can not be found among the objects of the garbage collector"
        for key, local, contents in held:
            if key in self._exempt:
                continue
            if type(local).__init__ is object.__init__:
                if contents:
                    return f"{self._name(key, local)} holds {', '.join(map(repr, contents))}"
            elif key not in begun:
                self._begin_filled.add(key)
                return f"{self._name(key, local)} is new to this thread, or begins with contents that can change inside"
            elif not _is_unchanged(begun[key], contents):
                return f"{self._name(key, local)} has changed"
        return None

    def _held(self, touched: Touched) -> list[tuple[int, Any, dict[str, Any]]]:
        """Return the known objects that the thread has touched, with their contents there."""
        found = [(key, local, touched.contents(local)) for key, local in self._objects()]
        return [(key, local, contents) for key, local, contents in found if contents is not None]

    def _objects(self) -> list[tuple[int, Any]]:
        pairs = [(key, reference()) for key, reference in list(self._known.items())]
        return [(key, local) for key, local in pairs if local is not None]

    def _name(self, key: int, local: Any) -> str:
        """Name an object by the module attribute that holds it; if there is none, or no time to look, by its type."""
        by_type = f"a {type(local).__module__}.{type(local).__qualname__}"
        if key not in self._names:
            if self._may_not_stop():
                return by_type
            self._stopped = time.monotonic()
            self._names[key] = by_type
            for holder in gc.get_referrers(local):
                if type(holder) is dict and "__name__" in holder and "__spec__" in holder:
                    name = next((name for name, value in holder.items() if value is local), None)
                    if name is not None:
                        self._names[key] = f"{holder['__name__']}.{name}"
        return self._names[key]

    def _may_not_stop(self) -> bool:
        return time.monotonic() - self._stopped < STOP_INTERVAL_S

    def _search(self, generation: int | None = None) -> None:
        """Look among the objects of one generation, or of all. Of the oldest it takes milliseconds, so it is timed."""
        started = time.monotonic()
        self._register(gc.get_objects(generation))
        if generation in (None, 2):
            self._stopped = time.monotonic()
            self.search_ms = (self._stopped - started) * 1000

    def _register(self, objects: list[Any]) -> None:
        types = set(map(type, objects))
        wanted = {each for each in types if issubclass(each, threading.local)} - {Probe}
        if not wanted:
            return
        for candidate in objects:
            if type(candidate) in wanted and id(candidate) not in self._known:
                key = id(candidate)
                self._known[key] = weakref.ref(candidate, partial(self._forget, key))

    def _forget(self, key: int, _: weakref.ref[Any]) -> None:
        self._known.pop(key, None)
        self._exempt.discard(key)
        self._begin_filled.discard(key)
        self._names.pop(key, None)


thread_locals = ThreadLocals()


class Fresh:
    """
    What a request thread was like before its first job.

    Runs on: that thread.
    """

    __slots__ = ("contents", "touched")

    def __init__(self) -> None:
        self.touched = Touched()
        self.contents = thread_locals.begin()


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


def find_leftover(fresh: Fresh) -> str | None:
    """
    Say why this thread must not serve another request.

    Runs on: the request thread, between requests. Cost: tens of microseconds.

    Args:
        fresh: What this thread was like before its first job.

    Returns:
        A sentence; None when the thread is as clean as a new one.
    """
    asgiref_thread_local.__dict__.clear()
    problem = settle_connections()
    if problem is None and len(contextvars.copy_context()):
        problem = "a context variable was set outside any request"
    return problem or thread_locals.leftover(fresh.touched, fresh.contents)
