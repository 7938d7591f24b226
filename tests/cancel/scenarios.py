"""
What a request may be busy with when something happens to it.

A scenario is a view with what is around it. Views, middleware and receivers say where they are (``present.mark``), wait
(``turn``), and tell what they open (``present.opening``, ``present.closer``).
"""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from asgiref.local import Local
from asgiref.sync import async_to_sync, markcoroutinefunction, sync_to_async
from django.contrib.auth.models import Group, Permission
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.http import FileResponse, Http404, HttpResponse, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import get_script_prefix, get_urlconf
from django.utils import translation
from django.utils.decorators import async_only_middleware
from django.utils.deprecation import MiddlewareMixin
from django.views import View

from onehop import runs_anywhere
from onehop.run.lease import Lease
from tests.cancel.points import present
from tests.project.settings import DEFAULT_MIDDLEWARE
from tests.run.drive import Gate

SCENARIOS = []
HERE = __name__


@asynccontextmanager
async def nothing():
    yield


@dataclass(frozen=True)
class Scenario:
    """
    One view with what is around it.

    Attributes:
        watch: Who sees the signals: "nobody" but Django, an "agent" that has patched ``Signal``, or receivers, which
            are "sync" or "async".
        body: The parts in which the request's body comes.
        drops_responses: True where middleware or view puts another response in the place of one that was made.
        unheard: True where the answer is sent while nobody listens for a disconnect, as under stock Django.
        meanwhile: Returns an async context manager that lasts as long as the request.
        atomic: Whether views run in a transaction.
    """

    name: str
    view: Callable
    middleware: tuple = ()
    settings: dict = field(default_factory=dict)
    watch: str = "agent"
    body: tuple = (b"",)
    scope: dict = field(default_factory=dict)
    drops_responses: bool = False
    unheard: bool = False
    meanwhile: Callable = nothing
    atomic: bool = False

    def __str__(self):
        return self.name


def scenario(*middleware, name="", **keywords):
    """
    Add a scenario: this view behind this middleware. Names in capitals are settings, others attributes of ``Scenario``.
    """
    settings = {key: keywords.pop(key) for key in list(keywords) if key.isupper()}

    def add(view):
        SCENARIOS.append(
            Scenario(
                name or view.__name__.replace("_", " "),
                view.as_view() if isinstance(view, type) else view,
                tuple(each if "." in each else f"{HERE}.{each}" for each in middleware),
                settings,
                **keywords,
            )
        )
        return view

    return add


# what a request leaves in the stores of its context and thread, and what the next one must not find there

who = contextvars.ContextVar("who", default=None)
local = Local()
shelf = threading.local()


def settle_in():
    """Begin a view: leave the request's name wherever a later one could find it."""
    present.mark("the view")
    who.set("the former")
    local.who = "the former"
    translation.activate("de")


def canary(request):
    """Answer with all that a former request may have left."""
    found = [who.get(), getattr(local, "who", None), getattr(shelf, "who", None), translation.get_language()]
    found += [get_urlconf(), get_script_prefix(), connection.in_atomic_block, connection.queries_log, request.read()]
    return HttpResponse(repr(found))


async def turn(name="waiting"):
    """Wait for the loop."""
    await asyncio.sleep(0)
    present.mark(name)


# views, by who watches


@scenario()
@scenario(name="async view, nobody watches", watch="nobody")
@scenario(name="async view, sync receivers", watch="sync")
@scenario(name="async view, async receivers", watch="async")
@scenario(*DEFAULT_MIDDLEWARE, name="async view, default stack", watch="nobody")
@scenario("Hooks", name="async view, hooks", watch="nobody")
@scenario("Classic", name="async view, bridged")
@scenario("Greenlet", name="async view, greenlet")
@scenario("Greenlet", "Hooks", "Greenlet", name="async view, greenlets and hooks", watch="sync")
@scenario("Async", "Classic", "Async", "Classic", name="async view, four wrappers, async first")
@scenario("Classic", "Async", "Classic", "Async", name="async view, four wrappers, sync first", watch="sync")
@scenario("Classic", "Greenlet", "Async", "Hooks", name="async view, wrappers of every kind")
@scenario("waits_for", name="wait_for around the chain")
@scenario("waits_for", "Classic", name="wait_for around a bridged chain")
@scenario("waits_under_timeout", name="timeout around the chain")
@scenario("gathers", name="gather around the chain")
@scenario("makes_a_task", name="a task around the chain")
@scenario(name="async view, threads never reused", ONEHOP={"THREAD_REUSE": "never"}, watch="sync")
@scenario(name="the body comes in parts", body=(b"one", b"two", b"three"))
@scenario(name="the whole body goes to the disk", body=(b"onetwo",), FILE_UPLOAD_MAX_MEMORY_SIZE=5)
@scenario(name="the body goes to the disk", body=(b"one", b"two") * 2, FILE_UPLOAD_MAX_MEMORY_SIZE=5)
@scenario(name="the first request enters the lifespan", ONEHOP={"LIFESPAN": f"{HERE}.lifespan"})
@scenario(name="bad request", scope={"query_string": b"\xff"}, unheard=True)
async def async_view(request):
    settle_in()
    await turn()
    return HttpResponse(present.read(request))


@scenario()
@scenario(name="sync view, nobody watches", watch="nobody")
@scenario(name="sync view, sync receivers", watch="sync")
@scenario(name="sync view, async receivers", watch="async")
@scenario(*DEFAULT_MIDDLEWARE, name="sync view, default stack", watch="nobody")
@scenario("Hooks", name="sync view, hooks", watch="nobody")
@scenario("Classic", name="sync view, bridged")
@scenario("Greenlet", name="sync view, greenlet")
@scenario("Async", name="sync view, async wrapper")
@scenario("Greenlet", "Hooks", "Greenlet", name="sync view, greenlets and hooks", watch="sync")
@scenario("Async", "Classic", "Async", "Classic", name="sync view, four wrappers, async first", watch="sync")
@scenario("Classic", "Async", "Classic", "Async", name="sync view, four wrappers, sync first")
@scenario("Classic", "Greenlet", "Async", "Hooks", name="sync view, wrappers of every kind")
@scenario("waits_for", "Hooks", name="wait_for around a sync view")
@scenario(name="sync view, threads never reused", ONEHOP={"THREAD_REUSE": "never"})
@scenario(name="sync view, body on the disk", body=(b"one", b"two") * 2, FILE_UPLOAD_MAX_MEMORY_SIZE=5, watch="nobody")
def sync_view(request):
    settle_in()
    shelf.who = "the former"
    body = present.read(request)
    present.mark("the view has read")
    return HttpResponse(body)


@scenario(watch="nobody")
async def async_view_that_never_waits(request):
    settle_in()
    return HttpResponse("ok")


@scenario("Hooks")
class AsyncClass(View):
    async def get(self, request):
        settle_in()
        await turn()
        return HttpResponse("ok")


@scenario("Hooks")
class SyncClass(View):
    def get(self, request):
        settle_in()
        return HttpResponse("ok")


# responses with something to close


class Closing(HttpResponse):
    """A response with a ``close`` of its own."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        present.opened["response"] += 1

    def close(self):
        present.mark("closing the response")
        present.closed["response"] += 1
        super().close()


@scenario("Hooks")
def sync_view_with_a_response_of_its_own(request):
    settle_in()
    response = Closing("ok")
    present.mark("the response is made")
    return response


@scenario("Classic")
async def async_view_with_closers(request):
    settle_in()
    response = HttpResponse("ok")
    response._resource_closers += [present.closer("one"), present.closer("two")]
    return response


# errors


@scenario("ExceptionHook", "Hooks")
def sync_view_that_fails(request):
    settle_in()
    raise LookupError("of the view")


@scenario("ExceptionHook", "Hooks", watch="nobody")
async def async_view_that_fails(request):
    settle_in()
    await turn()
    raise PermissionDenied


@scenario("Greenlet", "Classic", watch="sync")
async def view_that_finds_nothing(request):
    settle_in()
    raise Http404


def error_handler(request, exception=None):
    present.mark("the error handler")
    return HttpResponse("an error", status=500)


# streams


async def async_lines():
    with present.opening("generator"):
        for number in range(3):
            await turn("the generator")
            yield f"{number}\n"


def lines():
    with present.opening("generator"):
        for number in range(3):
            present.mark("the generator")
            yield f"{number}\n"


@scenario(watch="nobody")
async def async_stream(request):
    settle_in()
    return StreamingHttpResponse(async_lines())


@scenario("Classic", watch="sync")
def async_stream_of_a_sync_view(request):
    settle_in()
    return StreamingHttpResponse(async_lines())


@scenario(watch="nobody")
@scenario("Greenlet", "Hooks", name="sync stream through hooks", watch="sync")
@scenario(
    "django.middleware.gzip.GZipMiddleware",
    name="sync stream, compressed",
    scope={"headers": [(b"accept-encoding", b"gzip")]},
)
def sync_stream(request):
    settle_in()
    return StreamingHttpResponse(lines())


@scenario("Async")
async def sync_stream_of_an_async_view(request):
    settle_in()
    return StreamingHttpResponse(lines())


@scenario()
async def async_stream_that_fails(request):
    async def failing():
        with present.opening("generator"):
            yield "one"
            await turn()
            raise LookupError("of the generator")

    return StreamingHttpResponse(failing())


@scenario()
def sync_stream_that_fails(request):
    def failing():
        with present.opening("generator"):
            yield "one"
            present.mark("the generator")
            raise LookupError("of the generator")

    return StreamingHttpResponse(failing())


@scenario(watch="nobody")
@scenario(name="file that the server sends", scope={"extensions": {"http.response.pathsend": {}}})
def file(request):
    settle_in()
    opened = open(__file__, "rb")  # noqa: SIM115  (the response closes it)
    present.files.append(opened)
    return FileResponse(opened)


@scenario()
def stream_of_rows(request):
    settle_in()

    def rows():
        with present.opening("generator"):
            for permission in Permission.objects.order_by("pk")[:3].iterator(chunk_size=1):
                present.mark("a row")
                yield permission.codename

    return StreamingHttpResponse(rows())


# the database


@scenario(*DEFAULT_MIDDLEWARE, watch="nobody", atomic=True)
def atomic_view_with_a_session(request):
    settle_in()
    request.session["colour"] = "blue"
    Group.objects.create(name="one")
    present.mark("half written")
    Group.objects.create(name="two")
    return HttpResponse("ok")


@scenario("Hooks", atomic=True)
def atomic_view_that_fails(request):
    settle_in()
    Group.objects.create(name="one")
    present.mark("half written")
    raise LookupError("of the view")


@scenario(*DEFAULT_MIDDLEWARE)
async def async_view_with_a_session(request):
    settle_in()
    await request.session.aset("colour", "blue")
    await Group.objects.acreate(name="one")
    await Group.objects.acreate(name="two")
    return HttpResponse("ok")


# templates


class TemplateHook(MiddlewareMixin):
    def process_template_response(self, request, response):
        present.mark("process_template_response")
        response.context_data["name"] = "hook"
        return response


def marked_template(request):
    response = TemplateResponse(request, "hello.html", {"name": "view"})
    response.add_post_render_callback(lambda _: present.mark("rendered"))
    response._resource_closers.append(present.closer("template"))
    return response


@scenario("TemplateHook")
def template_of_a_sync_view(request):
    settle_in()
    return marked_template(request)


@scenario("TemplateHook", "Greenlet")
async def template_of_an_async_view(request):
    settle_in()
    return marked_template(request)


# sync in async in sync


def on_a_thread(name="on a thread"):
    present.mark(name)
    return name


async def down(depth):
    """Go to the thread, there to the loop, and so on."""
    await turn(f"depth {depth}")
    if depth:
        await sync_to_async(up)(depth - 1)


def up(depth):
    present.mark(f"depth {depth}")
    if depth:
        async_to_sync(down)(depth - 1)


@scenario()
async def sync_in_async_in_sync_in_async(request):
    settle_in()
    await down(4)
    return HttpResponse("ok")


@scenario("Classic", watch="sync")
def async_in_sync_in_async_in_sync(request):
    settle_in()
    up(4)
    return HttpResponse("ok")


@scenario()
async def call_on_a_pool_thread(request):
    settle_in()
    with present.opening("block"):
        await sync_to_async(on_a_thread, thread_sensitive=False)()
        await sync_to_async(on_a_thread)()
    return HttpResponse("ok")


@scenario(watch="nobody")
async def gathered_calls(request):
    settle_in()
    pooled = sync_to_async(on_a_thread, thread_sensitive=False)
    await asyncio.gather(sync_to_async(on_a_thread)("one"), sync_to_async(on_a_thread)("two"), pooled("three"), turn())
    return HttpResponse("ok")


@scenario("Classic")
async def call_within_wait_for(request):
    settle_in()
    await asyncio.wait_for(sync_to_async(on_a_thread)(), 60)
    return HttpResponse("ok")


@scenario()
async def call_that_takes_too_long(request):
    settle_in()
    try:
        async with asyncio.timeout(0.002):
            with present.opening("block"):
                await sync_to_async(on_a_thread)()
                await asyncio.get_running_loop().create_future()
    except TimeoutError:
        await turn("after the timeout")
    return HttpResponse("ok")


@scenario("Greenlet")
async def shielded_call(request):
    settle_in()
    await asyncio.shield(sync_to_async(on_a_thread)())
    return HttpResponse("ok")


@scenario("Classic")
def task_group_in_a_sync_view(request):
    settle_in()

    async def group():
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(turn("a child"))
            tasks.create_task(sync_to_async(on_a_thread)("a child on a thread"))

    async_to_sync(group)()
    return HttpResponse("ok")


# tasks that outlive their request


async def afterwards(opened):
    with opened:
        await turn("a later task")
        await sync_to_async(on_a_thread)("a later call")


@scenario("Hooks")
async def task_left_by_the_view(request):
    settle_in()
    present.run.left = asyncio.create_task(afterwards(present.opening("a later task")))
    await asyncio.sleep(0)
    return HttpResponse("ok")


@scenario(watch="nobody")
def task_left_by_a_sync_view(request):
    settle_in()

    async def later():
        with present.opening("a later task"):
            await turn("a later task")
            await turn("a later task")

    async def leave():
        present.run.left = asyncio.create_task(later())
        await asyncio.sleep(0)

    async_to_sync(leave)()
    return HttpResponse("ok")


# views that look after themselves


@scenario("Classic")
async def view_that_cleans_up(request):
    settle_in()
    try:
        with present.opening("block"):
            await turn()
    finally:
        await turn("cleaning up")
        await sync_to_async(on_a_thread)("cleaning up on a thread")
    return HttpResponse("ok")


@scenario(drops_responses=True)
async def view_that_ignores_its_cancellation(request):
    settle_in()
    try:
        await turn()
        await turn()
    except asyncio.CancelledError:
        return Closing("ignored")
    return HttpResponse("ok")


# limits


@asynccontextmanager
async def all_threads_busy(held_s):
    """Hold the only request thread for a while."""
    gate, lease = Gate(), Lease()
    lease.submit(gate.wait)
    await gate.reached()
    lease.end()
    asyncio.get_running_loop().call_later(held_s, gate.open)
    try:
        yield
    finally:
        gate.open()


ONE_THREAD = {"MAX_REQUEST_THREADS": 1}


@scenario("Hooks", ONEHOP=ONE_THREAD, meanwhile=lambda: all_threads_busy(0.003))
def sync_view_that_waits_for_a_thread(request):
    settle_in()
    return HttpResponse("ok")


@scenario("Hooks", ONEHOP=ONE_THREAD, meanwhile=lambda: all_threads_busy(60))
@scenario(
    "Classic",
    name="started receiver that is refused a thread",
    ONEHOP=ONE_THREAD,
    watch="sync",
    unheard=True,
    meanwhile=lambda: all_threads_busy(60),
)
def sync_view_that_is_refused_a_thread(request):
    raise AssertionError("it was given a thread")


# uploads

FORM = b'--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n' + b"data" * 20 + b"\r\n--x--\r\n"
FORM_TYPE = b"content-type", b"multipart/form-data; boundary=x"


@scenario(
    body=(FORM[:50], FORM[50:100], FORM[100:]),
    scope={"method": "POST", "headers": [FORM_TYPE, (b"content-length", b"%d" % len(FORM))]},
    FILE_UPLOAD_MAX_MEMORY_SIZE=60,
)
def upload(request):
    settle_in()
    present.files.append(request.FILES["f"].file)
    present.mark("the form is parsed")
    return HttpResponse(request.FILES["f"].read())


# what is entered once


entered = []


@asynccontextmanager
async def lifespan():
    entered.append("entered")
    await asyncio.sleep(0)
    try:
        yield {"client": "client"}
    finally:
        entered.remove("entered")


# middleware


class Hooks(MiddlewareMixin):
    """Hooks that run on the request thread."""

    def process_request(self, request):
        present.mark("process_request")

    def process_response(self, request, response):
        present.mark("process_response")
        return response


class ExceptionHook(MiddlewareMixin):
    def process_exception(self, request, exception):
        present.mark("process_exception")


class Classic:
    """A classic wrapper, on the request thread."""

    sync_capable, async_capable = True, False

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        with present.opening(type(self).__name__):
            present.mark("on the way in")
            response = self.get_response(request)
            present.mark("on the way out")
            return response


@runs_anywhere
class Greenlet(Classic):
    """A classic wrapper that is declared: on the loop a greenlet."""

    __init__ = Classic.__init__
    __call__ = Classic.__call__


class Async:
    """An async wrapper."""

    sync_capable, async_capable = False, True

    def __init__(self, get_response):
        self.get_response = get_response
        markcoroutinefunction(self)

    async def __call__(self, request):
        with present.opening("async wrapper"):
            await turn("on the way in")
            response = await self.get_response(request)
            await turn("on the way out")
            return response


def around_the_chain(call):
    """Return async middleware that awaits the chain through a function."""

    @async_only_middleware
    def factory(get_response):
        async def middleware(request):
            return await call(get_response(request))

        return middleware

    return factory


async def under_timeout(chain):
    async with asyncio.timeout(60):
        return await chain


async def gathered(chain):
    response, _ = await asyncio.gather(chain, turn("beside the chain"))
    return response


waits_for = around_the_chain(lambda chain: asyncio.wait_for(chain, 60))
waits_under_timeout = around_the_chain(under_timeout)
gathers = around_the_chain(gathered)
makes_a_task = around_the_chain(lambda chain: asyncio.create_task(chain))


# receivers


def sync_started(**_):
    present.mark("the started receiver")
    present.run.heard_started += 1


def sync_finished(**_):
    present.mark("the finished receiver")
    present.run.heard_finished += 1


async def async_started(**_):
    present.run.heard_started += 1
    await turn("the started receiver")


async def async_finished(**_):
    present.run.heard_finished += 1
    await turn("the finished receiver")


RECEIVERS = {"sync": (sync_started, sync_finished), "async": (async_started, async_finished)}
