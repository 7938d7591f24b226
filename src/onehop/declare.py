"""Declarations for one's own middleware: where a hook, or a whole middleware, may run."""

from __future__ import annotations

from typing import Any, TypeVar

T = TypeVar("T")

ATTRIBUTE = "onehop_affinity"


def runs_anywhere(hook_or_middleware: T) -> T:
    """
    Declare that a hook or middleware never blocks and keeps no ``threading.local`` state.

    It may then run on the event loop. Use it on a hook method, a middleware class or a middleware factory.
    A library can do the same without importing Onehop: ``onehop_affinity = "anywhere"``.

    Args:
        hook_or_middleware: The function or class to mark. It is returned unchanged but for one attribute.
    """
    return _mark(hook_or_middleware, "anywhere")


def runs_on_thread(hook_or_middleware: T) -> T:
    """
    Declare that a hook or middleware must run on the request thread, also where Onehop knows that it need not.

    Args:
        hook_or_middleware: The function or class to mark. It is returned unchanged but for one attribute.
    """
    return _mark(hook_or_middleware, "thread")


def _mark(target: T, affinity: str) -> T:
    setattr(target, ATTRIBUTE, affinity)
    return target


def declared_on_function(function: Any) -> str | None:
    """
    Return the affinity declared on a function itself, or None.

    A decorator made with ``functools.wraps`` copies attributes to a function that may do anything, so a mark
    that came that way does not count.
    """
    marked = getattr(function, "__dict__", {}).get(ATTRIBUTE)
    if marked is not None and ATTRIBUTE in getattr(getattr(function, "__wrapped__", None), "__dict__", {}):
        return None
    return marked


def declared_on_hook(cls: type, name: str) -> str | None:
    """Return the affinity declared on a method, or None. A subclass inherits it as it inherits one of a class."""
    owner = next((klass for klass in cls.__mro__ if name in vars(klass)), None)
    marked = declared_on_function(getattr(cls, name, None))
    return marked if owner is not None and (marked == "thread" or adds_nothing_to(cls, owner)) else None


def declared_on_class(cls: type) -> str | None:
    """
    Return the affinity declared on a class, or None.

    A subclass inherits the declaration only while it adds no callable, property or ``__init__`` of its own:
    what it adds was not part of what was declared.
    """
    declared = next((klass for klass in cls.__mro__ if ATTRIBUTE in vars(klass)), None)
    if declared is None or not adds_nothing_to(cls, declared):
        return None
    return str(vars(declared)[ATTRIBUTE])


def adds_nothing_to(cls: type, base: type) -> bool:
    """Tell whether neither a class nor any base beside one of its bases adds behaviour to that base."""
    return not any(adds_behaviour(klass) for klass in cls.__mro__ if klass not in base.__mro__)


def adds_behaviour(cls: type) -> bool:
    """Tell whether a class's own body defines a callable, a property or any other descriptor."""
    return any(
        callable(value) or hasattr(type(value), "__get__")
        for name, value in vars(cls).items()
        if name not in {"__dict__", "__weakref__", "__doc__", "__annotate__", "__annotate_func__"}
    )
