"""A site whose views ask an upstream through one client. What happens is written to the file EVENTS."""

import os
import sys
from contextlib import asynccontextmanager

import httpx
from asgiref.sync import async_to_sync, sync_to_async
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

from onehop import lifespan_state


def note(event):
    """Append an event; one short write is whole, whoever else writes."""
    if "EVENTS" in os.environ:
        with open(os.environ["EVENTS"], "a", encoding="utf-8") as file:
            file.write(f"{event}\n")


@asynccontextmanager
async def lifespan():
    """
    Open a client; ask the upstream and hop to a thread at both ends, so that all has to work at both.

    Python 3.12 starts no thread at its exit, so the thread has to be there by then.
    """
    async with httpx.AsyncClient(base_url=os.environ.get("UPSTREAM", ""), trust_env=False) as client:
        if "UPSTREAM" in os.environ:
            await client.get("/entered")
        await sync_to_async(note)("entered")
        try:
            yield {"client": client}
        finally:
            if "UPSTREAM" in os.environ:
                await client.get("/left")
            await sync_to_async(note)("left")


@asynccontextmanager
async def broken():
    raise LookupError("no database")
    yield


@asynccontextmanager
async def exits():
    sys.exit("no license")
    yield


def told(request, client, answer):
    note("request")
    lifespan_state(request)["of this request"] = True
    shared = [name for name in lifespan_state(request) if name != "client"]
    return JsonResponse({"client": id(client), "connection": answer.text, "state": shared})


async def asks_async(request):
    client = lifespan_state(request)["client"]
    return told(request, client, await client.get("/async"))


def asks_sync(request):
    client = lifespan_state(request)["client"]
    return told(request, client, async_to_sync(client.get)("/sync"))


def plain(request):
    note("request")
    return HttpResponse(f"{request.method} {request.path} {request.GET.dict()} {request.POST.dict()}")


async def stream(request):
    async def parts():
        for number in range(3):
            yield f"{number}\n"

    return StreamingHttpResponse(parts())


urlpatterns = [
    path("async/", asks_async),
    path("sync/", asks_sync),
    path("plain/", plain),
    path("stream/", stream),
]
