"""
Collect the layers while Django loads ``settings.MIDDLEWARE``.

Django's own ``load_middleware`` runs, with its order, errors, factories and ``MiddlewareNotUsed``. It asks the
handler to adapt each inner handler for the next middleware; there it is given a ``get_response`` of ours, and
the instance it has just made is found inside the handler it passes.

Source: Django 5.2-6.1, ``BaseHandler.load_middleware`` in core/handlers/base.py.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.conf import settings
from django.core.handlers import base

from onehop._django import converted_instance
from onehop.conf import Options
from onehop.plan.affinity import is_called_as_one, is_declared_anywhere
from onehop.steps import Mode

COROUTINE_MARKERS = ("_is_coroutine_marker", "_is_coroutine")
"""What ``markcoroutinefunction`` sets (Python 3.12 and newer; asgiref on 3.11), and ``wraps`` copies."""

GetResponseFor = Callable[[Mode, Callable[[], int]], Callable[..., Any]]


@dataclass(slots=True)
class Loaded:
    """A middleware that Django has instantiated. ``position`` counts from the outermost, once loading is over."""

    path: str
    mode: Mode
    mode_reason: str
    can_sync: bool
    can_async: bool
    inside: tuple[str, ...]
    instance: Any = None
    position: int = -1


class Loading:
    """
    One run of Django's ``load_middleware``.

    Attributes:
        layers: What was loaded, outermost first; complete once ``finished`` is True.
        finished: False while Django loads.
    """

    def __init__(self, options: Options, get_response_for: GetResponseFor) -> None:
        self._get_response_for = get_response_for
        self._choices = choose_modes(options)
        self._entered: Loaded | None = None
        self._last_handler: Any = None
        self.layers: list[Loaded] = []
        self.finished = False

    def enter(self, path: str, handler: Any) -> Callable[..., Any]:
        """
        Return the ``get_response`` for the middleware that Django is about to instantiate.

        Args:
            path: Its dotted path.
            handler: Django's handler for everything inside it.
        """
        self._note_last(handler)
        loaded = self._entered = Loaded(path, *self._choices.pop())
        mode = loaded.mode
        get_response = functools.wraps(handler)(self._get_response_for(mode, lambda: loaded.position))
        if mode is Mode.SYNC:
            for marker in COROUTINE_MARKERS:
                get_response.__dict__.pop(marker, None)
        return get_response

    def close(self, handler: Any) -> None:
        """Note the outermost middleware, given Django's handler for the whole chain."""
        self._note_last(handler)

    def finish(self) -> None:
        """Number the layers from the outermost."""
        self.layers.reverse()
        used = {loaded.path for loaded in self.layers}
        for position, loaded in enumerate(self.layers):
            loaded.position = position
            if loaded.inside:
                loaded.mode_reason = f"can be sync or async: sync, {_inside(loaded.inside, used)}"
        self.finished = True

    def _note_last(self, handler: Any) -> None:
        """Note the middleware entered before, unless Django still has the same handler: then it was not used."""
        if self._entered is not None and handler is not self._last_handler:
            self._entered.instance = converted_instance(handler)
            self.layers.append(self._entered)
        self._entered = None
        self._last_handler = handler


def _inside(wrappers: tuple[str, ...], used: set[str]) -> str:
    """Name the innermost of the wrappers that is used, or say that none is."""
    for path in reversed(wrappers):
        if path in used:
            return f"inside {path.rpartition('.')[2]} on the thread"
    return f"as it is listed inside {wrappers[-1]}, which is unused"


class Choice(NamedTuple):
    """
    The mode for one entry of ``settings.MIDDLEWARE``, why, and between what there was to choose.

    ``inside`` are the paths of the undeclared sync wrappers for which the mode is sync, outermost first.
    """

    mode: Mode
    reason: str
    can_sync: bool
    can_async: bool
    inside: tuple[str, ...]


def choose_modes(options: Options) -> list[Choice]:
    """
    Choose how each middleware is called, before any is instantiated.

    Middleware that can do both is called as the lane asks on which it is entered: async on the loop, sync inside
    an undeclared sync wrapper, which keeps the request thread until it returns. Django instantiates from the innermost
    outwards, so that a wrapper counts here even if it turns out to be unused.

    Returns:
        A choice for each entry of ``settings.MIDDLEWARE``, in its order. The reason is empty where the middleware
        leaves none.
    """
    choices = []
    inside: tuple[str, ...] = ()
    for path in settings.MIDDLEWARE:
        middleware = base.import_string(path)
        can_sync = bool(getattr(middleware, "sync_capable", True))
        can_async = bool(getattr(middleware, "async_capable", False))
        mode, reason = (Mode.ASYNC if can_async else Mode.SYNC), ""
        if can_sync and can_async:
            reason = "can be sync or async: async, as it is entered on the loop"
            if inside:
                mode = Mode.SYNC
        elif can_async:
            inside = ()
        elif is_called_as_one(path, middleware, options) and not is_declared_anywhere(path, middleware, options):
            inside += (path,)
        choices.append(Choice(mode, reason, can_sync, can_async, inside if can_sync and can_async else ()))
    return choices
