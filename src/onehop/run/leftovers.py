"""
Is a thread as clean as a new one? Asked on the thread itself, when a request has given it back.

Guarantees: a thread that leaves anything in a ``threading.local``, in an attribute of its ``Thread`` object, an open
transaction or a context variable behind is retired. Nothing is scrubbed, and no code of what was left runs: objects
are compared by identity, and classes too.
"""

from __future__ import annotations

import contextvars
import sys
import threading
import time
import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

from django.db import close_old_connections, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from onehop._django import asgiref_thread_local, connection_storage
from onehop.run.touched import Touched, contents_of

SEARCH_INTERVAL_S = 1.0
"""The least time between two searches of all modules, each of which takes some milliseconds."""

ATOMS = frozenset(map(id, (type(None), bool, int, float, str, bytes)))
CONTAINERS = frozenset(map(id, (list, dict, set, tuple)))


@dataclass(slots=True)
class Known:
    """
    What is known about one ``threading.local`` object.

    Attributes:
        reference: The object.
        name: How people know it; empty as long as nobody has asked.
        begins: True when new threads record what its ``__init__`` puts on them; False when that is of no use,
            because it fails, can change inside or is not always equal; None as long as no request has used it.
        shape: What it put on the thread that recorded it last: the values, of empty containers the types.
    """

    reference: weakref.ref[Any]
    name: str = ""
    begins: bool | None = None
    shape: dict[str, Any] | None = None


class ThreadLocals:
    """The ``threading.local`` objects that requests have used, as far as anything has to be remembered of them."""

    def __init__(self) -> None:
        self._known: dict[int, Known] = {}
        self._kept: dict[int, Any] = {}
        self._searched = -SEARCH_INTERVAL_S

    def keep(self, objects: Iterable[Any]) -> None:
        """Exempt objects: what they hold may stay on a thread, as asgiref's and the connections, which are settled."""
        kept = [connection_storage(), asgiref_thread_local, *objects]
        self._kept = {id(local): local for local in kept}

    def begin(self) -> dict[int, dict[str, Any]]:
        """
        Record what ``__init__`` puts on this new thread, for the objects of which some request needed to know.

        Runs on: a new request thread, before its first job. It runs the ``__init__`` of these objects.

        Returns:
            Attributes by object id.
        """
        found = {}
        for key, known in list(self._known.items()):
            local = known.reference()
            if local is not None and known.begins:
                known.begins = False
                contents = dict(contents_of(local, "__dict__"))
                if _is_comparable(contents):
                    before, known.shape = known.shape, _shape_of(contents)
                    known.begins = before is None or before == known.shape
                    if before == known.shape:
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
        for local, contents in touched.locals():
            key = id(local)
            if key in self._kept:
                continue
            if type(local).__init__ is object.__init__:
                if contents:
                    return f"{self._name(local)} holds {', '.join(map(repr, contents))}"
            elif key not in begun:
                known = self._remember(local)
                if known.begins is None:
                    known.begins = True
                    return f"{self._name(local)} is new to this thread"
                return f"{self._name(local)} begins with contents that can change inside"
            elif not _is_unchanged(begun[key], contents):
                return f"{self._name(local)} has changed"
        return None

    def _remember(self, local: Any) -> Known:
        key = id(local)
        if key not in self._known:
            self._known[key] = Known(weakref.ref(local, partial(self._forget, key)))
        return self._known[key]

    def _forget(self, key: int, _: weakref.ref[Any]) -> None:
        self._known.pop(key, None)

    def _name(self, local: Any) -> str:
        """Name an object by the module attribute that holds it; if there is none, or no time to look, by its type."""
        known = self._remember(local)
        by_type = f"a {type(local).__module__}.{type(local).__qualname__}"
        if not known.name and time.monotonic() - self._searched >= SEARCH_INTERVAL_S:
            self._searched = time.monotonic()
            known.name = _find_global(local) or by_type
        return known.name or by_type


def _find_global(value: Any) -> str | None:
    """
    Return the dotted path of a module's attribute that is this object; None if there is none.

    The modules are searched, not what refers to the object: the garbage collector does not show what is frozen.
    """
    for path, module in list(sys.modules.items()):
        if issubclass(type(module), ModuleType):
            for name, each in list(ModuleType.__getattribute__(module, "__dict__").items()):
                if each is value:
                    return f"{path}.{name}"
    return None


thread_locals = ThreadLocals()


class Fresh:
    """
    What a request thread was like before its first job.

    Runs on: that thread.
    """

    __slots__ = ("_attributes", "_begun", "_context", "_hooks", "_touched")

    def __init__(self) -> None:
        self._touched = Touched()
        self._begun = thread_locals.begin()
        self._attributes = dict(vars(threading.current_thread()))
        self._hooks = _thread_hooks()
        self._context = dict(contextvars.copy_context().items())

    def find_leftover(self) -> str | None:
        """
        Say why this thread must not serve another request.

        Runs on: the thread, between requests. Cost: tens of microseconds.

        Returns:
            A sentence; None when the thread is as clean as a new one.
        """
        asgiref_thread_local.__dict__.clear()
        problem = settle_connections()
        if problem is None and not _are_same(self._context, dict(contextvars.copy_context().items())):
            problem = "a context variable was set outside any request"
        if problem is None and not _are_same(self._attributes, vars(threading.current_thread())):
            problem = "an attribute of its Thread object was set"
        if problem is None and not all(a is b for a, b in zip(self._hooks, _thread_hooks(), strict=True)):
            problem = "a trace, profile or async generator hook was set"
        return problem or thread_locals.leftover(self._touched, self._begun)


def _thread_hooks() -> tuple[Any, ...]:
    """Return what ``sys`` keeps for each thread."""
    return sys.gettrace(), sys.getprofile(), *sys.get_asyncgen_hooks(), sys.get_coroutine_origin_tracking_depth()


def _are_same(before: dict[Any, Any], now: dict[Any, Any]) -> bool:
    return before.keys() == now.keys() and all(now[name] is value for name, value in before.items())


def _is_comparable(contents: dict[str, Any]) -> bool:
    """Tell whether no value can change inside without being seen: it is immutable, or an empty container."""
    return all(id(type(value)) in ATOMS or (id(type(value)) in CONTAINERS and not value) for value in contents.values())


def _shape_of(contents: dict[str, Any]) -> dict[str, Any]:
    return {name: (type(value), value) if id(type(value)) in ATOMS else type(value) for name, value in contents.items()}


def _is_unchanged(before: dict[str, Any], now: dict[str, Any]) -> bool:
    """Compare without running code of the values: the same objects, with nothing in them."""
    return _are_same(before, now) and _is_comparable(now)


def settle_connections() -> str | None:
    """
    Close or keep this thread's database connections as Django does, and say what is wrong with them.

    Connections that are closed are dropped altogether, so the next request sees new ones, as on a new thread.

    Runs on: the request thread, between requests.

    Returns:
        A sentence when a transaction was left open, or a connection of a database that is no longer in the settings;
        None when all is well.
    """
    problem = None
    close_old_connections()
    for alias, connection in list(contents_of(connection_storage(), "__dict__").items()):
        if not isinstance(connection, BaseDatabaseWrapper):
            continue  # asgiref's own
        if alias not in connections.settings:
            problem = f"database {alias!r} is no longer in the settings"
            connection.close()
        elif connection.in_atomic_block or connection.needs_rollback:
            problem = f"database {alias!r}: a transaction was left open"
            connection.close()
        elif connection.connection is None:
            del connections[alias]
    return problem
