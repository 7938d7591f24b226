"""
Which ``threading.local`` objects a thread has touched, and what they hold there, without touching them.

Theory of operation. The interpreter keeps count itself. Up to Python 3.12 the thread's own dictionary has one key
for each object that was touched on the thread. From 3.13 on each such object holds a weak reference to one object
that stands for the thread, and keeps the contents in a dictionary by another. Both are found through a probe, a
``threading.local`` of ours. All is only read.

Guarantees: no ``__init__`` of a ``threading.local`` subclass runs. ``can_be_told`` is False where the interpreter
keeps these things in another way; then no thread counts as clean.

Source: CPython 3.11-3.13, ``_ldict`` and ``local_traverse`` in Modules/_threadmodule.c.
"""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from typing import Any

dict_of = threading.local.__getattribute__


class Probe(threading.local):
    """The one object of each thread that is not counted."""


class Touched:
    """
    The ``threading.local`` objects that the current thread has made, read or written.

    Runs on: the thread itself, as do all methods.
    """

    if sys.version_info >= (3, 13):

        def __init__(self) -> None:
            self._probe = Probe()
            self._probe.touched = True
            for referent in gc.get_referents(self._probe):
                if type(referent) is set:
                    self._thread = next(iter(referent))()
                elif type(referent) is dict:
                    self._key = next(iter(referent))

        def count(self) -> int:
            """Return how many objects that still exist were touched, without the probe."""
            return weakref.getweakrefcount(self._thread) - 1

        def contents(self, local: Any) -> dict[str, Any] | None:
            """Return the attributes that an object has on this thread; None if it was not touched."""
            for referent in gc.get_referents(local):
                if type(referent) is dict and self._key in referent:
                    found: dict[str, Any] = referent[self._key]
                    return found
            return None

    else:
        import ctypes

        _dictionary = ctypes.pythonapi["PyThreadState_GetDict"]  # an object of its own, not the one others may set up
        _dictionary.restype = ctypes.c_void_p  # a borrowed reference

        def __init__(self) -> None:
            self._probe = Probe()
            self._probe.touched = True
            self._keys: Any = self.ctypes.cast(self._dictionary(), self.ctypes.py_object).value

        def count(self) -> int:
            """Return how many objects that still exist were touched, without the probe."""
            return sum(type(key) is str and key.startswith("thread.local.") for key in list(self._keys)) - 1

        def contents(self, local: Any) -> dict[str, Any] | None:
            """Return the attributes that an object has on this thread; None if it was not touched."""
            if f"thread.local.{id(local):#x}" not in self._keys:
                return None
            found: dict[str, Any] = dict_of(local, "__dict__")
            return found


def can_be_told() -> bool:
    """
    Tell whether this interpreter keeps its ``threading.local`` objects in a way that is known.

    It is tried; more than once, because a garbage collection may run code that touches others meanwhile.
    """
    return any(_is_told() for _ in range(5))


def _is_told() -> bool:
    try:
        touched = Touched()
        before = touched.count()
        local = threading.local()
        local.tried = True
        seen = (touched.contents(local), touched.count()) == ({"tried": True}, before + 1)
        del local
        return seen and touched.count() == before
    except Exception:
        return False
