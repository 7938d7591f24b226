"""Views that fail in different ways, and one that says what the module on disk says."""

import importlib
from contextlib import asynccontextmanager

from asgiref.sync import async_to_sync, sync_to_async
from django.http import HttpResponse
from django.template import engines
from django.template.response import TemplateResponse
from django.urls import path

from tests.lifespan.site import note


@asynccontextmanager
async def lifespan():
    await sync_to_async(note)("entered")
    yield
    await sync_to_async(note)("left")


def fails(request):
    raise ValueError("of the view")


async def fails_async(request):
    raise ValueError("of the view")


async def fails_below(request):
    await sync_to_async(fails)(request)


def fails_above(request):
    async_to_sync(fails_async)(request)


def fails_with_cause(request):
    try:
        fails(request)
    except ValueError as error:
        raise LookupError("because") from error


def works(request):
    return TemplateResponse(request, engines["django"].from_string("works"))


async def works_async(request):
    return TemplateResponse(request, engines["django"].from_string("works"))


def broken_template(request):
    return TemplateResponse(request, "missing.html")


async def returns_nothing(request):
    pass


async def returns_coroutine(request):
    return works_async(request)


def says(request):
    return HttpResponse(importlib.import_module("said").word)


urlpatterns = [
    path(f"{view.__name__}/", view)
    for view in (
        fails,
        fails_async,
        fails_below,
        fails_above,
        fails_with_cause,
        works,
        works_async,
        broken_template,
        returns_nothing,
        returns_coroutine,
        says,
    )
]
