"""
Send ``request_started`` and ``request_finished`` without a thread where their receivers need none.

Receivers come and go at run time, so they are read again at each send, and no reference to a foreign one is kept.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from operator import is_
from types import CodeType, FunctionType
from typing import Any, NamedTuple

from django.core.cache import caches, close_caches
from django.core.cache.backends.base import BaseCache
from django.core.handlers.base import reset_urlconf
from django.db import close_old_connections, connections, reset_queries
from django.dispatch import Signal

from onehop._django import all_receivers, is_djangos_own, live_receivers, opened_on_loop, run_parallel
from onehop.run.hop import hop_to_thread


def _connections_are_closed() -> bool:
    for wrapper in opened_on_loop(connections):  # noqa: SIM110  (a generator costs as much as the rest)
        if wrapper.connection is not None:
            return False
    return True


def _caches_close_nothing() -> bool:
    for cache in opened_on_loop(caches):  # noqa: SIM110
        if type(cache).close is not BaseCache.close:
            return False
    return True


DJANGOS_RECEIVERS: dict[Callable[..., Any], tuple[CodeType, Callable[[], bool] | None]] = {
    receiver: (receiver.__code__, has_no_work)
    for receiver, has_no_work in (
        (reset_queries, _connections_are_closed),
        (close_old_connections, _connections_are_closed),
        (close_caches, _caches_close_nothing),
        (reset_urlconf, None),
    )
    if is_djangos_own(receiver)
}
"""Django's own receivers: the code that was shipped, and what tells that it has no work that could block the loop."""


class Work(enum.Enum):
    """What the receivers of a signal have to do."""

    FOREIGN = enum.auto()  # some are not Django's own: they may do anything
    DJANGOS = enum.auto()  # all are Django's own, and one has work that could block the loop
    NONE = enum.auto()  # all are Django's own, and have nothing to do but to forget the URLconf


STOCK_SEND, STOCK_ASEND, STOCK_LIVE_RECEIVERS = (
    method if is_djangos_own(method) else None for method in (Signal.send, Signal.asend, Signal._live_receivers)
)


def nobody_watches(signal: Signal) -> bool:
    """Tell whether sending is Django's own: no agent has put something of its own in its place."""
    return (
        type(signal) is Signal
        and Signal.send is STOCK_SEND
        and Signal._live_receivers is STOCK_LIVE_RECEIVERS
        and "send" not in signal.__dict__
        and _asends_as_django(signal)
    )


def _asends_as_django(signal: Signal) -> bool:
    return getattr(type(signal), "asend", None) is STOCK_ASEND and "asend" not in signal.__dict__


class Seen(NamedTuple):
    """
    The receivers of a signal, all of them Django's own.

    Attributes:
        entries: The signal's entries, in the order of connection.
        receivers: The receivers with their code, in the same order.
        checks: What tells that they have no work that could block the loop, each once.
    """

    entries: list[Any]
    receivers: list[tuple[Callable[..., Any], CodeType]]
    checks: list[Callable[[], bool]]


_seen: dict[Signal, Seen] = {}


def work_of(signal: Signal) -> Work:
    """Tell what the receivers connected now have to do. Runs on: the loop."""
    seen = _seen.get(signal)
    entries = signal.receivers
    if seen is None or len(seen.entries) != len(entries) or not all(map(is_, seen.entries, entries)):
        seen = _look_at(signal)
        if seen is None:
            return Work.FOREIGN
    for receiver, code in seen.receivers:
        if receiver.__code__ is not code:
            return Work.FOREIGN
    for has_no_work in seen.checks:
        if not has_no_work():
            return Work.DJANGOS
    return Work.NONE


def _look_at(signal: Signal) -> Seen | None:
    """Remember the receivers of a signal if all are Django's own; None if one is not."""
    entries = list(signal.receivers)
    own = [receiver for receiver in all_receivers(entries) if receiver is not None]
    if not all(type(receiver) is FunctionType and receiver in DJANGOS_RECEIVERS for receiver in own):
        return None
    known = [DJANGOS_RECEIVERS[receiver] for receiver in own]
    checks = dict.fromkeys(has_no_work for _, has_no_work in known if has_no_work is not None)
    seen = Seen(entries, [(receiver, code) for receiver, (code, _) in zip(own, known, strict=True)], list(checks))
    if len(own) == len(entries):  # else one is gone, and its entry will soon be
        _seen[signal] = seen
    return seen


def is_idle(signal: Signal) -> bool:
    """Tell whether sending a signal would change nothing and be seen by nobody. Runs on: the loop."""
    return work_of(signal) is Work.NONE and nobody_watches(signal)


async def asend(signal: Signal, sender: Any, **named: Any) -> None:
    """
    Send a signal: sync receivers first, in the order of connection, then the async ones together.

    If an agent has replaced ``Signal.asend``, that is called.

    Runs on: the loop. Cost: one hop if a sync receiver is not Django's own, or has work that may block.

    Raises:
        What the first failing receiver raises; the receivers after it are not called.

    Source: Django 5.2-6.1, ``Signal.asend`` in dispatch/dispatcher.py.
    """
    if not _asends_as_django(signal):
        await signal.asend(sender=sender, **named)
        return
    if work_of(signal) is Work.NONE:
        signal.send(sender=sender, **named)
        return
    receivers, async_receivers = live_receivers(signal, sender)
    if receivers:
        await hop_to_thread(call_all, receivers, signal, sender, named)
    if async_receivers:
        await run_parallel(*(receiver(signal=signal, sender=sender, **named) for receiver in async_receivers))


def call_all(receivers: list[Callable[..., Any]], signal: Signal, sender: Any, named: dict[str, Any]) -> None:
    """Call sync receivers, in the order given. The first that fails ends it."""
    for receiver in receivers:
        receiver(signal=signal, sender=sender, **named)


def forget_urlconf(signal: Signal, sender: Any) -> None:
    """Call the one of Django's receivers that has work in every context, if it is connected."""
    seen = _seen.get(signal) or _look_at(signal)
    for receiver, _ in seen.receivers if seen else ():
        if receiver is reset_urlconf:
            receiver(signal=signal, sender=sender)
