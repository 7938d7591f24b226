"""
Give each hook an affinity and the reason for it: declared, known, or, for everything else, the thread.

Rule: proof before inline. A hook may run on the loop only when it was declared, or when it is known, by the
identity of its class and code, and its guard says that it can not block now.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from django.utils.deprecation import MiddlewareMixin
from django.utils.module_loading import import_string

from onehop._django import is_djangos_own, iscoroutinefunction
from onehop.conf import HOOKS, Options
from onehop.declare import declared_on_class, declared_on_function
from onehop.errors import ConfigError
from onehop.plan.build import build_plan
from onehop.plan.declared import declared_for_hook, declared_for_whole
from onehop.plan.known import find_row, make_guard
from onehop.steps import Affinity, Layer, Mode, Plan, Step
from onehop.transparent import inner_middleware, see_through

UNSAFE = "DJANGO_ALLOW_ASYNC_UNSAFE"
DECLARED = "declared to run anywhere"
BOTH = ("process_request", "process_response")


class Loaded(Protocol):
    """A middleware that Django has instantiated (see ``load``)."""

    path: str
    instance: Any
    stock_mode: Mode
    mode: Mode
    mode_reason: str


def make_plan(
    loaded: Sequence[Loaded],
    views: Sequence[Callable[..., Any]],
    templates: Sequence[Callable[..., Any]],
    exceptions: Sequence[Callable[..., Any]],
    options: Options,
) -> Plan:
    """
    Make the plan.

    Args:
        loaded: Outermost first. May be empty.
        views: The handler's ``process_view`` hooks, outermost first, as they are: not adapted to a mode.
        templates: Its ``process_template_response`` hooks, innermost first.
        exceptions: Its ``process_exception`` hooks, innermost first.
        options: ``settings.ONEHOP``.

    Returns:
        The frozen plan.

    Raises:
        ConfigError: A declaration does not fit what it names.
    """
    _check_declarations(loaded, options)
    return build_plan(
        _kept_together([_layer(each, options) for each in loaded]),
        views=tuple((_listed_step(hook, loaded, options), hook) for hook in views),
        templates=tuple((_listed_step(hook, loaded, options), hook) for hook in templates),
        exceptions=tuple(_label(hook) for hook in exceptions),
    )


def is_hooks_only(middleware: Any) -> bool:
    """
    Tell whether a middleware class runs its hooks through ``MiddlewareMixin.__call__``, which does nothing else.

    It does, unless an agent has put a wrapper of its own in its place, which is then called as in stock Django.
    """
    return isinstance(middleware, type) and all(
        getattr(middleware, name, None) is getattr(MiddlewareMixin, name)
        and is_djangos_own(getattr(MiddlewareMixin, name))
        for name in ("__call__", "__acall__")
    )


def is_called_as_one(path: str, middleware: Any, options: Options, stock_mode: Mode) -> bool:
    """
    Tell whether a middleware, given as its class or factory, is called as a whole and calls ``get_response`` itself.

    So is hooks-only middleware with two hooks, of which none is known, where stock Django calls it in sync mode: it
    calls both within one sync function, so a token of a context variable may be kept from the one to the other. It
    makes as many hops as its hooks would by themselves. Whoever declares only one of them wants them called apart.
    """
    if not is_hooks_only(middleware):
        return True
    if stock_mode is Mode.ASYNC or not has_both_hooks(middleware):
        return False
    declared = [declared_for_hook(path, middleware, name, options) for name in BOTH]
    if "anywhere" in declared:
        return declared[0] == declared[1]
    return all(each or find_row(middleware, name)[0] is None for each, name in zip(declared, BOTH, strict=True))


def declared_for_call(path: str, middleware: Any, options: Options) -> str | None:
    """Return what was declared for a middleware that is called as one: "anywhere", "thread" or None."""
    if is_hooks_only(middleware):
        declared = {declared_for_hook(path, middleware, name, options) for name in BOTH}
        return declared.pop() if len(declared) == 1 else None
    return declared_for_whole(path, middleware, options)


def has_both_hooks(middleware: Any) -> bool:
    """Tell whether a middleware, or its class, has a hook on the way in and one on the way out."""
    return all(hasattr(middleware, name) for name in BOTH)


def _layer(loaded: Loaded, options: Options) -> Layer:
    middleware = inner_middleware(loaded.instance)
    stock_mode = loaded.stock_mode if loaded.mode is Mode.SYNC else Mode.ASYNC
    as_one = is_called_as_one(loaded.path, type(middleware), options, stock_mode)
    around = _around(loaded, middleware, options) if as_one else None
    return Layer(
        path=loaded.path,
        instance=middleware if around is None else loaded.instance,
        mode=loaded.mode,
        mode_reason=loaded.mode_reason,
        stock_mode=loaded.stock_mode,
        around=around,
        request=_hook_step(loaded.path, middleware, "process_request", options),
        response=_hook_step(loaded.path, middleware, "process_response", options),
    )


def _kept_together(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """
    Call a declared layer, whose hooks are one call, on the thread where a sync wrapper inside it needs that anyway.

    On the loop it would come back from there, and what is outside of it might need the thread once more.
    """
    kept: list[Layer] = []
    wrapper = None
    for layer in reversed(layers):
        around = layer.around
        if around is not None:
            if wrapper and around.reason == DECLARED and is_hooks_only(type(inner_middleware(layer.instance))):
                reason = f"{DECLARED}; on one lane with {wrapper} inside it"
                layer = replace(layer, around=Step(around.label, Affinity.THREAD, reason, wraps=True))
            else:
                wrapper = around.label if around.affinity is Affinity.THREAD else None
        kept.insert(0, layer)
    return tuple(kept)


def _around(loaded: Loaded, middleware: Any, options: Options) -> Step:
    """Return the step that calls a middleware which calls ``get_response`` itself."""
    label = loaded.path.rpartition(".")[2]
    if loaded.mode is Mode.ASYNC:
        return Step(label, Affinity.LOOP, "async middleware", wraps=True)
    declared = (
        declared_for_call(loaded.path, import_string(loaded.path), options)
        or declared_on_function(middleware)
        or declared_on_class(type(middleware))
    )
    if declared == "anywhere" and not _inline_is_off():
        return Step(label, Affinity.ANYWHERE, DECLARED, wraps=True)
    if declared == "thread":
        reason = "declared to run on the thread"
    elif is_hooks_only(type(middleware)):
        reason = "neither known nor declared: both hooks in one call, as in stock Django"
    else:
        reason = "sync middleware, neither known nor declared"
    return Step(label, Affinity.THREAD, _inline_is_off() or reason, wraps=True)


def _listed_step(hook: Callable[..., Any], loaded: Sequence[Loaded], options: Options) -> Step:
    """Return the step of a hook from one of the handler's lists, which an agent may have rewritten."""
    method = see_through(hook)
    owner = getattr(method, "__self__", None)
    name = getattr(method, "__name__", "")
    for each in loaded:
        middleware = inner_middleware(each.instance)
        if owner is middleware and name in HOOKS:
            return _hook_step(each.path, middleware, name, options)
    affinity = Affinity.LOOP if iscoroutinefunction(hook) else Affinity.THREAD
    return Step(_label(hook), affinity, "async hook" if affinity is Affinity.LOOP else "not a middleware's own hook")


def _hook_step(path: str, middleware: Any, name: str, options: Options) -> Step:
    """Return the step of one hook of one middleware instance."""
    label = f"{path.rpartition('.')[2]}.{name}"
    hook = getattr(type(middleware), name, None)
    if iscoroutinefunction(hook):
        return Step(label, Affinity.LOOP, "async hook")
    declared = declared_for_hook(path, type(middleware), name, options)
    if declared == "thread":
        return Step(label, Affinity.THREAD, "declared to run on the thread")
    if off := _inline_is_off():
        return Step(label, Affinity.THREAD, off)
    if declared == "anywhere":
        return Step(label, Affinity.ANYWHERE, DECLARED)
    row, doubt = find_row(type(middleware), name)
    if row is None:
        return Step(label, Affinity.THREAD, doubt)
    guard = make_guard(row, middleware)
    return Step(label, Affinity.ANYWHERE, f"known: {row.why}", guard, row.conditions)


def _inline_is_off() -> str:
    """Say why nothing may run on the loop; an empty string when it may."""
    return f"{UNSAFE} is set, so nothing runs inline" if os.environ.get(UNSAFE) else ""


def _label(hook: Any) -> str:
    owner = getattr(hook, "__self__", None)
    name = getattr(hook, "__name__", repr(hook))
    return f"{type(owner).__name__}.{name}" if owner is not None else str(name)


def _check_declarations(loaded: Sequence[Loaded], options: Options) -> None:
    for key, paths in (("RUNS_ANYWHERE", options.runs_anywhere), ("RUNS_ON_THREAD", options.runs_on_thread)):
        for path in sorted(paths):
            for each in loaded:
                if path == each.path or path.rpartition(".")[0] == each.path:
                    _check_declaration(key, path, each)


def _check_declaration(key: str, path: str, loaded: Loaded) -> None:
    middleware = inner_middleware(loaded.instance)
    where = f"{path!r} in ONEHOP[{key!r}]"
    if path == loaded.path:
        if loaded.mode is Mode.ASYNC and not loaded.mode_reason and not is_hooks_only(type(middleware)):
            raise ConfigError(f"{where} is async-only middleware. Coroutines run on the loop; remove the declaration.")
        return
    name = path.rpartition(".")[2]
    hook = getattr(middleware, name, None)
    if hook is None:
        raise ConfigError(f"{where} names a hook that the middleware does not have. Remove it, or correct its name.")
    if iscoroutinefunction(hook):
        raise ConfigError(f"{where} is a coroutine function. Coroutines run on the loop; remove the declaration.")
    if name in BOTH and not is_hooks_only(type(middleware)):
        raise ConfigError(
            f"{where} is called by the middleware's own __call__, not by Django. Declare {loaded.path!r} as a whole."
        )
