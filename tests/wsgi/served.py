"""What a WSGI server is told to serve. With ``BEFORE_FORK=1`` the application serves a request when it is loaded."""

import asyncio
import os
import threading

from django.http import JsonResponse, StreamingHttpResponse
from django.urls import path

from onehop.wsgi import get_wsgi_application
from tests.wsgi import drive, views

LEFT_OUT = (views.exiting, views.exiting_stream, views.cancelled, views.cancels_itself)


class WhichThread:
    """The outermost middleware notes the request's thread."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        request.META["tests.thread"] = threading.get_ident()
        return self.get_response(request)


def note(event):
    with open(os.environ["EVENTS"], "a", encoding="utf-8") as file:
        file.write(f"{event}\n")


async def state(request):
    """Say which process and loop this is, and which threads there are."""
    names = sorted(thread.name for thread in threading.enumerate())
    return JsonResponse({"pid": os.getpid(), "loop": id(asyncio.get_running_loop()), "threads": names})


async def endless(request):
    async def parts():
        try:
            while True:
                note("part")
                yield "x" * 4096
                await asyncio.sleep(0.001)
        finally:
            await asyncio.sleep(0)
            note("closed")

    response = StreamingHttpResponse(parts())
    response._resource_closers.append(lambda: note("closer"))
    return response


async def slow(request):
    note("entered")
    await asyncio.sleep(0.3)
    note("ended")
    return JsonResponse({})


urlpatterns = [
    *(path(f"{view.__name__}/", view) for view in views.VIEWS if view not in LEFT_OUT),
    path("state/", state),
    path("endless/", endless),
    path("slow/", slow),
]
application = get_wsgi_application()
note(f"serving {type(application).__module__}")
if os.environ["BEFORE_FORK"]:
    note(drive.get(application, "/async_view/", HTTP_HOST="localhost").status)
