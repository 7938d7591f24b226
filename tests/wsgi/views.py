"""Middleware and views that note where and with which context they run; and the requests that reach them."""

import asyncio
import contextvars
import io
import threading
from wsgiref.util import FileWrapper

from asgiref.local import Local
from asgiref.sync import async_to_sync, iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.core import signals
from django.core.exceptions import PermissionDenied
from django.http import FileResponse, Http404, HttpResponse, HttpResponseNotModified, StreamingHttpResponse

from tests.project.recorder import record

local, variable = Local(), contextvars.ContextVar("tests_wsgi", default=None)


class Both:
    """A middleware that is sync or async, and notes where and with which context it runs."""

    async_capable = sync_capable = True

    def __init__(self, get_response):
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request):
        if iscoroutinefunction(self.get_response):
            return self.call_async(request)
        note("sync before", request)
        set_all(f"{type(self).__name__} before")
        response = self.get_response(request)
        note("sync after", request)
        return response

    async def call_async(self, request):
        note("async before", request)
        set_all(f"{type(self).__name__} before")
        response = await self.get_response(request)
        note("async after", request)
        return response


class AsyncOnly(Both):
    sync_capable = False


class SyncOnly(Both):
    async_capable = False


def set_all(value):
    local.value = value
    variable.set(value)


def note(what, request):
    on_thread = threading.get_ident() == request.META.get("tests.thread")
    record.append((what, getattr(local, "value", None), variable.get(), on_thread))


def sync_view(request):
    note("view", request)
    set_all("view")
    return HttpResponse("sync")


async def async_view(request):
    note("view", request)
    set_all("view")
    await asyncio.sleep(0)
    return HttpResponse("async")


async def gather_view(request):
    set_all("view")
    await asyncio.gather(*(sync_to_async(note)(f"job {number}", request) for number in range(4)))
    await sync_to_async(note, thread_sensitive=False)("pool", request)
    await sync_to_async(set_all)("thread")
    note("view", request)
    return HttpResponse("gather")


async def fresh_view(request):
    """Stock Django hangs when this is awaited below a nested ``async_to_sync``."""
    await asyncio.create_task(sync_to_async(note)("in an empty context", request), context=contextvars.Context())
    return HttpResponse("fresh")


async def nested_view(request):
    return HttpResponse(str(await down(request, 5)))


async def down(request, depth):
    note(f"async {depth}", request)
    set_all(f"down {depth}")
    if not depth:
        return 0
    result = 1 + await sync_to_async(up)(request, depth)
    note(f"async {depth} again", request)
    return result


def up(request, depth):
    note(f"sync {depth}", request)
    set_all(f"up {depth}")
    result = async_to_sync(down)(request, depth - 1)
    note(f"sync {depth} again", request)
    return result


def failing_sync(request):
    raise ValueError("of the view")


async def failing_async(request):
    await asyncio.sleep(0)
    raise {"404": Http404, "403": PermissionDenied}.get(request.GET.get("as"), ValueError)("of the view")


async def cancelled(request):
    raise asyncio.CancelledError


async def cancels_itself(request):
    asyncio.current_task().cancel()
    await asyncio.sleep(0)


async def exiting(request):
    raise SystemExit(3)


async def not_modified(request):
    return HttpResponseNotModified()


async def no_content(request):
    return HttpResponse(status=204)


async def posted(request):
    return HttpResponse(request.body + (await sync_to_async(request.POST.get)("a", "-")).encode())


def sync_stream(request):
    return StreamingHttpResponse(part for part in ("one", b"two"))


async def async_stream(request):
    async def parts():
        for part in ("one", b"two"):
            await asyncio.sleep(0)
            note("part", request)
            await sync_to_async(note)("on thread", request)
            yield part
        set_all("stream")

    response = StreamingHttpResponse(parts())
    response._resource_closers.append(lambda: note("closed", request))
    return response


async def broken_stream(request):
    async def parts():
        yield "one"
        raise ValueError("of the stream")

    return StreamingHttpResponse(parts())


async def exiting_stream(request):
    async def parts():
        yield "one"
        raise SystemExit(3)

    return StreamingHttpResponse(parts())


def file(request):
    return FileResponse(io.BytesIO(b"file" * 3000))


def signal_view(request):
    """Send a signal with an async receiver from sync code."""
    signal = signals.Signal()

    async def receiver(**_):
        note("receiver", request)

    signal.connect(receiver)
    signal.send(sender=None)
    return HttpResponse("signal")


VIEWS = [
    *(sync_view, async_view, gather_view, nested_view, failing_sync, failing_async, cancelled, cancels_itself, exiting),
    *(not_modified, no_content, posted, sync_stream, async_stream, broken_stream, exiting_stream, file, signal_view),
]
REQUESTS = [
    *((f"/{view.__name__}/", {}) for view in VIEWS),
    *((f"/{view.__name__}/", {"method": "HEAD"}) for view in (sync_view, async_view, async_stream, file)),
    ("/failing_async/?as=404", {}),
    ("/failing_async/?as=403", {}),
    ("/file/", {"file_wrapper": FileWrapper}),
    ("/posted/", {"method": "POST", "body": b"a=1", "CONTENT_TYPE": "application/x-www-form-urlencoded"}),
    ("/nowhere/", {}),
]
