"""
Watch the requests of test clients while they are open.

asgiref's two bridges are patched to count; a context variable tells which request hops.
"""

from __future__ import annotations

import contextvars
import gc
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from django.core.handlers.asgi import ASGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections

from onehop._django import AsyncToSync, SyncToAsync
from onehop.run.hop import post_in_turn


class Watched(Protocol):
    """What is noted of a request."""

    over: bool
    hops: list[None]
    request: Any
    enforce_csrf_checks: bool


exchange_of_request: contextvars.ContextVar[Watched | None] = contextvars.ContextVar("onehop_exchange", default=None)

not_counted: list[Any] = [post_in_turn]
"""Bridges whose calls are no hops of the application."""


class Watching:
    """
    Count hops, and keep the test's connections open, while any request of a client is open.

    Django's clients, too, disconnect ``close_old_connections`` from the two signals of a request.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = 0

    def __enter__(self) -> None:
        with self._lock:
            self._open += 1
            if self._open > 1:
                return
            self._disconnected = [
                signal for signal in (request_started, request_finished) if signal.disconnect(close_old_connections)
            ]
            to_async, to_sync = self._bridges = SyncToAsync.__call__, AsyncToSync.__call__

            async def counted_to_async(bridge: Any, *args: Any, **kwargs: Any) -> Any:
                if bridge._thread_sensitive and bridge not in not_counted:
                    _count()
                return await to_async(bridge, *args, **kwargs)

            def counted_to_sync(bridge: Any, *args: Any, **kwargs: Any) -> Any:
                _count()
                return to_sync(bridge, *args, **kwargs)

            SyncToAsync.__call__ = counted_to_async  # type: ignore[assignment, method-assign]
            AsyncToSync.__call__ = counted_to_sync  # type: ignore[assignment, method-assign]

    def __exit__(self, *_: Any) -> None:
        with self._lock:
            self._open -= 1
            if self._open:
                return
            SyncToAsync.__call__, AsyncToSync.__call__ = self._bridges  # type: ignore[method-assign]
            for signal in self._disconnected:
                signal.connect(close_old_connections)


watching = Watching()


def _count() -> None:
    exchange = exchange_of_request.get()
    if exchange is not None and not exchange.over:
        exchange.hops.append(None)


def _make_request(make: Callable[..., Any], scope: Any, body_file: Any) -> Any:
    """Make Django's request, and show it to the client if one has sent it."""
    request = make(scope, body_file)
    exchange = exchange_of_request.get()
    if exchange is not None:
        exchange.request = request
        request._dont_enforce_csrf_checks = not exchange.enforce_csrf_checks
    return request


def show_requests(application: Any) -> None:
    """Have an application's Django handlers show the requests that they make."""
    found = [application] if isinstance(application, ASGIHandler) else gc.get_objects()
    for each in found:
        # Not isinstance: it would evaluate every lazy object of the process.
        if issubclass(type(each), ASGIHandler) and getattr(each.request_class, "func", None) is not _make_request:
            each.request_class = partial(_make_request, each.request_class)
