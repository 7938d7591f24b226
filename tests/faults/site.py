"""The site that faults happen to: stacks of middleware of every kind, and views that say where a request is."""

import asyncio
from dataclasses import dataclass
from functools import partial

from asgiref.sync import markcoroutinefunction
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import re_path
from django.utils.deprecation import MiddlewareMixin

HERE = __name__


class Nothing:
    """The scene of a request to which nothing happens."""

    kind = "plain"
    closers = False

    def at(self, point, who="inner"):
        pass

    async def aat(self, point, who="inner"):
        pass

    def note(self, step):
        pass

    def made(self, response):
        pass


scene = Nothing()
"""What the code of the site tells where the request is; ``play`` puts a scene here for one request."""


class Hooks(MiddlewareMixin):
    """Its hooks run on the request thread."""

    who = "inner"

    def process_request(self, request):
        scene.at("request hook", self.who)

    def process_view(self, request, view, arguments, keywords):
        scene.at("view hook", self.who)

    def process_template_response(self, request, response):
        scene.at("template hook", self.who)
        return response

    def process_exception(self, request, error):
        scene.note(f"{self.who} process_exception {type(error).__name__}")

    def process_response(self, request, response):
        scene.at("response hook", self.who)
        return response


class Around(Hooks):
    """A wrapper on the request thread."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        self.process_request(request)
        return self.process_response(request, self.get_response(request))

    async_capable = False


class AsyncAround:
    """A wrapper on the loop, with async hooks."""

    who = "inner"
    sync_capable, async_capable = False, True
    process_exception = Hooks.process_exception

    def __init__(self, get_response):
        self.get_response = get_response
        markcoroutinefunction(self)

    async def __call__(self, request):
        await scene.aat("request hook", self.who)
        response = await self.get_response(request)
        await scene.aat("response hook", self.who)
        return response

    async def process_view(self, request, view, arguments, keywords):
        await scene.aat("view hook", self.who)

    async def process_template_response(self, request, response):
        await scene.aat("template hook", self.who)
        return response


def _named(name, base, **attributes):
    globals()[name] = type(name, (base,), {"__module__": HERE, **attributes})


for _base in (Hooks, Around, AsyncAround):
    _named(f"Outer{_base.__name__}", _base, who="outer")
for _base in (Hooks, Around):
    _named(f"Declared{_base.__name__}", _base, onehop_affinity="anywhere")
    _named(f"OuterDeclared{_base.__name__}", _base, onehop_affinity="anywhere", who="outer")


class Rendered(TemplateResponse):
    """A template whose rendering is a point of its own."""

    @property
    def rendered_content(self):
        scene.at("render")
        return "rendered"


def items():
    """The body of a stream that is made on a thread."""
    for number in range(3):
        if number == 1:
            scene.at("item")
        yield b"item %d" % number


async def async_items():
    """The same, made on the loop."""
    for number in range(3):
        await asyncio.sleep(0)
        if number == 1:
            await scene.aat("item")
        yield b"item %d" % number


def respond(request, stream):
    """Make the response that the scene asks for."""
    make = {
        "plain": partial(HttpResponse, b"plain"),
        "large": partial(HttpResponse, b"large" * 20_000),
        "template": partial(Rendered, request, "hello.html"),
        "stream": lambda: StreamingHttpResponse(stream()),
    }[scene.kind]
    return watched(make())


def watched(response):
    """Have the scene see that a response is closed."""
    if isinstance(response, HttpResponseBase):
        if scene.closers:
            response._resource_closers.append(partial(scene.at, "closer"))
        scene.made(response)
    return response


def sync_view(request):
    scene.at("view")
    return respond(request, items)


async def async_view(request):
    await scene.aat("view")
    return respond(request, async_items)


@dataclass(frozen=True)
class Stack:
    """
    Two layers of one kind, the view inside them, and the receivers that watch.

    Attributes:
        middleware: Name of the inner layer's class.
        view: The view at every path.
        receivers: ``"sync"``, ``"async"``, or None: then nothing that closes is anybody's but Django's.
    """

    middleware: str
    view: object
    receivers: str | None

    @property
    def settings(self):
        return {
            "MIDDLEWARE": [f"{HERE}.Outer{self.middleware}", f"{HERE}.{self.middleware}"],
            "ROOT_URLCONF": Urls("Site", (), {"urlpatterns": [re_path("", self.view)]}),
            "FILE_UPLOAD_MAX_MEMORY_SIZE": 10,
        }


class Urls(type):
    """Classes serve as ROOT_URLCONF: anything hashable with ``urlpatterns`` does."""


STACKS = {
    "thread": Stack("Hooks", sync_view, "sync"),
    "loop": Stack("DeclaredHooks", async_view, None),
    "async": Stack("AsyncAround", async_view, "async"),
    "wrapper": Stack("Around", async_view, "sync"),
    "greenlet": Stack("DeclaredAround", async_view, "async"),
    "bridged": Stack("AsyncAround", sync_view, None),
}
