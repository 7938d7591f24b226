"""The views of the demo: those of ticket #37177, an aggregation, and pages to compare answers on."""

import asyncio

import httpx
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import get_token

PARTS = range(10)
# The clients below call this server on the loopback address: without a proxy (trust_env=False), and without
# loading certificates for each request (verify=False), which would take longer than all the rest.
PATIENCE_S = 15


def sync_view(request: HttpRequest) -> HttpResponse:
    return HttpResponse("hello")


async def async_view(request: HttpRequest) -> HttpResponse:
    return HttpResponse("hello")


async def async_io_view(request: HttpRequest) -> HttpResponse:
    await asyncio.sleep(0.005)
    return HttpResponse("hello")


async def slow_view(request: HttpRequest) -> HttpResponse:
    await asyncio.sleep(1)
    return HttpResponse("hello, a second later")


async def part_view(request: HttpRequest, number: int) -> HttpResponse:
    await asyncio.sleep(0.005)
    return JsonResponse({"part": number})


async def aggregate_view(request: HttpRequest) -> HttpResponse:
    """Call this server ten times at once."""
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=PATIENCE_S) as client:
        urls = [request.build_absolute_uri(f"/part/{number}/") for number in PARTS]
        answers = await asyncio.gather(*(client.get(url) for url in urls))
    return JsonResponse({"parts": [answer.json()["part"] for answer in answers]})


def aggregate_sync_view(request: HttpRequest) -> HttpResponse:
    """Call this server ten times, one call after the other."""
    with httpx.Client(trust_env=False, verify=False, timeout=PATIENCE_S) as client:
        urls = [request.build_absolute_uri(f"/part/{number}/") for number in PARTS]
        answers = [client.get(url) for url in urls]
    return JsonResponse({"parts": [answer.json()["part"] for answer in answers]})


def cookies_view(request: HttpRequest) -> HttpResponse:
    """Set a cookie, a CSRF cookie and a session."""
    get_token(request)
    request.session["visits"] = 1
    response = HttpResponse("three cookies")
    response.set_cookie("flavour", "plain", max_age=60, samesite="Lax")
    return response


async def long_view(request: HttpRequest) -> HttpResponse:
    return HttpResponse("long enough to be compressed " * 200)


async def error_view(request: HttpRequest) -> HttpResponse:
    raise ValueError("This view always fails.")
