"""A site whose views write a row, or a key, named by the request, and answer with what they read back."""

import os
import threading

from asgiref.sync import sync_to_async
from django.core.cache import cache
from django.db import connection, transaction
from django.http import HttpResponse, JsonResponse
from django.urls import path

from tests.databases.models import Row

with open(os.environ["EVENTS"], "a") as events:
    events.write(f"{os.getpid()}\n")


class Classic:
    """Undeclared middleware that reads: the thread's connection is open around the view."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        if request.path.startswith("/row"):
            Row.objects.filter(name="").exists()
        return self.get_response(request)


def row(request, name):
    """Write a row; return its name, and whose name the connection has kept. With ``?marks`` it is given this one."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('onehop.canary', true)")
        before = cursor.fetchone()[0] or ""
        if "marks" in request.GET:
            cursor.execute("SELECT set_config('onehop.canary', %s, false)", [name])
    written = Row.objects.create(name=name)
    return HttpResponse(f"{Row.objects.get(pk=written.pk).name} {before}".strip())


async def row_async(request, name):
    written = await Row.objects.acreate(name=name)
    return HttpResponse((await Row.objects.aget(pk=written.pk)).name)


def row_atomic(request, name):
    """Write two rows or none."""
    with transaction.atomic():
        Row.objects.create(name=name)
        Row.objects.create(name=f"{name} too")
    return HttpResponse(name)


def key(request, name):
    cache.set(name, name)
    return HttpResponse(cache.get(name))


async def key_async(request, name):
    await cache.aset(name, name)
    return HttpResponse(await cache.aget(name))


async def state(request):
    """Return how many threads there are that may have a connection: all but the loop's."""
    return JsonResponse({"threads": threading.active_count() - 1})


async def leave_open(request, name):
    """Leave a transaction open on the request's thread."""
    await sync_to_async(lambda: (transaction.set_autocommit(False), Row.objects.create(name=name)))()
    return HttpResponse(name)


urlpatterns = [
    path("state/", state),
    path("row/<name>/", row),
    path("row-async/<name>/", row_async),
    path("row-atomic/<name>/", row_atomic),
    path("key/<name>/", key),
    path("key-async/<name>/", key_async),
    path("leave-open/<name>/", leave_open),
]
