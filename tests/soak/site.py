"""
The served site: every way a view can answer, each with the id of its request in all that it answers.

``/path/?id=ID``; ``sign`` puts the id into a header, too. What a request sends and awaits is said in ``load``.
"""

import asyncio
import os
import time
from hashlib import sha256

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.http import (
    FileResponse,
    HttpResponse,
    HttpResponseNotFound,
    HttpResponseRedirect,
    HttpResponseServerError,
    StreamingHttpResponse,
)
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from onehop import runs_anywhere
from tests.soak.ledger import count
from tests.soak.planned import Planned
from tests.soak.plants import PLANTS

PAUSE_S = 0.004
ROWS, ROW_BYTES = 20, 2000
FILE = os.path.join(settings.FOLDER, "file.bin")

planted = [PLANTS[name] for name in os.environ["SOAK_PLANTS"].split(",") if name]


def identity(request):
    return request.GET["id"]


@runs_anywhere
def sign(get_response):
    """Put the request's id into the answer: a wrapper, which Onehop calls in a greenlet."""

    def middleware(request):
        response = get_response(request)
        response["X-Id"] = identity(request)
        return response

    return middleware


def text(request):
    return f"answer {identity(request)}\n" * 50


def sync_view(request):
    time.sleep(PAUSE_S)
    return HttpResponse(text(request))


async def async_view(request):
    for plant in planted:
        plant(request)
    await asyncio.sleep(PAUSE_S)
    return HttpResponse(text(request))


def row_of(request):
    size = int(request.GET.get("size", ROW_BYTES))
    return f"row {identity(request)} ".encode().ljust(size, b".")


def sync_rows(request):
    row = row_of(request)

    def rows():
        count("streams entered")
        try:
            for _ in range(ROWS):
                yield row
                time.sleep(0.0005)
        finally:
            count("streams left")

    return StreamingHttpResponse(rows())


async def async_rows(request):
    row = row_of(request)

    async def rows():
        count("streams entered")
        try:
            for _ in range(ROWS):
                yield row
                await asyncio.sleep(0.0005)
        finally:
            count("streams left")

    return StreamingHttpResponse(rows())


def sync_file(request):
    return FileResponse(open(FILE, "rb"))


async def async_file(request):
    return FileResponse(open(FILE, "rb"))


@csrf_exempt
def upload(request):
    return HttpResponse(sha256(request.read()).hexdigest())


@csrf_exempt
async def async_upload(request):
    return HttpResponse(sha256(request.read()).hexdigest())


@csrf_exempt
def form(request):
    """Return what the form said, and the hash of its file, which is small or a file on disk."""
    file = request.FILES["file"]
    return HttpResponse(f"{request.POST['field']} {sha256(file.read()).hexdigest()}")


def account(request):
    """Keep the client's name in a session, write a row and read it again; return both."""
    owner = request.session.setdefault("owner", request.GET["client"])
    request.session["last"] = identity(request)
    with transaction.atomic():
        User.objects.update_or_create(username=owner, defaults={"last_name": identity(request)})
        written = User.objects.get(username=owner).last_name
    return HttpResponse(f"{owner} {written}")


async def async_account(request):
    """Return the client's name from the session, and from its row."""
    owner = await request.session.aget("owner")
    user = await User.objects.aget(username=owner)
    return HttpResponse(f"{owner} {user.username}")


def redirect(request):
    return HttpResponseRedirect(f"/sync/?id={identity(request)}")


def sync_raises(request):
    raise Planned(identity(request))


async def async_raises(request):
    raise Planned(identity(request))


def not_found(request, exception):
    return HttpResponseNotFound(text(request))


def server_error(request):
    return HttpResponseServerError(text(request))


handler404, handler500 = not_found, server_error
urlpatterns = [
    path("sync/", sync_view),
    path("async/", async_view),
    path("sync-rows/", sync_rows),
    path("async-rows/", async_rows),
    path("sync-file/", sync_file),
    path("async-file/", async_file),
    path("upload/", upload),
    path("async-upload/", async_upload),
    path("form/", form),
    path("account/", account),
    path("async-account/", async_account),
    path("redirect/", redirect),
    path("sync-raises/", sync_raises),
    path("async-raises/", async_raises),
]
