"""
Django's ASGI handler, with the plan in the place of the middleware chain.

The request path: ``asgi.py`` → ``OnehopASGIHandler.__call__`` → ``run/lifecycle.serve`` → Django's
``run_get_response`` → ``get_response_async`` here → ``chain.respond`` → ``run/runners.run_on_loop`` drives
``run/walk``.
"""

from __future__ import annotations

from typing import Any

from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.base import BaseHandler

from onehop._django import is_djangos_own
from onehop.chain import Chain, chain_of, load_planned
from onehop.run.lifecycle import serve
from onehop.steps import Plan

STOCK_CALL = ASGIHandler.__call__ if is_djangos_own(ASGIHandler.__call__) else None
STOCK_GET_RESPONSE = BaseHandler.get_response_async if is_djangos_own(BaseHandler.get_response_async) else None


class OnehopASGIHandler(ASGIHandler):
    """
    Handle ASGI requests with the fewest hops.

    Attributes:
        sender: The class that sends signals: Django's own for this handler, the concrete one for a subclass.
    """

    _onehop_chain: Chain

    def __init__(self) -> None:
        self.sender = ASGIHandler if type(self) is OnehopASGIHandler else type(self)
        super().__init__()

    def load_middleware(self, is_async: bool = False) -> None:
        """Let Django load ``settings.MIDDLEWARE``, and plan it."""
        load_planned(self, super().load_middleware, is_async)

    def adapt_method_mode(self, *arguments: Any, **keywords: Any) -> Any:
        """Give Django's loader what belongs in its place."""
        chain, stock = chain_of(self), super().adapt_method_mode
        return stock(*arguments, **keywords) if chain is None else chain.adapt(stock, *arguments, **keywords)

    @property
    def plan(self) -> Plan:
        """The plan, made at the first request from the lists then present, and again when these have changed."""
        return self._onehop_chain.plan

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """
        Answer one request. An agent's patch of Django's method is called, and comes back through ``handle``.

        Source: Django 6.1, ``ASGIHandler.__call__``, which makes a thread-sensitive context; ``serve`` makes it here.
        """
        stock = ASGIHandler.__call__ is STOCK_CALL and type(self).handle is HANDLE and "handle" not in self.__dict__
        if stock and scope["type"] == "http":
            await serve(self, self.sender, scope, receive, send)
        elif scope["type"] == "lifespan" and (chain := chain_of(self)) is not None:
            await chain.lifespan.speak(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    async def handle(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request. Source: Django 6.1, ``ASGIHandler.handle``."""
        await serve(self, self.sender, scope, receive, send)

    async def get_response_async(self, request: Any) -> Any:
        """Walk the plan. An agent's patch of Django's method is called, and comes back through the chain."""
        chain = chain_of(self)
        if chain is None or BaseHandler.get_response_async is not STOCK_GET_RESPONSE:
            return await super().get_response_async(request)
        return await chain.respond(request)


HANDLE = OnehopASGIHandler.handle
