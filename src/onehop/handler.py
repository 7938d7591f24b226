"""
Django's ASGI handler, with the plan in the place of the middleware chain.

The request path: ``asgi.py`` → ``OnehopASGIHandler.__call__`` → ``run/lifecycle.serve`` → Django's
``run_get_response`` → ``get_response_async`` here → ``run/runners.run_on_loop`` drives ``run/walk``.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any

from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.base import BaseHandler
from django.core.signals import setting_changed
from django.urls import set_urlconf
from django.utils.log import log_response

from onehop._django import async_probe, is_djangos_own, response_for_exception, setting, sync_probe
from onehop.conf import find_lifespan, find_thread_local, load_options
from onehop.plan import make_plan
from onehop.plan.load import Loading
from onehop.run import leftovers
from onehop.run.greenlets import await_in_parent, inside_greenlet
from onehop.run.lifecycle import serve
from onehop.run.lifespan import Lifespan
from onehop.run.runners import fate_of_request, raised_again, run_on_loop, run_on_thread
from onehop.run.threads import pool
from onehop.run.touched import can_be_told
from onehop.run.walk import walk_from
from onehop.steps import Mode, Plan

logger = logging.getLogger("onehop")

STOCK_CALL = ASGIHandler.__call__ if is_djangos_own(ASGIHandler.__call__) else None
STOCK_GET_RESPONSE = BaseHandler.get_response_async if is_djangos_own(BaseHandler.get_response_async) else None


class Site:
    """What a walk calls of Django's handler, looked up at call time."""

    def __init__(self, handler: BaseHandler) -> None:
        self.handler = handler
        self.resolve_request = handler.resolve_request
        self.make_view_atomic = handler.make_view_atomic
        self.check_response = handler.check_response

    def process_exception(self, error: Exception, request: Any) -> Any:
        """Pass a view's exception to the ``process_exception`` hooks."""
        return raised_again(error, self.handler.process_exception_by_middleware, error, request)

    @staticmethod
    def made(response: Any) -> None:
        """Note the response of the view: if the request is aborted on the way out, it is closed all the same."""
        fate = fate_of_request.get()
        if fate is not None:
            fate.orphan = response

    @staticmethod
    def convert(request: Any, error: Exception) -> Any:
        """Turn an exception into a response."""
        return raised_again(error, response_for_exception, request, error)

    @staticmethod
    def log(response: Any, request: Any) -> None:
        """Log a response with a status of 400 or more. Source: Django 6.1, ``BaseHandler.get_response_async``."""
        log_response("%s: %s", response.reason_phrase, request.path, response=response, request=request)


class OnehopASGIHandler(ASGIHandler):
    """
    Handle ASGI requests with the fewest hops.

    Attributes:
        sender: The class that sends signals: Django's own for this handler, the concrete one for a subclass.
    """

    def __init__(self) -> None:
        self.sender = ASGIHandler if type(self) is OnehopASGIHandler else type(self)
        self._loading: Loading | None = None
        self._plan: Plan | None = None
        self._lists: list[Any] = []
        super().__init__()
        self.site = Site(self)

    def load_middleware(self, is_async: bool = False) -> None:
        """Let Django load ``settings.MIDDLEWARE``, and note every layer while it does."""
        self.options = load_options()
        self._loading = Loading(self.options, self._get_response_for)
        super().load_middleware(is_async=is_async)
        self._loading.finish()
        self._check_declarations()
        pool.reuse = self.options.thread_reuse == "clean"
        if pool.reuse and not can_be_told():
            pool.reuse = False
            logger.warning(
                "Every request that needs a thread starts one, as if ONEHOP['THREAD_REUSE'] were 'never': "
                "this Python (%s) does not tell what a thread has left in its threading.local objects.",
                sys.version.partition(" ")[0],
            )
        pool.limit = self.options.max_request_threads
        self.lifespan = Lifespan(find_lifespan(self.options.lifespan))
        leftovers.thread_locals.keep(map(find_thread_local, sorted(self.options.keep_thread_locals)))
        setting_changed.connect(self._forget_plan)

    def adapt_method_mode(
        self,
        is_async: bool,
        method: Any,
        method_is_async: bool | None = None,
        debug: bool = False,
        name: str | None = None,
    ) -> Any:
        """Give Django's loader what belongs in its place: a ``get_response``, a hook as it is, or the chain."""
        adapt = super().adapt_method_mode
        if self._loading is None or self._loading.finished:
            return adapt(is_async, method, method_is_async, debug, name)
        if name is not None:
            if debug:  # for the log records that stock Django writes
                adapt(is_async, async_probe if method_is_async else sync_probe, method_is_async, debug, name)
            return self._loading.enter(name.removeprefix("middleware "), method)
        if method_is_async is not None:
            self._loading.close(method)
            return self._run_chain
        return method if is_async else adapt(is_async, method)

    @property
    def plan(self) -> Plan:
        """The plan, made at the first request from the lists then present, and again when these have changed."""
        lists = [self._view_middleware, self._template_response_middleware, self._exception_middleware]
        if self._plan is None or lists != self._lists:
            views, templates, exceptions = self._lists = [list(each) for each in lists]
            self._plan = make_plan(self._loading.layers, views, templates, exceptions, self.options)  # type: ignore[union-attr]
        return self._plan

    def _check_declarations(self) -> None:
        """Make the plan once, so that mistakes are reported at start-up, and forget it: agents may change the lists."""
        self._plan = None
        self.plan  # noqa: B018
        self._plan = None

    def _forget_plan(self, **_: Any) -> None:
        self._plan = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """
        Answer one request. An agent's patch of Django's method is called, and comes back through ``handle``.

        Source: Django 6.1, ``ASGIHandler.__call__``, which makes a thread-sensitive context; ``serve`` makes it here.
        """
        stock = ASGIHandler.__call__ is STOCK_CALL and type(self).handle is HANDLE and "handle" not in self.__dict__
        if scope["type"] == "lifespan":
            await self.lifespan.speak(scope, receive, send)
        elif stock and scope["type"] == "http":
            if self.options.lifespan is not None:
                await self.lifespan.prepare(scope)
            await serve(self, self.sender, scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    async def handle(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request. Source: Django 6.1, ``ASGIHandler.handle``."""
        await self.lifespan.prepare(scope)
        await serve(self, self.sender, scope, receive, send)

    async def get_response_async(self, request: Any) -> Any:
        """
        Walk the plan. An agent's patch of Django's method is called, and comes back through the chain.

        Source: Django 6.1, ``BaseHandler.get_response_async``.
        """
        if BaseHandler.get_response_async is not STOCK_GET_RESPONSE:
            return await super().get_response_async(request)
        set_urlconf(setting("ROOT_URLCONF"))
        return await run_on_loop(walk_from(self.plan, 0, self.site, request, whole=True))

    async def _run_chain(self, request: Any) -> Any:
        return await run_on_loop(walk_from(self.plan, 0, self.site, request))

    def _get_response_for(self, mode: Mode, position: Callable[[], int]) -> Callable[..., Any]:
        """Return the ``get_response`` for the layer that will be at a position in the plan."""

        async def get_response_async(request: Any) -> Any:
            return await run_on_loop(walk_from(self.plan, position() + 1, self.site, request))

        def get_response(request: Any) -> Any:
            walk = walk_from(self.plan, position() + 1, self.site, request)
            if inside_greenlet():
                return await_in_parent(run_on_loop(walk))
            return run_on_thread(walk)

        return get_response_async if mode is Mode.ASYNC else get_response


HANDLE = OnehopASGIHandler.handle
