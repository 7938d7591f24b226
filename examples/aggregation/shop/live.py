"""The live page, its stream of events, and the same figures once."""

import asyncio
import json
import time

import django
from django.http import JsonResponse, StreamingHttpResponse
from django.shortcuts import render

from onehop.handler import OnehopASGIHandler
from shop.figures import figures

EVERY_S = 0.5


def page(request):
    """Show the page."""
    from aggregation.asgi import application

    runs_on = "Onehop" if isinstance(application, OnehopASGIHandler) else "stock Django"
    return render(request, "shop/live.html", {"runs_on": runs_on, "django": django.get_version()})


async def now(request):
    """Answer the figures once, as JSON."""
    return JsonResponse(figures.read())


async def events(request):
    """Send the figures as server-sent events, two a second, until the browser or the server goes."""
    return StreamingHttpResponse(stream(), content_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def stream():
    """Yield one event each half second; the first at once."""
    figures.viewers += 1
    try:
        before, read_at = figures.read(), time.perf_counter()
        rate = 0.0
        while not figures.closing:
            yield f"data: {json.dumps({**before, 'requests_per_s': round(rate, 1)})}\n\n"
            await asyncio.sleep(EVERY_S)
            after, now_at = figures.read(), time.perf_counter()
            rate = (after["answered"] - before["answered"]) / (now_at - read_at)
            before, read_at = after, now_at
    finally:
        figures.viewers -= 1
