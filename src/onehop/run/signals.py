"""
Send ``request_started`` and ``request_finished`` without a thread where their receivers need none.

Receivers come and go at run time, so they are read again at each send, and no reference to one is kept.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from types import CodeType
from typing import Any

from django.core.cache import caches, close_caches
from django.core.cache.backends.base import BaseCache
from django.core.handlers.base import reset_urlconf
from django.db import close_old_connections, connections, reset_queries
from django.dispatch import Signal

from onehop._django import all_receivers, is_djangos_own, live_receivers, opened_on_loop, run_parallel
from onehop.run.hop import hop_to_thread


def _no_connection() -> bool:
    return all(wrapper.connection is None for wrapper in opened_on_loop(connections))


def _caches_close_nothing() -> bool:
    return all(type(cache).close is BaseCache.close for cache in opened_on_loop(caches))


DJANGOS_RECEIVERS: dict[int, tuple[CodeType, Callable[[], bool] | None]] = {
    id(receiver): (receiver.__code__, has_no_work)
    for receiver, has_no_work in (
        (reset_queries, _no_connection),
        (close_old_connections, _no_connection),
        (close_caches, _caches_close_nothing),
        (reset_urlconf, None),
    )
    if is_djangos_own(receiver)
}
"""
Django's own receivers, by identity: the code that was shipped, and whether it has no work that could block the loop.
"""


class Work(enum.Enum):
    """What the receivers of a signal have to do."""

    FOREIGN = enum.auto()  # some are not Django's own: they may do anything
    DJANGOS = enum.auto()  # all are Django's own, and one has work that could block the loop
    NONE = enum.auto()  # all are Django's own, and have nothing to do but to forget the URLconf


STOCK_SENDING = (Signal.send, Signal._live_receivers)


def nobody_watches() -> bool:
    """Tell whether sending is Django's own: no agent has put something of its own in its place."""
    return Signal.send is STOCK_SENDING[0] and Signal._live_receivers is STOCK_SENDING[1]


def work_of(signal: Signal) -> Work:
    """Tell what the receivers connected now have to do. Runs on: the loop."""
    work = Work.NONE
    for receiver in all_receivers(signal):
        known = DJANGOS_RECEIVERS.get(id(receiver))
        if known is not None and known[0] is receiver.__code__:
            if known[1] is not None and not known[1]():
                work = Work.DJANGOS
        elif receiver is not None:
            return Work.FOREIGN
    return work


async def asend(signal: Signal, sender: Any, **named: Any) -> None:
    """
    Send a signal: sync receivers first, in the order of connection, then the async ones together.

    Runs on: the loop. Cost: one hop if a sync receiver is not Django's own, or has work that may block.

    Raises:
        What the first failing receiver raises; the receivers after it are not called.

    Source: Django 5.2-6.1, ``Signal.asend`` in dispatch/dispatcher.py.
    """
    if work_of(signal) is Work.NONE:
        if not nobody_watches():
            signal.send(sender=sender, **named)
        return
    receivers, async_receivers = live_receivers(signal, sender)
    if receivers:
        await hop_to_thread(_call_all, receivers, signal, sender, named)
    if async_receivers:
        await run_parallel(*(receiver(signal=signal, sender=sender, **named) for receiver in async_receivers))


def _call_all(receivers: list[Callable[..., Any]], signal: Signal, sender: Any, named: dict[str, Any]) -> None:
    for receiver in receivers:
        receiver(signal=signal, sender=sender, **named)


def forget_urlconf(signal: Signal, sender: Any) -> None:
    """Call the one of Django's receivers that has work in every context, if it is connected."""
    for receiver in all_receivers(signal):
        if receiver is reset_urlconf:
            receiver(signal=signal, sender=sender)
