"""
Drive a walk: on the loop, or on the request thread. One rule: stay on the lane until a step cannot run there.

``run_on_loop`` and ``run_on_thread`` differ in which side is home. Each stays at home as long as it can, hops
away when a step cannot run there, and stays *there* as long as it can.
"""

from __future__ import annotations

import contextvars
from asyncio import CancelledError
from collections.abc import Callable
from typing import Any, Protocol

from onehop.errors import NoRequestThread
from onehop.run.greenlets import Stopped, call_in_greenlet
from onehop.run.hop import hop_to_loop, hop_to_thread
from onehop.run.walk import END, Place, Walk
from onehop.steps import Affinity

LOOP, THREAD = Affinity.LOOP, Affinity.THREAD


class Fate(Protocol):
    """What happened to a request, for code that still runs on its thread."""

    aborted: bool
    request: Any
    orphan: Any  # the last response that was made for the request; it may never be sent


fate_of_request: contextvars.ContextVar[Fate | None] = contextvars.ContextVar("onehop_fate", default=None)


driven: contextvars.ContextVar[Place | None] = contextvars.ContextVar("onehop_driven", default=None)
"""The walk that has hopped to the thread on which this code runs."""


async def run_on_loop(walk: Walk) -> Any:
    """
    Drive a walk to its end, with the loop as its home.

    Runs on: the loop. Cost: one hop for each stretch of steps that needs the thread.

    Returns:
        The walk's response.
    """
    try:
        while not await stay_on_loop(walk):
            walk.place.outer = driven.get()
            token = driven.set(walk.place)
            try:
                await hop_to_thread(stay_on_thread, walk)
            finally:
                driven.reset(token)
    except CancelledError:
        walk.place.abandoned = True
        raise
    return walk.response


def run_on_thread(walk: Walk) -> Any:
    """
    Drive a walk to its end, with the request thread as its home.

    Runs on: a thread. Cost: one hop for each stretch of steps that needs the loop.

    Returns:
        The walk's response.
    """
    walk.place.outer = driven.get()
    while not stay_on_thread(walk):
        hop_to_loop(stay_on_loop, walk)
    return walk.response


async def stay_on_loop(walk: Walk) -> bool:
    """Do steps on the loop until the walk is over (returns True) or a step needs the thread."""
    __traceback_hide__ = True
    place = walk.place
    place.on_loop = True
    try:
        pending = walk.pending or walk.advance(None)
        while True:
            step, call, arguments = pending
            try:
                if step.affinity is LOOP:
                    outcome = await call(*arguments)
                elif step.wraps and step.affinity is not THREAD:
                    outcome = await call_in_greenlet(call, *arguments)
                    if type(outcome) is Stopped:
                        raise outcome.error
                else:
                    walk.pending = pending
                    return step is END
            except NoRequestThread:
                raise  # Turning it into a response would need a thread, too.
            except Exception as error:
                pending = walk.fail(error)
            else:
                pending = walk.advance(outcome)
    finally:
        place.on_loop = False


def stay_on_thread(walk: Walk) -> bool:
    """
    Do steps on the request thread until the walk is over (returns True) or a step needs the loop.

    Raises:
        CancelledError: The request was aborted meanwhile, or the part of it that awaits this was cancelled; as in
            stock Django, no further hook runs.
    """
    __traceback_hide__ = True
    fate = fate_of_request.get()
    place = walk.place
    step, call, arguments = walk.pending = walk.pending or walk.advance(None)
    while step is not END and step.affinity is not LOOP:
        try:
            outcome = call(*arguments)
        except Exception as error:
            if place.is_abandoned() or (fate is not None and fate.aborted):
                raise CancelledError from error
            pending = walk.fail(error)
        else:
            if place.is_abandoned() or (fate is not None and fate.aborted):
                note(outcome, place.request)
                raise CancelledError
            pending = walk.advance(outcome)
        step, call, arguments = walk.pending = pending
    return step is END


def note(response: Any, request: Any) -> None:
    """Note what was made for a request, unless that is a request inside another one: whoever made it has it then."""
    fate = fate_of_request.get()
    if fate is not None and fate.request is request and response is not None:
        fate.orphan = response


def raised_again(error: Exception, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function where ``sys.exc_info()`` is an earlier exception, as Django's error handling expects."""
    __traceback_hide__ = True
    try:
        raise error
    except Exception:
        return function(*arguments)
