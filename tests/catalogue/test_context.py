"""Entries 64-73: context variables, ``Local`` values and what Django keeps in them."""

import asyncio
import contextvars
import gc
import json
import random
import re
import socket
import threading
import warnings
import weakref

import django
import pytest
from asgiref.local import Local
from asgiref.sync import sync_to_async
from django.core import signals
from django.core.cache import caches
from django.core.cache.backends.locmem import LocMemCache
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.test import override_settings
from django.urls import get_script_prefix, get_urlconf, path, set_script_prefix, set_urlconf
from django.utils import timezone, translation
from django.utils.deprecation import MiddlewareMixin
from opentelemetry.instrumentation.django import DjangoInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from onehop import runs_anywhere
from tests import asgi
from tests.run.drive import run, until
from tests.run.stacks import KINDS, paths
from tests.run.test_exits import is_quiet
from tests.run.test_no_join import served

HERE = __name__
SEED = 65
variable = contextvars.ContextVar("variable")
local, other_local = Local(), Local()


async def at_once(application, count, path="/?number={}"):
    """Send requests at the same time, each in a task and a context of its own; return their answers."""
    context = contextvars.copy_context
    requests = [
        asyncio.create_task(asgi.request(application, path.format(number)), context=context())
        for number in range(count)
    ]
    return await asyncio.gather(*requests)


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("kind", KINDS)
def test_bug_65_deleting_a_local_deletes_it_for_one_request(site, around, kind, mode):
    """asgiref #522: ``del`` of one request's ``Local`` unset it for the others, and 10 to 20 % of them failed."""
    wrong = []

    def number_of(request):
        return request.GET["number"]

    def before(name, request):
        local.number = other_local.number = number_of(request)

    def after(name, request, response):
        if local.number != number_of(request) or hasattr(other_local, "number"):
            wrong.append(number_of(request))
        del local.number

    def check_and_delete(request):
        if not local.number == other_local.number == number_of(request):
            wrong.append(number_of(request))
        del other_local.number

    def sync_view(request):
        check_and_delete(request)
        return HttpResponse("ok")

    async def async_view(request):
        await asyncio.sleep(random.Random(f"{SEED} {number_of(request)}").uniform(0, 0.005))
        await sync_to_async(check_and_delete)(request)
        await asyncio.sleep(0)
        return HttpResponse("ok")

    around(before, after)
    application = site({"sync": sync_view, "async": async_view}[mode], paths(kind))

    answers = run(at_once(application, 60))

    assert ([answer.status for answer in answers], wrong) == ([200] * 60, [])


OTEL = "opentelemetry.instrumentation.django.middleware.otel_middleware._DjangoMiddleware"


@pytest.fixture
def spans():
    """Have OpenTelemetry make spans, as its instrumentation of Django does; return its tracer and what has ended."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with override_settings(MIDDLEWARE=[]):
        DjangoInstrumentor().instrument(tracer_provider=provider)
    yield provider.get_tracer(__name__), exporter.get_finished_spans
    with override_settings(MIDDLEWARE=[OTEL]):
        DjangoInstrumentor().uninstrument()
    provider.shutdown()


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("inner", [None, *KINDS])
def test_bug_67_a_span_of_opentelemetry_is_ended_where_it_was_begun(site, spans, caplog, mode, inner):
    """
    asgiref #534: the middleware's span was begun in one context and left in another, and the trace fell to pieces.

    Of ten interleaved requests each view's span is the child of its own request's, and no token is complained about.
    """
    tracer, ended = spans

    def span_of(request):
        return tracer.start_as_current_span("view", attributes={"number": request.GET["number"]})

    def sync_view(request):
        with span_of(request):
            return HttpResponse("ok")

    async def async_view(request):
        with span_of(request):
            await asyncio.sleep(0)
            return HttpResponse("ok")

    middleware = [OTEL, *paths(*filter(None, [inner]))]
    application = site({"sync": sync_view, "async": async_view}[mode], middleware)

    run(at_once(application, 10))

    requests = {span.context.span_id: span for span in ended() if span.name != "view"}
    views = [span for span in ended() if span.name == "view"]
    pairs = {(requests[span.parent.span_id].attributes["http.url"][-1], span.attributes["number"]) for span in views}
    assert pairs == {(str(number), str(number)) for number in range(10)}
    assert [record.getMessage() for record in caplog.records] == []


PLACES = (
    *("started", "process_request", "process_view", "view", "render", "process_response"),
    *("iterator", "closer", "finished"),
)
variables = {place: contextvars.ContextVar(place) for place in PLACES}
seen_at: dict[str, tuple[set, set]] = {}


def visit(place):
    """Note which places' values are seen here, as context variables and in a ``Local``, and leave one."""
    seen = {name for name in PLACES if variables[name].get(None)}, {name for name in PLACES if hasattr(local, name)}
    seen_at.setdefault(place, seen)
    variables[place].set(True)
    setattr(local, place, True)


class Visits(MiddlewareMixin):
    """Hooks that leave a value each, and an iterator and a closer of the response that do."""

    def process_request(self, request):
        visit("process_request")

    def process_view(self, request, *_):
        visit("process_view")

    def process_response(self, request, response):
        visit("process_response")
        response._resource_closers.append(lambda: visit("closer"))
        if response.streaming:
            response.streaming_content = response.streaming_content
        return response


DeclaredVisits = runs_anywhere(type("DeclaredVisits", (Visits,), {"__module__": HERE}))


class Visited(TemplateResponse):
    """A response whose rendering leaves a value."""

    @property
    def rendered_content(self):
        visit("render")
        return "ok"


@pytest.mark.parametrize("wrapper", [None, *KINDS])
@pytest.mark.parametrize("middleware", ["Visits", "DeclaredVisits"])
@pytest.mark.parametrize("view", ["sync", "async", "sync stream", "async stream"])
def test_bug_68_each_place_sees_what_the_places_before_it_have_set(site, connect, view, middleware, wrapper):
    """asgiref #148, starlette #1525: values were lost on the way in, or out. The whole matrix is stock Django's."""

    def answer(request):
        visit("view")
        return StreamingHttpResponse(items()) if "stream" in view else Visited(request, [])

    async def async_answer(request):
        return answer(request)

    def items():
        visit("iterator")
        yield b"ok"

    connect(signals.request_started, lambda **_: visit("started"), weak=False)
    connect(signals.request_finished, lambda **_: visit("finished"), weak=False)
    body = async_answer if "async" in view else answer
    matrices = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for stock in (True, False):
            seen_at.clear()
            application = site(body, [*paths(*filter(None, [wrapper])), f"{HERE}.{middleware}"], stock=stock)
            assert asgi.get(application).body == b"ok"
            matrices.append(dict(seen_at))

    stock, onehop = matrices
    lost = [place for place in stock for ours, theirs in zip(onehop[place], stock[place], strict=True) if theirs - ours]
    assert (onehop.keys(), lost) == (stock.keys(), [])
    assert onehop == stock or django.VERSION < (6, 1)  # there stock Django loses what receivers set and should see
    assert {"process_request", "view", "process_response"} <= onehop["finished"][0] & onehop["finished"][1]


class ElsewhereUrls:
    urlpatterns = [path("elsewhere/", lambda request: HttpResponse("elsewhere"))]


def state_of_request():
    """Return all that Django keeps in ``Local`` values for a request."""
    return {
        "language": translation.get_language(),
        "time zone": timezone.get_current_timezone_name(),
        "urlconf": getattr(get_urlconf(), "__name__", None),
        "prefix": get_script_prefix(),
        "variable": variable.get(None),
    }


def leave_state():
    translation.activate("eo")
    timezone.activate("Indian/Mauritius")
    set_urlconf(ElsewhereUrls)
    set_script_prefix("/left/")
    variable.set("left")


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_bug_69_a_pipelined_request_begins_anew(site, mode):
    """
    uvicorn #2167: the next request on a connection began inside the context of the one before it.

    Over a socket, three requests in one write: the URLconf and the prefix are its own; all else is as in stock Django.
    """

    def view(request):
        found = state_of_request()
        leave_state()
        return JsonResponse(found)

    async def async_view(request):
        return view(request)

    ask = b"GET / HTTP/1.1\r\nHost: testserver\r\n\r\n"
    last = b"GET / HTTP/1.1\r\nHost: testserver\r\nConnection: close\r\n\r\n"
    answers = []
    for stock in (True, False):
        with served(site({"sync": view, "async": async_view}[mode], stock=stock)) as address:
            answers.append(exchange(address, ask * 2 + last))

    stock, onehop = answers
    assert onehop == stock
    assert [(each["urlconf"], each["prefix"]) for each in onehop] == [("Site", "/")] * 3


def exchange(address, sent):
    """Write to a server, and read JSON answers until it closes."""
    with socket.create_connection(address.removeprefix("http://").split(":"), timeout=10) as connection:
        connection.sendall(sent)
        received = b"".join(iter(lambda: connection.recv(65_536), b""))
    return [json.loads(each) for each in re.findall(rb"\{.*?\}", received)]


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("kind", KINDS)
def test_bug_70_nothing_that_requests_put_into_a_local_stays(site, around, pool, kind, mode):
    """asgiref #158, #487: ``Local`` grew, or kept values in cycles. After a hundred requests all values are gone."""
    alive = []

    class Value:
        pass

    def before(name, request):
        local.value, other = Value(), Value()
        variable.set(other)
        alive.extend([weakref.ref(local.value), weakref.ref(other)])

    around(before)
    application = site({"sync": lambda request: HttpResponse("ok"), "async": answer_async}[mode], paths(kind))

    async def hundred():
        await at_once(application, 100)
        await until(is_quiet)

    run(hundred())
    pool.drain(5)
    gc.collect()

    assert (len(alive), sum(each() is not None for each in alive)) == (200, 0)


async def answer_async(request):
    await asyncio.sleep(0)
    return HttpResponse("ok")


@pytest.mark.parametrize("where", ["view", *KINDS])
def test_bug_71_a_language_that_was_left_active_is_gone_with_its_request(site, around, where):
    """cfpb #5783: ``activate`` without ``deactivate`` stuck to the thread, and strangers read in Spanish."""

    def leave(*_):
        translation.activate("es")
        timezone.activate("Europe/Madrid")

    def view(request):
        found = f"{translation.get_language()} {timezone.get_current_timezone_name()} {threading.get_ident()}"
        if where == "view" and request.path == "/leave":
            leave()
        return HttpResponse(found)

    around(lambda name, request: leave() if request.path == "/leave" else None)
    application = site(view, paths(*(kind for kind in [where] if kind != "view")))

    async def two():
        answers = []
        for at in ("/leave", "/"):
            answers.append((await asyncio.create_task(asgi.request(application, at))).body.decode().split())
            await until(is_quiet)
        return answers

    first, second = run(two())

    assert second[:2] == ["en-us", "America/Chicago"]
    assert first[2] == second[2]  # the same thread has served both


class Client:
    """A connection to a cache server, as a memcached client has one."""

    opened: list = []

    def __init__(self):
        self.ends = socket.socketpair()
        self.opened.append(self)

    def close(self):
        for end in self.ends:
            end.close()

    @property
    def is_closed(self):
        return self.ends[0].fileno() == -1


class ConnectedCache(LocMemCache):
    """A cache that opens a client at its first use, and closes it with the request, as memcached's does."""

    client = None

    def get(self, key, *arguments, **keywords):
        self.client = self.client or Client()
        assert not self.client.is_closed, "somebody else has closed this client"
        return super().get(key, *arguments, **keywords)

    def close(self, **_):
        if self.client is not None:
            self.client.close()
            self.client = None


@pytest.mark.parametrize("use", ["sync view", "async view", "call", "hook and async view"])
def test_bug_72_cache_clients_belong_to_one_request_and_are_closed_with_it(site, around, monkeypatch, use):
    """
    Django #31253: concurrent tasks shared a cache client, and read each other's replies.

    Of thirty interleaved requests each has a client of its own for as long as it lasts, and none stays open.
    """
    monkeypatch.setattr(Client, "opened", [])
    clients = {}

    def read(request):
        caches["default"].get("key")
        clients.setdefault(request.GET["number"], set()).add(caches["default"].client)

    def sync_view(request):
        read(request)
        read(request)
        return HttpResponse("ok")

    async def async_view(request):
        for _ in range(3):
            await sync_to_async(read)(request) if use == "call" else read(request)
            await asyncio.sleep(0)
        return HttpResponse("ok")

    around(lambda name, request: read(request))
    hooks = paths("Hooks") if use.startswith("hook") else []
    backend = {"default": {"BACKEND": f"{HERE}.ConnectedCache"}}
    application = site(sync_view if use == "sync view" else async_view, hooks, CACHES=backend)

    async def thirty():
        answers = await at_once(application, 30)
        await until(is_quiet)
        return [answer.status for answer in answers]

    assert run(thirty()) == [200] * 30
    assert [len(each) for each in clients.values()] == [1] * 30
    assert len(set.union(*clients.values())) == 30
    assert [client for client in Client.opened if not client.is_closed] == []
