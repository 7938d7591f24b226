"""
Send ``request_started`` and ``request_finished`` without a thread where their receivers need none.

Receivers come and go at run time, so they are read again at each send, and no reference to one is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.core.cache import caches, close_caches
from django.core.cache.backends.base import BaseCache
from django.core.handlers.base import reset_urlconf
from django.db import close_old_connections, connections, reset_queries
from django.dispatch import Signal

from onehop._django import is_djangos_own, live_receivers, run_parallel
from onehop.run.hop import hop_to_thread
from onehop.transparent import see_through


def _always() -> bool:
    return True


def _connections_untouched() -> bool:
    return not connections.all(initialized_only=True)


def _caches_close_nothing() -> bool:
    return all(type(cache).close is BaseCache.close for cache in caches.all(initialized_only=True))


DJANGOS_RECEIVERS: dict[Any, Callable[[], bool]] = {
    receiver: runs_here
    for receiver, runs_here in (
        (reset_queries, _connections_untouched),
        (close_old_connections, _connections_untouched),
        (close_caches, _caches_close_nothing),
        (reset_urlconf, _always),
    )
    if is_djangos_own(receiver)
}
"""Django's own receivers, each with the test whether it can run on the loop now: it has nothing to do there."""

_CODES = {receiver: receiver.__code__ for receiver in DJANGOS_RECEIVERS}


def are_djangos_own(receivers: Iterable[Callable[..., Any]]) -> bool:
    """Tell whether all receivers are among Django's four, with the code that Django shipped."""
    for receiver in receivers:
        receiver = see_through(receiver)
        try:
            if _CODES[receiver] is not receiver.__code__:  # type: ignore[attr-defined]
                return False
        except (KeyError, TypeError, AttributeError):
            return False
    return True


def have_nothing_to_do(receivers: Iterable[Callable[..., Any]]) -> bool:
    """Tell whether Django's own receivers can run on the loop: nothing that could block was opened there."""
    return all(test() for test in {DJANGOS_RECEIVERS[see_through(receiver)] for receiver in receivers})


async def asend(signal: Signal, sender: Any, **named: Any) -> None:
    """
    Send a signal: sync receivers first, in the order of connection, then the async ones together.

    Runs on: the loop. Cost: one hop if a sync receiver is not Django's own, or has something to do.

    Raises:
        What the first failing receiver raises; the receivers after it are not called.

    Source: Django 5.2-6.1, ``Signal.asend`` in dispatch/dispatcher.py.
    """
    receivers, async_receivers = live_receivers(signal, sender)
    if are_djangos_own(receivers) and have_nothing_to_do(receivers):
        _call_all(receivers, signal, sender, named)
    else:
        await hop_to_thread(_call_all, receivers, signal, sender, named)
    if async_receivers:
        await run_parallel(*(receiver(signal=signal, sender=sender, **named) for receiver in async_receivers))


def _call_all(receivers: list[Callable[..., Any]], signal: Signal, sender: Any, named: dict[str, Any]) -> None:
    for receiver in receivers:
        receiver(signal=signal, sender=sender, **named)
