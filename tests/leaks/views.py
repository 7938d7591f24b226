"""Views of every kind that visit their places."""

import asyncio
import threading

from asgiref.sync import async_to_sync, sync_to_async
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import path

from tests.leaks.models import Note
from tests.leaks.packages import PRESENT
from tests.leaks.places import avisit, visit
from tests.leaks.stores import user_name
from tests.leaks.tickets import ticket_of

LONGER_THAN_THE_CLIENT_S = 0.02
FOR_THE_OTHER_S = 5
"""How long a request waits for the one it is to meet, which a naive variant may have lost."""


class Deliberate(Exception):
    """What the raising views raise."""


def plain(request):
    visit(request, "view")
    return HttpResponse("ok")


async def plain_async(request):
    await avisit(request, "view")
    await avisit(request, "view, later")
    return HttpResponse("ok")


async def bridged(request):
    """Look from the request's thread in the middle of an async view."""
    await avisit(request, "view")
    await sync_to_async(visit)(request, "view, on the thread")
    await avisit(request, "view, later")
    return HttpResponse("ok")


def bridging(request):
    """Look from the loop in the middle of a sync view."""
    visit(request, "view")
    async_to_sync(avisit)(request, "view, on the loop")
    visit(request, "view, later")
    return HttpResponse("ok")


def stream(request):
    visit(request, "view")

    def lines():
        visit(request, "stream: first")
        yield b"first"
        visit(request, "stream: second")
        yield b"second"

    return StreamingHttpResponse(lines())


async def stream_async(request):
    await avisit(request, "view")

    async def lines():
        await avisit(request, "stream: first")
        yield b"first"
        await avisit(request, "stream: second")
        yield b"second"

    return StreamingHttpResponse(lines())


def template(request):
    visit(request, "view")
    return TemplateResponse(request, "hello.html", {"name": "canary"})


def raising(request):
    visit(request, "view")
    raise Deliberate


async def raising_async(request):
    await avisit(request, "view")
    raise Deliberate


async def missing(request):
    await avisit(request, "view")
    raise Http404


async def waiting(request):
    """Wait longer than the client does; not for ever, as stock Django would, behind a sync middleware."""
    await avisit(request, "view")
    await asyncio.sleep(LONGER_THAN_THE_CLIENT_S)
    return HttpResponse("ok")


both = threading.Barrier(2)


def meet(request):
    """Stand still until both requests that are to meet are here."""
    if ticket_of(request).meets:
        try:
            both.wait(FOR_THE_OTHER_S)
        except threading.BrokenBarrierError:
            both.reset()


def made_note(request):
    """Return a note with the names that the packages without a model field of their own give."""
    note = Note(canary=ticket_of(request).canary)
    if "django-crum" in PRESENT:
        import crum

        note.maker = user_name(crum.get_current_user()) or ""
    if "django-multitenant" in PRESENT:
        from django_multitenant.utils import get_current_tenant

        note.tenant = get_current_tenant() or ""
    return note


def write(request, canary):
    """Write a note, which every package writes down, and change it; two that meet are inside at the same time."""
    visit(request, "view")
    if "django-reversion" in PRESENT and ticket_of(request).shape.known:
        import reversion

        reversion.set_comment(ticket_of(request).canary)
    meet(request)
    note = made_note(request)
    note.save()
    visit(request, "view, written")
    meet(request)
    note.changed = True
    note.save()
    return HttpResponse("ok")


async def write_async(request, canary):
    """Write one from an async view: the rows are written on the request's thread."""
    await avisit(request, "view")
    note = await sync_to_async(made_note)(request)
    await note.asave()
    await avisit(request, "view, written")
    return HttpResponse("ok")


VIEWS = {
    "plain": plain,
    "plain_async": plain_async,
    "bridged": bridged,
    "bridging": bridging,
    "stream": stream,
    "stream_async": stream_async,
    "template": template,
    "raising": raising,
    "raising_async": raising_async,
    "missing": missing,
    "waiting": waiting,
}
WRITING_VIEWS = {"write": write, "write_async": write_async}
STATUS = {"raising": 500, "raising_async": 500, "missing": 404}
"""What the views answer that do not answer 200."""

urlpatterns = [
    *(path(f"{name}/", view) for name, view in VIEWS.items()),
    *(path(f"rows/{name}/<canary>/", view) for name, view in WRITING_VIEWS.items()),
]
