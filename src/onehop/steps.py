"""The nouns that every stage shares: lanes, affinities, steps, layers and the plan. They import nothing of ours."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Guard = Callable[..., str | None]
"""
Asked on the loop just before a plain call, with the callable and its arguments: why that must not happen there *now*
(a sentence), or None.
"""


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


def _never_blocks(call: Callable[..., Any], *arguments: Any) -> None:
    return None


def _bound_to_thread(call: Callable[..., Any], *arguments: Any) -> str:
    return "bound to the thread"


def _has_to_be_awaited(call: Callable[..., Any], *arguments: Any) -> str:
    return "has to be awaited"


@dataclass(frozen=True, slots=True)
class Step:
    """
    One planned call.

    Attributes:
        label: What is called, as a person would say it: ``SessionMiddleware.process_request``.
        affinity: Where it may run, as far as that is fixed when the plan is made.
        reason: Why it has this affinity.
        guard: Asked before each plain call on the loop.
        conditions: The guard in words, for people; empty when it always says the same.
        wraps: True for middleware that calls ``get_response`` itself.
    """

    label: str
    affinity: Affinity
    reason: str = ""
    guard: Guard = _never_blocks
    conditions: str = ""
    wraps: bool = False

    def __post_init__(self) -> None:
        """Let the guard say all there is to say, so that the walk has one question to ask."""
        if self.affinity is Affinity.THREAD:
            object.__setattr__(self, "guard", _bound_to_thread)
        elif self.wraps or self.affinity is Affinity.LOOP:
            object.__setattr__(self, "guard", _has_to_be_awaited)


@dataclass(frozen=True, slots=True)
class Layer:
    """
    One middleware instance in the plan.

    Attributes:
        path: Its dotted path in ``settings.MIDDLEWARE``.
        instance: What the path's class or factory returned.
        mode: The mode in which it was instantiated.
        mode_reason: Why that mode was chosen; empty when the class left no choice.
        stock_mode: The mode in which stock Django calls it, given what is inside.
        around: The step that calls the instance itself. None for a layer that consists of hooks only, whose
            ``process_request`` and ``process_response`` are steps of their own.
        request: Step of ``process_request``. Unused when ``around`` is set.
        response: Step of ``process_response``. Unused when ``around`` is set.
    """

    path: str
    instance: Any
    mode: Mode
    mode_reason: str
    stock_mode: Mode
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
