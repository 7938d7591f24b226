"""The served site. What happens in it is written to the file EVENTS, one line for each event."""

import asyncio
import gc
import os
import threading
import time
from collections import Counter
from hashlib import sha256

import django
from asgiref.sync import AsyncToSync, SyncToAsync
from django.http import HttpResponse, HttpResponseRedirect, JsonResponse, StreamingHttpResponse
from django.middleware.csrf import get_token
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

import onehop

LIMIT_S = 20
counts = Counter()


def note(event):
    """Append an event; one short write is whole, whoever else writes."""
    with open(os.environ["EVENTS"], "a", encoding="utf-8") as file:
        file.write(f"{event}\n")


def count_hops():
    """Count the calls of asgiref's two bridges from now on, but for those to a pool."""
    to_thread, to_loop = SyncToAsync.__call__, AsyncToSync.__call__

    def counted_to_thread(self, *arguments, **keywords):
        counts["hops"] += self._thread_sensitive
        return to_thread(self, *arguments, **keywords)

    def counted_to_loop(self, *arguments, **keywords):
        counts["hops"] += 1
        return to_loop(self, *arguments, **keywords)

    SyncToAsync.__call__, AsyncToSync.__call__ = counted_to_thread, counted_to_loop


count_hops()


OURS = tuple(os.path.dirname(module.__file__) for module in (django, onehop))


def is_ours(task):
    """Tell whether a task is Django's or Onehop's own: not the server's, nor that of this request."""
    code = getattr(task.get_coro(), "cr_code", None)
    return task is not asyncio.current_task() and code is not None and code.co_filename.startswith(OURS)


async def state(request):
    """Say what there is in this process, after a collection: lost tasks and futures complain in the log then."""
    gc.collect()
    tasks = sum(map(is_ours, asyncio.all_tasks()))
    return JsonResponse({**counts, "threads": threading.active_count(), "tasks": tasks})


def answer(request, kind):
    """Repeat what was asked, with headers and cookies as a view sets them."""
    kept = ("host", "x-sent", "cookie", "content-type", "content-length")
    headers = [f"{name.lower()}={value}" for name, value in sorted(request.headers.items()) if name.lower() in kept]
    body = sha256(request.read()).hexdigest()
    text = f"{request.method} {request.get_full_path()} {headers} {body} {len(get_token(request))}"
    response = HttpResponse(text, status=201, headers={"X-Answer": kind, "Vary": "Accept"})
    response.set_cookie("first", f"{kind} 1", samesite="Lax")
    response.set_cookie("second", "2", httponly=True)
    return response


@csrf_exempt
def sync_view(request):
    return answer(request, "sync")


@csrf_exempt
async def async_view(request):
    await asyncio.sleep(0)
    return answer(request, "async")


def protected(request):
    return HttpResponse("passed")


def which_thread(request):
    return HttpResponse(threading.get_ident())


async def on_loop(request):
    return HttpResponse("on the loop")


def redirect(request):
    return HttpResponseRedirect("/async/")


def not_modified(request):
    return HttpResponse(status=304)


def fails(request):
    raise ValueError("of the view")


async def fails_async(request):
    raise ValueError("of the view")


async def stream(request):
    async def chunks():
        for number in range(3):
            yield f"{number}\n"
            await asyncio.sleep(0)

    return StreamingHttpResponse(chunks())


async def endless(request):
    async def chunks():
        note("stream entered")
        try:
            while True:
                yield b"x" * 10_000
                await asyncio.sleep(0.01)
        finally:
            note("stream left")

    return StreamingHttpResponse(chunks())


class Late(HttpResponse):
    """A response that notes each time it is sent and each time it is closed."""

    def items(self):
        note("response sent")
        return super().items()

    def close(self):
        note("response closed")
        super().close()


def is_waiting():
    """Tell whether the test has not yet opened its gate, a file."""
    return not os.path.exists(os.environ["GATE"])


def slow_sync(request):
    """Wait for the gate, and note the thread at both ends."""
    note(f"view entered on {threading.get_ident()}")
    deadline = time.monotonic() + LIMIT_S
    while is_waiting() and time.monotonic() < deadline:
        time.sleep(0.01)
    note(f"view ended on {threading.get_ident()}")
    return Late("late")


async def slow_async(request):
    """Wait for the gate, or to be cancelled."""
    note("view entered")
    deadline = time.monotonic() + LIMIT_S
    try:
        while is_waiting() and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
    except asyncio.CancelledError:
        note("view cancelled")
        raise
    note("view ended")
    return Late("late")


urlpatterns = [
    path("state/", state),
    path("sync/", sync_view),
    path("async/", async_view),
    path("protected/", protected),
    path("which-thread/", which_thread),
    path("on-loop/", on_loop),
    path("redirect/", redirect),
    path("304/", not_modified),
    path("fails/", fails),
    path("fails-async/", fails_async),
    path("stream/", stream),
    path("endless/", endless),
    path("slow-sync/", slow_sync),
    path("slow-async/", slow_async),
]
