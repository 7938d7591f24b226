"""
The order in which Django calls middleware, view and error handling: once, for both lanes.

Theory of operation. A walk yields one step at a time and is sent what the call returned, or has thrown into it
what the call raised. On the loop it calls a hook itself when the step's guard allows that; all else it leaves to
the runner. It awaits nothing and knows no threads.

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

from onehop._django import is_async
from onehop.steps import Affinity, Plan, Step

Pending = tuple[Step, Callable[..., Any], Any]
Steps = Generator[Pending, Any, Any]

ABSENT: Any = object()
RESOLVE = Step("resolve URL", Affinity.ANYWHERE, "Django resolves URLs on the loop")
VIEW_SYNC = Step("view", Affinity.THREAD, "sync view")
VIEW_ASYNC = Step("view", Affinity.LOOP, "async view")
RENDER_SYNC = Step("render", Affinity.THREAD, "templates may do anything")
RENDER_ASYNC = Step("render", Affinity.LOOP, "async render")
PROCESS_EXCEPTION = Step("process_exception", Affinity.THREAD, "always called in sync mode")
CONVERT = Step("exception to response", Affinity.THREAD, "error handlers may do anything")
END = Step("end", Affinity.ANYWHERE, "nothing is left to do")
LOG = Step("log response", Affinity.THREAD, "log handlers may do anything")


class Site(Protocol):
    """What a walk needs of Django's handler: its own methods, called and never copied."""

    def resolve_request(self, request: Any) -> Any: ...
    def make_view_atomic(self, view: Any) -> Any: ...
    def check_response(self, response: Any, callback: Any, name: str | None = None) -> None: ...
    def process_exception(self, error: Exception, request: Any) -> Any: ...
    def convert(self, request: Any, error: Exception) -> Any: ...
    def log(self, response: Any, request: Any) -> None: ...
    def made(self, response: Any, request: Any) -> None: ...


class Place:
    """
    Where a walk is being driven.

    Attributes:
        on_loop: True while a runner drives it on the loop.
        request: The request of the walk.
        abandoned: True once the task that drove it was cancelled; a thread may still be busy with it.
        outer: The place of the walk that has hopped to the thread on which this one was begun.
    """

    __slots__ = ("abandoned", "on_loop", "outer", "request")

    def __init__(self, request: Any) -> None:
        self.request = request
        self.on_loop = False
        self.abandoned = False
        self.outer: Place | None = None

    def is_abandoned(self) -> bool:
        """Tell whether nobody waits for this walk any more, or for one that it is part of."""
        return self.abandoned or (self.outer is not None and self.outer.is_abandoned())


class Walk:
    """
    One passage through the plan, or through the part of it inside a wrapper.

    Attributes:
        place: For the runner to say where it drives the walk.
        pending: The step to do next, what to call and with which arguments. None at first: advance with None; the
            step is ``END`` when all is done.
        advance: Go on with what the pending step returned; returns the next one, which is also to be stored.
        fail: The same with what it raised. Raises it again when no layer is left to convert it.
    """

    __slots__ = ("advance", "fail", "pending", "place")

    def __init__(self, place: Place, steps: Steps) -> None:
        self.place = place
        self.advance = steps.send
        self.fail = steps.throw
        self.pending: Pending | None = None

    @property
    def response(self) -> Any:
        """The outcome, once the walk has ended."""
        return self.pending[2]  # type: ignore[index]


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
    place = Place(request)
    return Walk(place, _layers(place, plan, position, site, request, whole))


def _layers(place: Place, plan: Plan, position: int, site: Site, request: Any, whole: bool) -> Steps:
    """Enter the hook layers from a position on, then what is inside them, then leave them again."""
    __traceback_hide__ = True
    response: Any = None
    error: Exception | None = None
    stretch = plan.stretches[position]
    depth = 0
    try:
        for layer in stretch:
            depth += 1
            hook = getattr(layer.instance, "process_request", ABSENT)
            if hook is not ABSENT:
                if place.on_loop and layer.request.guard(hook, request) is None:
                    response = hook(request)
                else:
                    response = yield layer.request, hook, (request,)
                if response:
                    site.made(response, request)
                    break
        else:
            depth += 1
            wrapper = plan.wrappers[position]
            if wrapper is None:
                response = yield from _inside(place, plan, site, request)
            else:
                around = plan.layers[wrapper]
                response = yield around.around, around.instance, (request,)  # type: ignore[misc]
                site.made(response, request)
    except Exception as raised:
        error = raised
        depth -= 1  # where it was raised, it is only converted
    outward = reversed(stretch[:depth])
    while True:
        if error is not None:
            try:
                response = yield CONVERT, site.convert, (request, error)
                error = None
            except Exception as raised:
                if next(outward, None) is None:
                    error = None
                    raise
                error = raised
                continue
        try:
            for layer in outward:
                hook = getattr(layer.instance, "process_response", ABSENT)
                if hook is not ABSENT:
                    if place.on_loop and layer.response.guard(hook, request, response) is None:
                        response = hook(request, response)
                    else:
                        response = yield layer.response, hook, (request, response)
                        site.made(response, request)
            break
        except Exception as raised:
            error = raised
    if whole:
        response._resource_closers.append(request.close)
        if response.status_code >= 400:
            yield LOG, site.log, (response, request)
    yield END, site.convert, response


def _inside(place: Place, plan: Plan, site: Site, request: Any) -> Steps:
    """Resolve and call the view, with the hooks that Django runs around it inside all middleware."""
    __traceback_hide__ = True
    response = None
    if place.on_loop:
        callback, arguments, keywords = site.resolve_request(request)
    else:
        callback, arguments, keywords = yield RESOLVE, site.resolve_request, (request,)
    for step, hook in plan.views:
        if place.on_loop and step.guard(hook, request, callback, arguments, keywords) is None:
            response = hook(request, callback, arguments, keywords)
        else:
            response = yield step, hook, (request, callback, arguments, keywords)
        if response:
            break
    if response is None:
        view = site.make_view_atomic(callback)
        step = VIEW_ASYNC if is_async(view) else VIEW_SYNC
        if keywords:
            view = partial(view, **keywords)
        try:
            response = yield step, view, (request, *arguments)
        except Exception as error:
            response = yield PROCESS_EXCEPTION, site.process_exception, (error, request)
            if response is None:
                raise
    site.check_response(response, callback)
    site.made(response, request)
    if hasattr(response, "render") and callable(response.render):
        for step, hook in plan.templates:
            if place.on_loop and step.guard(hook, request, response) is None:
                response = hook(request, response)
            else:
                response = yield step, hook, (request, response)
            name = f"{hook.__self__.__class__.__name__}.process_template_response"  # type: ignore[attr-defined]
            site.check_response(response, hook, name=name)
            site.made(response, request)
        try:
            step = RENDER_ASYNC if is_async(response.render) else RENDER_SYNC
            response = yield step, response.render, ()
        except Exception as error:
            response = yield PROCESS_EXCEPTION, site.process_exception, (error, request)
            if response is None:
                raise
        site.made(response, request)
    if iscoroutine(response):
        raise RuntimeError("Response is still a coroutine.")
    return response
