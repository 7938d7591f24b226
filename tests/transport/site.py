"""
The served site. Its views answer what their query asks for; ``/state/`` says what is left in the process.

With ``WATCH=1`` its responses have a ``close`` of their own, and both signals of a request have receivers.
"""

import asyncio
import gc
import os
import tempfile
import threading
import time
from collections import Counter
from hashlib import sha256

import django
from django.core import signals
from django.core.files.uploadhandler import TemporaryFileUploadHandler
from django.http import FileResponse, HttpResponse, JsonResponse, StreamingHttpResponse
from django.middleware.csrf import get_token
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

import onehop
from onehop.run.lease import Lease
from onehop.run.stream import Stream
from onehop.run.threads import pool

WATCH = bool(os.environ["WATCH"])
BEFORE_VIEW_S = 0.005
DISK_S = 0.4
LIMIT_S = 20
OURS = tuple(os.path.dirname(module.__file__) for module in (django, onehop))
counts = Counter()
lock = threading.RLock()  # the garbage collector may close a generator while it is held
made = []
writers = set()
messages = {}


def note(event):
    """Append an event to the file EVENTS; one short write is whole, whoever else writes."""
    with open(os.environ["EVENTS"], "a", encoding="utf-8") as file:
        file.write(f"{event}\n")


def count(name):
    with lock:
        counts[name] += 1


async def started(scope, **_):
    """Await a while before some views."""
    count("started")
    if scope["path"] == "/before/":
        await asyncio.sleep(BEFORE_VIEW_S)


def finished(**_):
    count("finished")


class Watched:
    """A response that counts its closings."""

    def close(self):
        count("closes")
        super().close()


def respond(kind, *arguments, **keywords):
    """Make a response of this kind, and keep it: only a call of ``close`` closes it."""
    if WATCH:
        kind = type(kind.__name__, (Watched, kind), {})
    response = kind(*arguments, **keywords)
    made.append(response)
    return response


def number(request, name, default=0):
    return type(default)(request.GET.get(name, default))


def enter(request):
    """Return the request's id; note that its view was entered, if it has one."""
    name = request.GET.get("id", "")
    if name:
        note(f"view {name}")
    return name


def plain(request):
    """Return a body that names its request."""
    return respond(HttpResponse, f"answer {enter(request)}\n" * 50)


def sync_view(request):
    time.sleep(number(request, "pause", 0.0))
    return plain(request)


async def async_view(request):
    await asyncio.sleep(number(request, "pause", 0.0))
    return plain(request)


def rows_of(request):
    """Return one row, the number of rows, the pause between them, and headers with the length of all."""
    row = f"row {enter(request)} ".encode().ljust(number(request, "size", 100), b".")
    rows = number(request, "rows", 10)
    return row, rows, number(request, "pause", 0.0), {"Content-Length": str(rows * len(row))}


def sync_rows(request):
    row, rows, pause, headers = rows_of(request)

    def items():
        count("entered")
        try:
            for _ in range(rows):
                count("taken")
                yield row
                if pause:
                    time.sleep(pause)
        finally:
            count("left")

    return respond(StreamingHttpResponse, items(), headers=headers)


async def async_rows(request):
    """Return rows from an async iterator; with a pause below 0 it never waits."""
    row, rows, pause, headers = rows_of(request)

    async def items():
        count("entered")
        try:
            for _ in range(rows):
                count("taken")
                yield row
                if pause >= 0:
                    await asyncio.sleep(pause)
        finally:
            count("left")

    return respond(StreamingHttpResponse, items(), headers=headers)


async def server_sent(request):
    """Send an event now and then, for ever."""

    async def items():
        count("entered")
        try:
            while True:
                yield "data: event\n\n"
                await asyncio.sleep(0.2)
        finally:
            count("left")

    return respond(StreamingHttpResponse, items(), content_type="text/event-stream")


def gated(request):
    """Send a second item only when the file GATE is there."""

    def items():
        yield b"first\n"
        deadline = time.monotonic() + LIMIT_S
        while not os.path.exists(os.environ["GATE"]) and time.monotonic() < deadline:
            time.sleep(0.01)
        yield b"second\n"

    return respond(StreamingHttpResponse, items())


def sync_file(request):
    return respond(FileResponse, open(os.environ["FILE"], "rb"))


async def async_file(request):
    return respond(FileResponse, open(os.environ["FILE"], "rb"))


def stock_file(request):
    """Return a plain file, without anything that counts."""
    return FileResponse(open(os.environ["FILE"], "rb"))


@csrf_exempt
def upload(request):
    return respond(HttpResponse, sha256(request.read()).hexdigest())


def form(request):
    """Return a token; to a form, what was in its file."""
    if request.method == "GET":
        return HttpResponse(get_token(request))
    digest = sha256()
    for chunk in request.FILES["file"].chunks():
        digest.update(chunk)
    return HttpResponse(f"{request.POST['field']} {digest.hexdigest()}")


def slow_disk(what):
    """Note who writes, and keep it waiting the first time: a write on the loop is seen in the loop's lag."""
    writer = f"{what} on {'the loop' if is_loop() else 'a thread'}"
    with lock:
        is_new = writer not in writers
        writers.add(writer)
    if is_new:
        time.sleep(DISK_S)


def is_loop():
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class SlowSpool(tempfile.SpooledTemporaryFile):
    """A body whose writes to the disk are noted."""

    def write(self, data):
        written = super().write(data)
        if self._rolled:
            slow_disk("body")
        return written


tempfile.SpooledTemporaryFile = SlowSpool if os.environ["SLOW_DISK"] else tempfile.SpooledTemporaryFile


class SlowToFile(TemporaryFileUploadHandler):
    """An upload handler whose calls are noted."""

    def receive_data_chunk(self, data, start):
        slow_disk("upload")
        super().receive_data_chunk(data, start)


async def lag(request):
    """Start to measure the loop's lag, or say what it was, with the threads that have written meanwhile."""
    task = getattr(lag, "task", None)
    if task is None:
        lag.worst = 0.0
        lag.task = asyncio.create_task(ping())
        return HttpResponse()
    lag.task = None
    task.cancel()
    seen, lag.worst = {"worst_s": lag.worst, "writers": sorted(writers)}, 0.0
    writers.clear()
    return JsonResponse(seen)


async def ping():
    while True:
        before = time.monotonic()
        await asyncio.sleep(0.005)
        lag.worst = max(lag.worst, time.monotonic() - before - 0.005)


def is_ours(task):
    """Tell whether a task is Django's or Onehop's own: not the server's, nor that of this request."""
    code = getattr(task.get_coro(), "cr_code", None)
    return task is not asyncio.current_task() and code is not None and code.co_filename.startswith(OURS)


async def state(request):
    """Say what there is in this process, after a collection: lost tasks and futures complain in the log then."""
    gc.collect()
    alive = Counter(type(each) for each in gc.get_objects())
    return JsonResponse(
        {
            **dict.fromkeys(("started", "finished", "closes", "entered", "left", "taken"), 0),
            **counts,
            "made": len(made),
            "closed": sum(each.closed for each in made),
            "threads": threading.active_count(),
            "tasks": sum(map(is_ours, asyncio.all_tasks())),
            "leases": alive[Lease],
            "streams": alive[Stream],
            "busy": pool._busy,
            "closing": pool._closing,
            "waiting": len(pool._waiting),
            "not idle": len(pool._threads) - len(pool._idle),
        }
    )


async def transport(request):
    """Say what the server offers, and which messages it was sent."""
    return JsonResponse({"offers": sorted(request.scope.get("extensions") or ()), "messages": messages})


if WATCH:
    signals.request_started.connect(started)
    signals.request_finished.connect(finished)

urlpatterns = [
    path("state/", state),
    path("transport/", transport),
    path("sync/", sync_view),
    path("async/", async_view),
    path("before/", async_view),
    path("sync-rows/", sync_rows),
    path("async-rows/", async_rows),
    path("server-sent/", server_sent),
    path("gated/", gated),
    path("sync-file/", sync_file),
    path("async-file/", async_file),
    path("stock-file/", stock_file),
    path("upload/", upload),
    path("form/", form),
    path("lag/", lag),
]
