"""The views of the built-in project, and its URLs. Every answer is the same at each request."""

from __future__ import annotations

import asyncio

from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path

SLEEP_S = 0.005
ROWS = 10
TEMPLATE = "onehop_bench/page.html"


def sync_view(request: HttpRequest) -> HttpResponse:
    """Answer at once."""
    return HttpResponse("ok")


async def async_view(request: HttpRequest) -> HttpResponse:
    """Answer at once."""
    return HttpResponse("ok")


async def async_io_view(request: HttpRequest) -> HttpResponse:
    """Wait as for another service, then answer."""
    await asyncio.sleep(SLEEP_S)
    return HttpResponse("ok")


def page(request: HttpRequest) -> HttpResponse:
    """Load the user from the session, make three queries, render a template."""
    visitor = request.user
    content = {
        "visitor": visitor.get_username(),
        "models": ContentType.objects.count(),
        "permissions": list(Permission.objects.order_by("pk")[:ROWS]),
        "groups": list(visitor.groups.order_by("name")),
    }
    return render(request, TEMPLATE, content)


async def apage(request: HttpRequest) -> HttpResponse:
    """Do what ``page`` does through Django's async interfaces."""
    visitor = await request.auser()
    content = {
        "visitor": visitor.get_username(),
        "models": await ContentType.objects.acount(),
        "permissions": [permission async for permission in Permission.objects.order_by("pk")[:ROWS]],
        "groups": [group async for group in visitor.groups.order_by("name")],
    }
    return render(request, TEMPLATE, content)


urlpatterns = [
    path("sync/", sync_view),
    path("async/", async_view),
    path("async-io/", async_io_view),
    path("page/", page),
    path("apage/", apage),
]
