"""
Put the plan into Django's own handler classes: ``onehop.install()``.

So every handler of the process goes through it, whoever makes it: those of test clients, live servers and static
files, and every subclass. Seven methods are replaced; each calls the one that was there where nothing is planned.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.base import BaseHandler
from django.core.handlers.wsgi import WSGIHandler

from onehop._django import is_djangos_own
from onehop.chain import chain_of, load_planned
from onehop.fallback import is_stock_wanted
from onehop.run.background import background
from onehop.run.lifecycle import serve
from onehop.run.wsgi_stream import Stream

Method = Callable[..., Any]


def install() -> bool:
    """
    Run every handler of this process through the plan, from now on.

    May be called from a settings module, and more than once. A handler that has loaded its middleware before keeps
    its chain. Signals keep their sender: the handler's own class.

    Returns:
        False where stock Django stays in place: with ``ONEHOP_DISABLE=1`` in the environment, or on a version of
        Django or asgiref that Onehop was not checked against.
    """
    if is_stock_wanted():
        return False
    for owner, name, make in METHODS:
        stock = getattr(owner, name)
        if not hasattr(stock, "_onehop_stock"):
            method = make(stock)
            if method is not stock:
                functools.update_wrapper(method, stock)
                method._onehop_stock = stock  # type: ignore[attr-defined]
                setattr(owner, name, method)
    return True


def _load_middleware(stock: Method) -> Method:
    def load_middleware(self: Any, is_async: bool = False) -> None:
        load_planned(self, functools.partial(stock, self), is_async)

    return load_middleware


def _adapt_method_mode(stock: Method) -> Method:
    def adapt_method_mode(self: Any, *arguments: Any, **keywords: Any) -> Any:
        chain, bound = chain_of(self), functools.partial(stock, self)
        return bound(*arguments, **keywords) if chain is None else chain.adapt(bound, *arguments, **keywords)

    return adapt_method_mode


def _get_response(stock: Method) -> Method:
    def get_response(self: Any, request: Any) -> Any:
        former = background.enter()
        try:
            lifespan = getattr(self, "_onehop_lifespan", None)
            if lifespan is not None and not lifespan.is_empty:
                lifespan.prepare_on(background.asyncio_loop, request.META)
            return stock(self, request)
        finally:
            if former is not None:
                background.leave(former)

    return get_response


def _get_response_async(stock: Method) -> Method:
    async def get_response_async(self: Any, request: Any) -> Any:
        chain = chain_of(self)
        if chain is None or not is_djangos_own(stock):
            return await stock(self, request)
        return await chain.respond(request)

    return get_response_async


def _call_asgi(stock: Method) -> Method:
    async def __call__(self: Any, scope: Any, receive: Any, send: Any) -> None:
        chain = chain_of(self)
        if chain is not None and scope["type"] == "lifespan":
            await chain.lifespan.speak(scope, receive, send)
        else:
            await stock(self, scope, receive, send)

    return __call__


def _handle(stock: Method) -> Method:
    if not is_djangos_own(stock):
        return stock

    async def handle(self: Any, scope: Any, receive: Any, send: Any) -> None:
        await serve(self, self.__class__, scope, receive, send)

    return handle


def _call_wsgi(stock: Method) -> Method:
    def __call__(self: Any, environ: Any, start_response: Any) -> Any:
        former = background.enter()
        try:
            response = stock(self, environ, start_response)
        finally:
            if former is not None:
                background.leave(former)
        return response if former is None or not getattr(response, "is_async", False) else Stream(response)

    return __call__


METHODS: tuple[tuple[type, str, Callable[[Method], Method]], ...] = (
    (BaseHandler, "load_middleware", _load_middleware),
    (BaseHandler, "adapt_method_mode", _adapt_method_mode),
    (BaseHandler, "get_response", _get_response),
    (BaseHandler, "get_response_async", _get_response_async),
    (ASGIHandler, "__call__", _call_asgi),
    (ASGIHandler, "handle", _handle),
    (WSGIHandler, "__call__", _call_wsgi),
)
