"""The served site. What happens in it is written to the file EVENTS, one line for each event."""

import asyncio
import os
import time

from django.http import HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.urls import path


def note(event):
    """Append an event; one short write is whole, whoever else writes."""
    with open(os.environ["EVENTS"], "a", encoding="utf-8") as file:
        file.write(f"{event}\n")


def body_of(request):
    kept = ("host", "x-sent", "content-type", "content-length")
    headers = [f"{name.lower()}={value}" for name, value in sorted(request.headers.items()) if name.lower() in kept]
    return f"{request.method} {request.get_full_path()} {headers} {len(request.body)}"


def sync_view(request):
    return HttpResponse(body_of(request), headers={"X-Answer": "sync"})


async def async_view(request):
    await asyncio.sleep(0)
    return HttpResponse(body_of(request), headers={"X-Answer": "async"})


def redirect(request):
    return HttpResponseRedirect("/async/")


def not_modified(request):
    return HttpResponse(status=304)


def fails(request):
    raise ValueError("of the view")


async def stream(request):
    async def chunks():
        for number in range(3):
            yield f"{number}\n"
            await asyncio.sleep(0)

    return StreamingHttpResponse(chunks())


async def endless(request):
    async def chunks():
        note("endless entered")
        try:
            while True:
                yield b"x" * 10_000
                await asyncio.sleep(0.01)
        finally:
            note("endless closed")

    return StreamingHttpResponse(chunks())


def slow_sync(request):
    """Wait until the test has made the file GATE."""
    note("sync entered")
    deadline = time.monotonic() + 20
    while not os.path.exists(os.environ["GATE"]) and time.monotonic() < deadline:
        time.sleep(0.01)
    note("sync ended")
    return HttpResponse("late")


async def slow_async(request):
    """Wait until the request is cancelled."""
    note("async entered")
    try:
        await asyncio.sleep(20)
    except asyncio.CancelledError:
        note("async cancelled")
        raise
    return HttpResponse("late")


urlpatterns = [
    path("sync/", sync_view),
    path("async/", async_view),
    path("redirect/", redirect),
    path("304/", not_modified),
    path("fails/", fails),
    path("stream/", stream),
    path("endless/", endless),
    path("slow-sync/", slow_sync),
    path("slow-async/", slow_async),
]
