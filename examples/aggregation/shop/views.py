"""The same aggregation on the event loop, one call after the other, on a pool of threads, and of this server itself."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from django.http import JsonResponse
from django.urls import reverse

from onehop import lifespan_state
from onehop.errors import OnehopError
from shop.services import SERVICES, ask, ask_async, get, new_client


async def async_view(request):
    """Ask all services at once, without a thread."""
    started = time.perf_counter()
    async with client_for(request) as client:
        answers = await asyncio.gather(*(ask_async(client, service) for service in SERVICES))
    return answered(answers, started)


def sync_view(request):
    """Ask one service after the other."""
    started = time.perf_counter()
    return answered([ask(service) for service in SERVICES], started)


def pool_view(request):
    """Ask all services at once, with a thread for each."""
    started = time.perf_counter()
    with ThreadPoolExecutor(len(SERVICES)) as pool:
        return answered(list(pool.map(ask, SERVICES)), started)


def itself_view(request):
    """Ask this very server from a sync view. Where all sync views share a thread, this waits for itself forever."""
    return JsonResponse(get(request.build_absolute_uri(reverse("sync"))))


def answered(answers, started):
    """Return the answers by service, and the time they took."""
    took_ms = round((time.perf_counter() - started) * 1000)
    # The live page asks under several names of this machine: see its script.
    headers = {"Access-Control-Allow-Origin": "*"}
    return JsonResponse({"answers": dict(zip(SERVICES, answers, strict=True)), "took_ms": took_ms}, headers=headers)


@asynccontextmanager
async def client_for(request):
    """Lend the one client of the lifespan; where nothing has a lifespan (stock Django), one for this request."""
    try:
        client = lifespan_state(request)["client"]
    except (OnehopError, KeyError):
        async with new_client() as client:
            yield client
    else:
        yield client
