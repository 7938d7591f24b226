"""
Call a sync wrapper on the loop: its ``get_response`` switches away while the part inside it is awaited.

The greenlet runs in the task's own context, so context variables, ``Local`` values and tokens behave as in one
function. Only middleware that is known or declared never to block is called this way.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from greenlet import getcurrent, greenlet


class WrapperGreenlet(greenlet):
    """One call of a wrapper. It switches to its parent to have a coroutine awaited."""


def inside_greenlet() -> bool:
    """Tell whether the caller runs in a wrapper's greenlet."""
    return isinstance(getcurrent(), WrapperGreenlet)


def await_in_parent(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Have the task await a coroutine while the wrapper stands still; return or raise its outcome."""
    __traceback_hide__ = True
    return getcurrent().parent.switch(coroutine)


class Stopped(NamedTuple):
    """What a wrapper's ``StopIteration`` is returned as: no coroutine can raise one."""

    error: StopIteration


async def call_in_greenlet(wrapper: Callable[..., Any], *arguments: Any) -> Any:
    """
    Call a sync wrapper and await whatever its ``get_response`` asks for.

    Runs on: the loop. Cost: one greenlet; no thread.

    Returns:
        What the wrapper returns; ``Stopped`` if it has raised ``StopIteration``.

    Raises:
        What else the wrapper raises. Cancelling the task raises ``CancelledError`` in the wrapper's ``get_response``.
    """
    __traceback_hide__ = True
    child = WrapperGreenlet(wrapper, getcurrent())
    child.gr_context = getcurrent().gr_context
    try:
        outcome = child.switch(*arguments)
        while not child.dead:
            try:
                response = await outcome
            except BaseException as error:
                outcome = child.throw(error)
            else:
                outcome = child.switch(response)
    except StopIteration as error:
        return Stopped(error)
    return outcome
