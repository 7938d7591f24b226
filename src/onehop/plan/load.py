"""
Collect the layers while Django loads ``settings.MIDDLEWARE``.

Django's own ``load_middleware`` runs, with its order, errors, factories and ``MiddlewareNotUsed``. It asks the
handler to adapt each inner handler for the next middleware; there it is given a ``get_response`` of ours, and
the instance it has just made is found inside the handler it passes.

Source: Django 5.2-6.1, ``BaseHandler.load_middleware`` in core/handlers/base.py.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.conf import settings
from django.core.handlers import base

from onehop._django import converted_instance
from onehop.conf import Options
from onehop.plan.affinity import declared_for_call, is_called_as_one, is_hooks_only
from onehop.steps import Mode

COROUTINE_MARKERS = ("_is_coroutine_marker", "_is_coroutine")
"""What ``markcoroutinefunction`` sets (Python 3.12 and newer; asgiref on 3.11), and ``wraps`` copies."""

IN_ONE_CALL = "can be sync or async: sync, as in stock Django: both hooks are one call"

GetResponseFor = Callable[[Mode, Callable[[], int]], Callable[..., Any]]


@dataclass(slots=True)
class Loaded:
    """
    A middleware that Django has instantiated. ``position`` counts from the outermost, once loading is over.

    ``stock_mode`` is the mode in which stock Django calls it, given what is inside.
    """

    path: str
    stock_mode: Mode
    mode: Mode
    mode_reason: str
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
        self._options = options
        self._get_response_for = get_response_for
        self._choices = choose_modes(options)
        self._entered: Loaded | None = None
        self._last_handler: Any = None
        self.layers: list[Loaded] = []
        self.finished = False

    def enter(self, path: str, handler: Any, stock_mode: Mode) -> Callable[..., Any]:
        """
        Return the ``get_response`` for the middleware that Django is about to instantiate.

        Args:
            path: Its dotted path.
            handler: Django's handler for everything inside it.
            stock_mode: The mode in which stock Django is about to instantiate it.
        """
        self._note_last(handler)
        loaded = self._entered = Loaded(path, stock_mode, *self._choices.pop())
        if loaded.mode is Mode.ASYNC and is_one_sync_call(
            path, base.import_string(path), self._options, stock_mode
        ):  # what was taken for async middleware inside it is not used
            loaded.mode, loaded.mode_reason = Mode.SYNC, IN_ONE_CALL
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
    The mode for one entry of ``settings.MIDDLEWARE``, and why.

    ``inside`` are the paths of the undeclared sync wrappers for which the mode is sync, outermost first.
    """

    mode: Mode
    reason: str
    inside: tuple[str, ...]


def choose_modes(options: Options) -> list[Choice]:
    """
    Choose how each middleware is called, before any is instantiated.

    Middleware that can do both is called as the lane asks on which it is entered: async on the loop, sync inside
    an undeclared sync wrapper, which keeps the request thread until it returns. So is one that stock Django calls in
    sync mode, and whose hooks have to be one call. Django instantiates from the innermost outwards, so that a wrapper
    counts here even if it turns out to be unused.

    Returns:
        A choice for each entry of ``settings.MIDDLEWARE``, in its order. The reason is empty where the middleware
        leaves none.
    """
    choices = []
    inside: tuple[str, ...] = ()
    paths = settings.MIDDLEWARE
    loaded = [base.import_string(path) for path in paths]
    for path, middleware, stock_mode in zip(paths, loaded, stock_modes(loaded), strict=True):
        can_sync, can_async = modes_of(middleware)
        if can_sync and can_async:
            mode, reason = Mode.ASYNC, "can be sync or async: async, as it is entered on the loop"
            if is_one_sync_call(path, middleware, options, stock_mode):
                mode, reason = Mode.SYNC, IN_ONE_CALL
            choices.append(Choice(Mode.SYNC if inside else mode, reason, inside))
            keeps_thread = mode is Mode.SYNC and not inside
        else:
            mode = Mode.ASYNC if can_async else Mode.SYNC
            choices.append(Choice(mode, "", ()))
            keeps_thread = mode is Mode.SYNC and is_called_as_one(path, middleware, options, stock_mode)
            inside = () if can_async else inside
        if keeps_thread and declared_for_call(path, middleware, options) != "anywhere":
            inside += (path,)
    return choices


def is_one_sync_call(path: str, middleware: Any, options: Options, stock_mode: Mode) -> bool:
    """Tell whether both hooks of a middleware, given as its class or factory, have to be one call."""
    return is_hooks_only(middleware) and is_called_as_one(path, middleware, options, stock_mode)


def modes_of(middleware: Any) -> tuple[bool, bool]:
    """Tell whether a class or factory of middleware can be sync, and whether it can be async, as Django asks it."""
    return bool(getattr(middleware, "sync_capable", True)), bool(getattr(middleware, "async_capable", False))


def stock_modes(middleware: Sequence[Any]) -> list[Mode]:
    """
    Return the mode in which stock Django calls each middleware, if all are used.

    Source: Django 5.2-6.1, ``BaseHandler.load_middleware`` in core/handlers/base.py, of an ASGI handler.
    """
    modes: list[Mode] = []
    inside = Mode.ASYNC
    for can_sync, can_async in map(modes_of, reversed(middleware)):
        stays_sync = inside is Mode.SYNC and can_sync
        inside = Mode.ASYNC if can_async and not stays_sync else Mode.SYNC
        modes.insert(0, inside)
    return modes
