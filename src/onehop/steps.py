"""The nouns that every stage shares: lanes, affinities, steps, layers and the plan. They import nothing of ours."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Guard = Callable[[Callable[..., Any], tuple[Any, ...]], str | None]
"""Asked on the loop, just before a call: why it may block *now* (a sentence), or None when it can not."""


class Lane(enum.Enum):
    """Where code runs: on the event loop's thread, or on the request thread."""

    LOOP = "loop"
    THREAD = "thread"


class Affinity(enum.Enum):
    """Where a step may run. ``ANYWHERE`` steps stay on the lane of the step before them."""

    LOOP = "loop"
    THREAD = "thread"
    ANYWHERE = "anywhere"


class Mode(enum.Enum):
    """How code is called: as a function, or as a coroutine function that is awaited."""

    SYNC = "sync"
    ASYNC = "async"


@dataclass(frozen=True, slots=True)
class Step:
    """
    One planned call.

    Attributes:
        label: What is called, as a person would say it: ``SessionMiddleware.process_request``.
        affinity: Where it may run, as far as that is fixed when the plan is made.
        reason: Why it has this affinity.
        guard: Asked before each call on the loop; None when the step may always be called there.
        conditions: The guard in words, for people; empty when there is no guard.
        wraps: True for middleware that calls ``get_response`` itself.
    """

    label: str
    affinity: Affinity
    reason: str = ""
    guard: Guard | None = None
    conditions: str = ""
    wraps: bool = False

    def __post_init__(self) -> None:
        """Shut the loop's gate for thread steps, so that the runner has one question to ask."""
        if self.affinity is Affinity.THREAD:
            object.__setattr__(self, "guard", _bound_to_thread)


def _bound_to_thread(call: Callable[..., Any], arguments: tuple[Any, ...]) -> str:
    return "bound to the thread"


@dataclass(frozen=True, slots=True)
class Layer:
    """
    One middleware instance in the plan.

    Attributes:
        path: Its dotted path in ``settings.MIDDLEWARE``.
        instance: What the path's class or factory returned.
        mode: The mode in which it was instantiated.
        mode_reason: Why that mode was chosen; empty when the class left no choice.
        can_sync: Its ``sync_capable`` flag, which decides what stock Django does.
        can_async: Its ``async_capable`` flag.
        around: The step that calls the instance itself. None for a layer that consists of hooks only, whose
            ``process_request`` and ``process_response`` are steps of their own.
        request: Step of ``process_request``. Unused when ``around`` is set.
        response: Step of ``process_response``. Unused when ``around`` is set.
    """

    path: str
    instance: Any
    mode: Mode
    mode_reason: str
    can_sync: bool
    can_async: bool
    around: Step | None
    request: Step
    response: Step


@dataclass(frozen=True, slots=True)
class Plan:
    """
    Every step of a request, each with its affinity and the reason for it.

    Attributes:
        layers: Outermost first, as in ``settings.MIDDLEWARE``; without middleware that was not used. May be empty.
        views: ``process_view`` steps with their callables, outermost layer first.
        templates: ``process_template_response`` steps with their callables, innermost layer first.
        exceptions: Labels of the ``process_exception`` hooks, innermost layer first.
        stretches: For each position p in ``layers`` (and the end), the hook layers from p up to the next wrapper.
        wrappers: For each position p, the position of the first wrapper at or after p; None when there is none.
    """

    layers: tuple[Layer, ...]
    views: tuple[tuple[Step, Callable[..., Any]], ...] = ()
    templates: tuple[tuple[Step, Callable[..., Any]], ...] = ()
    exceptions: tuple[str, ...] = ()
    stretches: tuple[tuple[Layer, ...], ...] = field(default=((),), repr=False)
    wrappers: tuple[int | None, ...] = field(default=(None,), repr=False)
