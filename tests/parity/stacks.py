"""
Random middleware of every kind, made from specifications, and the views inside them.

The made classes record every call with what they see, so that two handlers can be compared by what they called.
"""

import asyncio
import sys
from collections.abc import Coroutine

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.exceptions import BadRequest, MiddlewareNotUsed, PermissionDenied, SuspiciousOperation
from django.http import Http404, HttpResponse
from django.template.response import TemplateResponse
from django.utils.decorators import async_only_middleware, sync_and_async_middleware
from django.utils.deprecation import MiddlewareMixin
from hypothesis import strategies as st

from tests.parity.nouns import Spec
from tests.parity.recorder import DECLARED, note
from tests.parity.touches import aenter, enter, leave

__all__ = ["HOOKS", "KINDS", "VIEWS", "Spec", "make", "make_view", "specs", "stacks"]

HOOKS = (
    "process_request",
    "process_view",
    "process_template_response",
    "process_response",
    "process_exception",
)
DOES = ("pass", "respond", "raise", "404", "none")
WRONGS = ("denied", "suspicious", "bad request", "group", "text", "coroutine")
AROUND = ("pass", "never", "twice", "raise before", "raise after", "replace", "catch")
KINDS = (
    "hooks",
    "sync hooks",
    "classic",
    "hybrid",
    "async",
    "sync function",
    "async function",
    "hybrid function",
    "unused",
)
HOOKS_ONLY = ("hooks", "sync hooks")
HYBRIDS = ("hybrid", "hybrid function")
"""Kinds whose mode Onehop may choose differently from stock Django."""

specs = st.builds(
    Spec,
    kind=st.sampled_from((*KINDS, "hooks", "classic")),
    around=st.sampled_from(AROUND),
    hooks=st.dictionaries(st.sampled_from(HOOKS), st.sampled_from(DOES + ("pass",) * 5)),
    async_hooks=st.booleans(),
    declared=st.booleans(),
)
stacks = st.lists(specs, max_size=4)


class Boom(Exception):
    pass


async def never_awaited():
    return HttpResponse()


RAISES = {
    "raise": Boom,
    "404": Http404,
    "denied": PermissionDenied,
    "suspicious": SuspiciousOperation,
    "bad request": BadRequest,
    "group": lambda text: ExceptionGroup(text, [Boom(text), ValueError(text)]),
}


def act(what, name, hook, *details, response=None, mode=None):
    """Do what a hook's specification says."""
    note(name, hook, *details, mode=mode)
    if what in RAISES:
        raise RAISES[what](f"{name} {hook}")
    if what == "respond":
        return HttpResponse(f"{name} {hook}")
    if what == "none":
        return None
    if what == "text":
        return "text"
    if what == "coroutine":
        return never_awaited()
    return response


def mark(response, name):
    if response is not None and hasattr(response, "headers"):
        response.headers[f"X-{name}"] = "seen"
    return response


def told(response):
    return type(response).__name__, getattr(response, "status_code", None)


def make_hooks(spec, name):
    """Return the hook methods of a specification."""
    does, touches = spec.hooks, spec.touches
    mode = DECLARED if spec.declared else None

    def process_request(self, request):
        enter(touches, name, request)
        return act(does["process_request"], name, "process_request", request.path, mode=mode)

    def process_response(self, request, response):
        leave(touches, name, request, mode)
        what = does["process_response"]
        return mark(act(what, name, "process_response", *told(response), response=response, mode=mode), name)

    def process_view(self, request, callback, args, kwargs):
        details = getattr(callback, "__name__", None), args, sorted(kwargs.items())
        return act(does["process_view"], name, "process_view", *details, mode=mode)

    def process_template_response(self, request, response):
        what = does["process_template_response"]
        changed = act(what, name, "process_template_response", *told(response), response=response, mode=mode)
        return response if isinstance(changed, HttpResponse) and not hasattr(changed, "render") else changed

    def process_exception(self, request, exception):
        details = type(exception).__name__, str(exception), type(sys.exc_info()[1]).__name__
        return act(does["process_exception"], name, "process_exception", *details)

    made = {hook: function for hook, function in locals().items() if hook in does}
    if spec.async_hooks:
        for hook in ("process_view", "process_template_response", "process_exception"):
            if hook in made:
                made[hook] = make_async(made[hook])
    return made


def make_async(function):
    async def hook(self, *args):
        await asyncio.sleep(0)
        return function(self, *args)

    hook.__name__ = function.__name__
    return hook


class Around:
    """What a middleware does around ``get_response``, in one mode."""

    def __init__(self, spec, name, mode):
        self.around, self.touches, self.name = spec.around, spec.touches, name
        self.mode = DECLARED if spec.declared and mode == "sync" else mode if spec.kind in HYBRIDS else None

    def before(self, request):
        note(self.name, "before", request.path, mode=self.mode)
        if self.around == "raise before":
            raise Boom(f"{self.name} before")
        return HttpResponse(f"{self.name} never") if self.around == "never" else None

    def caught(self, error):
        """Answer an exception that ``get_response`` let through."""
        return HttpResponse(f"{self.name} caught {type(error).__name__}")

    def after(self, request, response):
        leave(self.touches, self.name, request, self.mode)
        note(self.name, "after", *told(response), mode=self.mode)
        if self.around == "raise after":
            raise PermissionDenied(f"{self.name} after")
        if self.around == "replace":
            return HttpResponse(f"{self.name} replaced")
        return mark(response, self.name)


def call_sync(spec, name, get_response, request):
    around = Around(spec, name, "sync")
    enter(spec.touches, name, request)
    early = around.before(request)
    if early is not None:
        return early
    try:
        response = get_response(request)
    except Exception as error:
        if spec.around != "catch":
            raise
        return around.caught(error)
    if spec.around == "twice":
        response = get_response(request)
    return around.after(request, response)


async def call_async(spec, name, get_response, request):
    around = Around(spec, name, "async")
    await aenter(spec.touches, name, request)
    early = around.before(request)
    if early is not None:
        return early
    try:
        response = await get_response(request)
    except Exception as error:
        if spec.around != "catch":
            raise
        return around.caught(error)
    if spec.around == "twice":
        response = await get_response(request)
    return around.after(request, response)


def make(spec, name):
    """Make the class or factory of a specification."""
    hooks = make_hooks(spec, name)

    def init(self, get_response):
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def unused(get_response):
        raise MiddlewareNotUsed("not today")

    def call(self, request):
        run = call_async if self.is_async else call_sync
        return run(spec, name, self.get_response, request)

    def sync_function(get_response):
        return lambda request: call_sync(spec, name, get_response, request)

    def async_function(get_response):
        async def middleware(request):
            return await call_async(spec, name, get_response, request)

        return middleware

    def hybrid_function(get_response):
        return (async_function if iscoroutinefunction(get_response) else sync_function)(get_response)

    body = {**hooks, "__init__": init, "__call__": call}
    made = {
        "hooks": lambda: type(name, (MiddlewareMixin,), hooks),
        "sync hooks": lambda: type(name, (MiddlewareMixin,), {**hooks, "async_capable": False}),
        "classic": lambda: type(name, (), body),
        "hybrid": lambda: type(name, (), {**body, "async_capable": True, "sync_capable": True}),
        "async": lambda: type(name, (), {**body, "async_capable": True, "sync_capable": False}),
        "sync function": lambda: sync_function,
        "async function": lambda: async_only_middleware(async_function),
        "hybrid function": lambda: sync_and_async_middleware(hybrid_function),
        "unused": lambda: unused,
    }[spec.kind]()
    if spec.declared:
        made.onehop_affinity = "anywhere"
    return made


VIEWS = ("ok", "raise", "404", "template", "bad-template", "none", "coroutine", "falsy")


class Unawaited(Coroutine):
    """A coroutine that does not complain when it is thrown away, which may be in the middle of another test."""

    def __await__(self):
        yield

    def send(self, value):
        raise StopIteration

    def throw(self, *error):
        raise StopIteration


class Falsy(HttpResponse):
    def __bool__(self):
        return False


def respond(what, request):
    note("view", what, str(sys.exc_info()[0]))
    if what in RAISES:
        raise RAISES[what]("view")
    if what == "template":
        return TemplateResponse(request, "hello.html", {"name": "you"})
    if what == "bad-template":
        return TemplateResponse(request, "missing.html")
    if what == "none":
        return None
    if what == "text":
        return "text"
    if what == "coroutine":
        return Unawaited()
    if what == "falsy":
        return Falsy("falsy")
    return HttpResponse(what)


def make_view(mode, what):
    def sync_view(request, **kwargs):
        return respond(what, request)

    async def async_view(request, **kwargs):
        await asyncio.sleep(0)
        return respond(what, request)

    return async_view if mode == "async" else sync_view
