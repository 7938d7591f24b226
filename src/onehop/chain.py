"""
The planned chain: what a handler with an async middleware chain has in the chain's place.

Django loads the middleware itself, and calls its handler's ``adapt_method_mode`` for each; ``Chain`` notes the
layers there, makes the plan at the first request, and has ``run/runners`` drive walks over it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any

from django.core.handlers.base import BaseHandler
from django.core.signals import setting_changed
from django.urls import set_urlconf
from django.utils.log import log_response

from onehop._django import async_probe, is_djangos_own, response_for_exception, setting, sync_probe
from onehop.conf import find_thread_local, load_options
from onehop.plan import make_plan
from onehop.plan.load import Loading
from onehop.run import leftovers
from onehop.run.greenlets import await_in_parent, inside_greenlet
from onehop.run.lifespan import lifespan_at
from onehop.run.runners import note, raised_again, run_on_loop, run_on_thread
from onehop.run.threads import pool
from onehop.run.touched import can_be_told
from onehop.run.walk import walk_from
from onehop.steps import Mode, Plan

logger = logging.getLogger("onehop")


class Site:
    """What a walk calls of Django's handler, looked up at call time."""

    def __init__(self, handler: BaseHandler) -> None:
        self.handler = handler
        self.resolve_request = handler.resolve_request
        self.make_view_atomic = handler.make_view_atomic
        self.check_response = handler.check_response

    def process_exception(self, error: Exception, request: Any) -> Any:
        """Pass a view's exception to the ``process_exception`` hooks."""
        __traceback_hide__ = True
        return raised_again(error, self.handler.process_exception_by_middleware, error, request)

    made = staticmethod(note)
    """Note a response: if the request is aborted on the way out, it is closed all the same."""

    @staticmethod
    def convert(request: Any, error: Exception) -> Any:
        """Turn an exception into a response."""
        __traceback_hide__ = True
        response = raised_again(error, response_for_exception, request, error)
        note(response, request)
        return response

    @staticmethod
    def log(response: Any, request: Any) -> None:
        """Log a response with a status of 400 or more. Source: Django 6.1, ``BaseHandler.get_response_async``."""
        log_response("%s: %s", response.reason_phrase, request.path, response=response, request=request)


class Chain:
    """
    The middleware of one handler, loaded and planned.

    Attributes:
        options: The contents of ``settings.ONEHOP``.
        lifespan: What is entered before the first request.
    """

    def __init__(self, handler: BaseHandler) -> None:
        self.options = load_options()
        self.lifespan = lifespan_at(self.options.lifespan)
        self._handler = handler
        self._site = Site(handler)
        self._loading = Loading(self.options, self._get_response_for)
        self._adapting = False
        self._plan: Plan | None = None
        self._lists: list[Any] = []

    def load(self, stock: Callable[..., None]) -> None:
        """
        Let Django load ``settings.MIDDLEWARE``, and note every layer while it does.

        Args:
            stock: The handler's ``load_middleware``, as Django or an agent has it.
        """
        stock(is_async=True)
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
        leftovers.thread_locals.keep(map(find_thread_local, sorted(self.options.keep_thread_locals)))
        setting_changed.connect(self._forget_plan)

    @property
    def is_loading(self) -> bool:
        """True until Django has loaded all middleware."""
        return not self._loading.finished

    def adapt(
        self,
        stock: Callable[..., Any],
        is_async: bool,
        method: Any,
        method_is_async: bool | None = None,
        debug: bool = False,
        name: str | None = None,
    ) -> Any:
        """Give Django's loader what belongs in its place: a ``get_response``, a hook as it is, or the chain."""
        if self._adapting or not self.is_loading:
            return stock(is_async, method, method_is_async, debug, name)
        self._adapting = True
        try:
            if name is not None:
                if debug:  # for the log records that stock Django writes
                    stock(is_async, async_probe if method_is_async else sync_probe, method_is_async, debug, name)
                return self._loading.enter(
                    name.removeprefix("middleware "), method, Mode.ASYNC if is_async else Mode.SYNC
                )
            if method_is_async is not None:
                self._loading.close(method)
                return self._run
            return method if is_async else stock(is_async, method)
        finally:
            self._adapting = False

    @property
    def plan(self) -> Plan:
        """The plan, made at the first request from the lists then present, and again when these have changed."""
        handler = self._handler
        lists = [handler._view_middleware, handler._template_response_middleware, handler._exception_middleware]
        if self._plan is None or lists != self._lists:
            views, templates, exceptions = self._lists = [list(each) for each in lists]
            self._plan = make_plan(self._loading.layers, views, templates, exceptions, self.options)
        return self._plan

    def _check_declarations(self) -> None:
        """Make the plan once, so that mistakes are reported at start-up, and forget it: agents may change the lists."""
        self._plan = None
        self.plan  # noqa: B018
        self._plan = None

    def _forget_plan(self, **_: Any) -> None:
        self._plan = None

    async def respond(self, request: Any) -> Any:
        """Walk the plan. Source: Django 6.1, ``BaseHandler.get_response_async``."""
        if not self.lifespan.is_empty:
            await self.lifespan.prepare(request.scope)
        set_urlconf(setting("ROOT_URLCONF"))
        return await run_on_loop(walk_from(self.plan, 0, self._site, request, whole=True))

    async def _run(self, request: Any) -> Any:
        if not self.lifespan.is_empty:
            await self.lifespan.prepare(request.scope)
        return await run_on_loop(walk_from(self.plan, 0, self._site, request))

    def _get_response_for(self, mode: Mode, position: Callable[[], int]) -> Callable[..., Any]:
        """Return the ``get_response`` for the layer that will be at a position in the plan."""

        async def get_response_async(request: Any) -> Any:
            return await run_on_loop(walk_from(self.plan, position() + 1, self._site, request))

        def get_response(request: Any) -> Any:
            walk = walk_from(self.plan, position() + 1, self._site, request)
            if inside_greenlet():
                return await_in_parent(run_on_loop(walk))
            return run_on_thread(walk)

        return get_response_async if mode is Mode.ASYNC else get_response


def chain_of(handler: Any) -> Chain | None:
    """Return the planned chain of a handler; None for one whose chain is sync, or not loaded yet."""
    return getattr(handler, "_onehop_chain", None)


def load_planned(handler: Any, stock: Callable[..., None], is_async: bool) -> None:
    """
    Load a handler's middleware; plan it if its chain is async, and its innermost part Django's own.

    Raises:
        ConfigError: ``settings.ONEHOP`` or a declaration is wrong.
        Exception: What Django raises when it loads middleware.
    """
    chain = chain_of(handler)
    own = is_djangos_own(type(handler)._get_response_async)
    if not own or not is_async or (chain is not None and chain.is_loading):
        if not is_async:
            handler._onehop_lifespan = lifespan_at(load_options().lifespan)
        stock(is_async=is_async)
        return
    handler._onehop_chain = Chain(handler)
    try:
        handler._onehop_chain.load(stock)
    except BaseException:
        del handler._onehop_chain
        raise
