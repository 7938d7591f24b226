"""
The order in which Django calls middleware, view and error handling: once, for both lanes.

Theory of operation. A walk yields one step at a time and is sent what the call returned, or has thrown into it
what the call raised. It calls nothing that may block, awaits nothing and knows no threads; the runners do.

====================================  =================================================================
``process_request`` returns nothing   the next layer inwards
``process_request`` returns truthy    that is the response; this layer's own ``process_response`` still runs
anything raises inside a layer        its ``process_response`` is left out; the exception becomes a response
                                      *at this layer*; the layers outside it go on with that response
that conversion raises                the same again one layer further out, until nothing is outside
``process_view`` returns truthy       no further ``process_view``, no view
the view, or ``render``, raises       ``process_exception``, innermost first, until one returns truthy
the response has ``render``           ``process_template_response``, innermost first, then ``render``
====================================  =================================================================

A wrapper (middleware that calls ``get_response`` itself) is one step: its ``get_response`` walks the layers
inside it with a walk of its own.

Source: Django 5.2-6.1, ``BaseHandler._get_response_async`` and ``get_response_async`` in core/handlers/base.py,
``convert_exception_to_response`` in core/handlers/exception.py, ``MiddlewareMixin.__call__`` in
utils/deprecation.py.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from inspect import iscoroutine
from typing import Any, Protocol

from onehop._django import iscoroutinefunction
from onehop.steps import Affinity, Plan, Step

Pending = tuple[Step, Callable[..., Any], Any]
Steps = Generator[Pending, Any, Any]

RESOLVE = Step("resolve URL", Affinity.ANYWHERE, "Django resolves URLs on the loop")
VIEW_SYNC = Step("view", Affinity.THREAD, "sync view")
VIEW_ASYNC = Step("view", Affinity.LOOP, "async view")
RENDER_SYNC = Step("render", Affinity.THREAD, "templates may do anything")
RENDER_ASYNC = Step("render", Affinity.LOOP, "async render")
PROCESS_EXCEPTION = Step("process_exception", Affinity.THREAD, "always called in sync mode")
CONVERT = Step("exception to response", Affinity.THREAD, "error handlers may do anything")
END = Step("end", Affinity.ANYWHERE, guard=lambda call, arguments: "nothing is left to do")
LOG = Step("log response", Affinity.THREAD, "log handlers may do anything")


class Site(Protocol):
    """What a walk needs of Django's handler: its own methods, called and never copied."""

    def resolve_request(self, request: Any) -> Any: ...
    def make_view_atomic(self, view: Any) -> Any: ...
    def check_response(self, response: Any, callback: Any, name: str | None = None) -> None: ...
    def process_exception(self, error: Exception, request: Any) -> Any: ...
    def convert(self, request: Any, error: Exception) -> Any: ...
    def log(self, response: Any, request: Any) -> None: ...
    def made(self, response: Any) -> None: ...


class Walk:
    """
    One passage through the plan, or through the part of it inside a wrapper.

    Attributes:
        pending: The step to do next, what to call and with which arguments; the step is ``END`` when all is done.
        advance: Go on with what the pending step returned; returns the next one, which is also to be stored.
        fail: The same with what it raised. Raises it again when no layer is left to convert it.
    """

    __slots__ = ("advance", "fail", "pending")

    def __init__(self, steps: Steps) -> None:
        self.advance = steps.send
        self.fail = steps.throw
        self.pending: Pending = steps.send(None)

    @property
    def response(self) -> Any:
        """The outcome, once the walk has ended."""
        return self.pending[2]


def walk_from(plan: Plan, position: int, site: Site, request: Any, *, whole: bool = False) -> Walk:
    """
    Start a walk.

    Args:
        plan: The plan.
        position: Index of the first layer to enter; ``len(plan.layers)`` goes straight to the view.
        site: Django's handler.
        request: The request.
        whole: Do also what Django's ``get_response_async`` does around its chain: log errors, close the request.
    """
    return Walk(_layers(plan, position, site, request, whole))


def _layers(plan: Plan, position: int, site: Site, request: Any, whole: bool) -> Steps:
    """Enter the hook layers from a position on, then what is inside them, then leave them again."""
    response: Any = None
    error: Exception | None = None
    stretch = plan.stretches[position]
    depth = 0
    try:
        for layer in stretch:
            depth += 1
            hook = getattr(layer.instance, "process_request", None)
            if hook is not None:
                response = yield layer.request, hook, (request,)
                if response:
                    break
        else:
            depth += 1
            wrapper = plan.wrappers[position]
            if wrapper is None:
                response = yield from _inside(plan, site, request)
            else:
                around = plan.layers[wrapper]
                response = yield around.around, around.instance, (request,)  # type: ignore[misc]
    except Exception as raised:
        error = raised
    # Unwind. The level below the last entered layer is the view's, or a wrapper's: it only converts.
    while depth:
        depth -= 1
        try:
            if error is None and depth < len(stretch):
                layer = stretch[depth]
                hook = getattr(layer.instance, "process_response", None)
                if hook is not None:
                    response = yield layer.response, hook, (request, response)
        except Exception as raised:
            error = raised
        if error is not None:
            try:
                response = yield CONVERT, site.convert, (request, error)
                error = None
            except Exception as raised:
                error = raised
    if error is not None:
        try:
            raise error
        finally:
            del error
    if whole:
        response._resource_closers.append(request.close)
        if response.status_code >= 400:
            yield LOG, site.log, (response, request)
    yield END, site.convert, response


def _inside(plan: Plan, site: Site, request: Any) -> Steps:
    """Resolve and call the view, with the hooks that Django runs around it inside all middleware."""
    response = None
    callback, arguments, keywords = yield RESOLVE, site.resolve_request, (request,)
    for step, hook in plan.views:
        response = yield step, hook, (request, callback, arguments, keywords)
        if response:
            break
    if response is None:
        view = site.make_view_atomic(callback)
        step = VIEW_ASYNC if iscoroutinefunction(view) else VIEW_SYNC
        if keywords:
            view = partial(view, **keywords)
        try:
            response = yield step, view, (request, *arguments)
        except Exception as error:
            response = yield PROCESS_EXCEPTION, site.process_exception, (error, request)
            if response is None:
                raise
    site.check_response(response, callback)
    if hasattr(response, "render") and callable(response.render):
        for step, hook in plan.templates:
            response = yield step, hook, (request, response)
            name = f"{hook.__self__.__class__.__name__}.process_template_response"  # type: ignore[attr-defined]
            site.check_response(response, hook, name=name)
        step = RENDER_ASYNC if iscoroutinefunction(response.render) else RENDER_SYNC
        try:
            response = yield step, response.render, ()
        except Exception as error:
            response = yield PROCESS_EXCEPTION, site.process_exception, (error, request)
            if response is None:
                raise
    if iscoroutine(response):
        raise RuntimeError("Response is still a coroutine.")
    site.made(response)
    return response
