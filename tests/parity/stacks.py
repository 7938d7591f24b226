"""
Random middleware of every kind, made from specifications, and the views inside them.

A specification says what kind of middleware it is, how its mode is declared, and what each hook does. The made
classes record every call, so that two handlers can be compared by what they called.
"""

import asyncio
import sys
from dataclasses import dataclass, field

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.exceptions import MiddlewareNotUsed, PermissionDenied
from django.http import Http404, HttpResponse
from django.template.response import TemplateResponse
from django.utils.decorators import async_only_middleware, sync_and_async_middleware
from django.utils.deprecation import MiddlewareMixin
from hypothesis import strategies as st

from tests.project.recorder import record

HOOKS = (
    "process_request",
    "process_view",
    "process_template_response",
    "process_response",
    "process_exception",
)
DOES = ("pass", "respond", "raise", "404", "none")
AROUND = ("pass", "never", "twice", "raise before", "raise after", "replace", "catch")
KINDS = (
    "hooks",
    "classic",
    "hybrid",
    "async",
    "sync function",
    "async function",
    "hybrid function",
    "unused",
)


@dataclass(frozen=True)
class Spec:
    kind: str
    around: str
    hooks: dict = field(hash=False)
    async_hooks: bool = False
    declared: bool = False


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


def act(what, name, hook, response=None):
    """Do what a hook's specification says."""
    record.append((name, hook))
    if what == "raise":
        raise Boom(f"{name} {hook}")
    if what == "404":
        raise Http404(f"{name} {hook}")
    if what == "respond":
        return HttpResponse(f"{name} {hook}")
    if what == "none":
        return None
    return response


def mark(response, name):
    if response is not None and hasattr(response, "headers"):
        response.headers[f"X-{name}"] = "seen"
    return response


def make_hooks(spec, name):
    """Return the hook methods of a specification."""

    def process_request(self, request):
        return act(spec.hooks["process_request"], name, "process_request")

    def process_response(self, request, response):
        return mark(act(spec.hooks["process_response"], name, "process_response", response), name)

    def process_view(self, request, callback, args, kwargs):
        return act(spec.hooks["process_view"], name, "process_view")

    def process_template_response(self, request, response):
        changed = act(spec.hooks["process_template_response"], name, "process_template_response", response)
        return response if isinstance(changed, HttpResponse) and not hasattr(changed, "render") else changed

    def process_exception(self, request, exception):
        record.append((name, "exc_info", type(sys.exc_info()[1]).__name__))
        return act(spec.hooks["process_exception"], name, f"process_exception {type(exception).__name__}")

    made = {hook: function for hook, function in locals().items() if hook in spec.hooks}
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


def before(spec, name):
    record.append((name, "before"))
    if spec.around == "raise before":
        raise Boom(f"{name} before")
    if spec.around == "never":
        return HttpResponse(f"{name} never")
    return None


def after(spec, name, response):
    record.append((name, "after", getattr(response, "status_code", None)))
    if spec.around == "raise after":
        raise PermissionDenied(f"{name} after")
    if spec.around == "replace":
        return HttpResponse(f"{name} replaced")
    return mark(response, name)


def call_sync(spec, name, get_response, request):
    early = before(spec, name)
    if early is not None:
        return early
    try:
        response = get_response(request)
    except Exception as error:
        if spec.around != "catch":
            raise
        return HttpResponse(f"{name} caught {type(error).__name__}")
    if spec.around == "twice":
        response = get_response(request)
    return after(spec, name, response)


async def call_async(spec, name, get_response, request):
    early = before(spec, name)
    if early is not None:
        return early
    try:
        response = await get_response(request)
    except Exception as error:
        if spec.around != "catch":
            raise
        return HttpResponse(f"{name} caught {type(error).__name__}")
    if spec.around == "twice":
        response = await get_response(request)
    return after(spec, name, response)


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


class Falsy(HttpResponse):
    def __bool__(self):
        return False


def respond(what, request):
    record.append(("view", what, sys.exc_info()[0]))
    if what == "raise":
        raise Boom("view")
    if what == "404":
        raise Http404("view")
    if what == "template":
        return TemplateResponse(request, "hello.html", {"name": "you"})
    if what == "bad-template":
        return TemplateResponse(request, "missing.html")
    if what == "none":
        return None
    if what == "falsy":
        return Falsy("falsy")
    return HttpResponse(what)


async def never_awaited():
    return HttpResponse()


def make_view(mode, what):
    def sync_view(request, **kwargs):
        return respond(what, request)

    async def async_view(request, **kwargs):
        await asyncio.sleep(0)
        return respond(what, request)

    return async_view if mode == "async" else sync_view
