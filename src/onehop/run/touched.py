"""
Which ``threading.local`` objects a thread has touched, and what they hold there.

Theory of operation. The interpreter has to drop what such an object holds on a thread when the thread ends. Up to
Python 3.12 the thread's dictionary has an entry for each object that was touched, from 3.13 on all of them share one
sentinel of the thread; either way a weak reference to it has a callback that is bound to the object. The way there
begins at a probe, a ``threading.local`` of ours. All is only read, and no code of the objects runs.

Guarantees: objects that the garbage collector does not show are found, too; no ``__init__`` of a subclass runs.
``can_be_told`` is False where the interpreter does these things in another way; then no thread counts as clean.

Source: CPython 3.11-3.13, ``_local_create_dummy`` and ``create_localsdict`` in Modules/_threadmodule.c.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Iterable
from types import BuiltinFunctionType
from typing import Any

contents_of = threading.local.__getattribute__


class Probe(threading.local):
    """The one object of each thread that is not reported."""


class Touched:
    """
    The ``threading.local`` objects that the current thread has made, read or written.

    Runs on: the thread itself, as do all methods.
    """

    def __init__(self) -> None:
        self._probe = Probe()
        self._probe.touched = True
        self._find_thread()

    def locals(self) -> list[tuple[Any, dict[str, Any]]]:
        """Return each object that still exists, with its attributes on this thread; in no particular order."""
        found = []
        for reference in self._references():
            callback = reference.__callback__
            if type(callback) is BuiltinFunctionType:  # others are not the interpreter's
                bound: Any = callback.__self__
                local = (bound[0] if type(bound) is tuple else bound)()
                if local is not None and local is not self._probe:
                    found.append((local, contents_of(local, "__dict__")))
        return found

    if sys.version_info >= (3, 13):
        import gc

        def _find_thread(self) -> None:
            (watched,) = (found for found in self.gc.get_referents(self._probe) if type(found) is set)
            self._sentinel = next(iter(watched))()

        def _references(self) -> Iterable[weakref.ref[Any]]:
            return weakref.getweakrefs(self._sentinel)

    else:
        import ctypes

        _dictionary = ctypes.pythonapi["PyThreadState_GetDict"]  # an object of its own, not the one others may set up
        _dictionary.restype = ctypes.c_void_p  # a borrowed reference

        def _find_thread(self) -> None:
            self._entries: Any = self.ctypes.cast(self._dictionary(), self.ctypes.py_object).value

        def _references(self) -> Iterable[weakref.ref[Any]]:
            for key, dummy in list(self._entries.items()):
                if type(key) is str and key.startswith("thread.local."):
                    yield from weakref.getweakrefs(dummy)


def can_be_told() -> bool:
    """Tell whether this interpreter keeps its ``threading.local`` objects in a way that is known. It is tried."""
    try:
        touched = Touched()
        local = threading.local()
        local.tried = True
        found = [contents for each, contents in touched.locals() if each is local]
        told = found == [{"tried": True}]
        key = id(local)
        del local, found
        return told and all(id(each) != key for each, _ in touched.locals())
    except Exception:
        return False
