"""A small site with one view for each thing that a client must get right."""

import asyncio
import threading

from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.http import FileResponse, Http404, HttpResponse, HttpResponseRedirect, JsonResponse, StreamingHttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import redirect, render
from django.template.response import TemplateResponse
from django.urls import path

from tests.project.recorder import record


def echo(request):
    files = {name: [file.name, file.content_type, file.read().decode()] for name, file in request.FILES.items()}
    ours = ("HTTP_X", "REMOTE_ADDR", "SERVER_NAME", "SERVER_PORT", "SCRIPT_NAME", "PATH_INFO", "CONTENT")
    return JsonResponse(
        {
            "method": request.method,
            "path": request.path,
            "uri": request.build_absolute_uri(request.path),
            "secure": request.is_secure(),
            "get": dict(request.GET.lists()),
            "post": dict(request.POST.lists()),
            "files": files,
            "cookies": request.COOKIES,
            "meta": {key: value for key, value in request.META.items() if key.startswith(ours)},
            "headers": {name: value for name, value in request.headers.items() if name not in ("Host", "Cookie")},
        },
        json_dumps_params={"sort_keys": True},
    )


async def aecho(request):
    return echo(request)


def raw(request):
    return HttpResponse(request.body, content_type="application/octet-stream")


async def hello(request):
    return HttpResponse("hello")


def sync_hello(request):
    return HttpResponse("hello")


def page(request):
    return render(request, "hello.html", {"name": "wörld"})


def template_response(request):
    return TemplateResponse(request, "hello.html", {"name": "later"})


def cookies(request):
    response = HttpResponse("cookies")
    response.set_cookie("plain", "1")
    response.set_cookie("quoted", 'a "b"; c', max_age=60, path="/x", secure=True, httponly=True, samesite="Lax")
    response.delete_cookie("gone")
    return response


def counter(request):
    request.session["count"] = request.session.get("count", 0) + 1
    return HttpResponse(str(request.session["count"]))


def whoami(request):
    return HttpResponse(request.user.get_username() or "nobody")


async def awhoami(request):
    user = await request.auser()
    return HttpResponse(user.get_username() or "nobody")


def chain(request, length):
    return redirect(f"/chain/{length - 1}/" if length else "/hello/")


def loop(request):
    return redirect("/loop/")


class KeptMethod(HttpResponseRedirect):
    status_code = 307


def kept(request):
    return KeptMethod("/echo/?kept=1")


def elsewhere(request):
    return redirect("https://other.example/echo/?a=1")


def empty(request):
    return HttpResponse(status=204)


def big(request):
    return HttpResponse(b"x" * 200_000)


def not_found(request):
    raise Http404


def forbidden(request):
    raise PermissionDenied


def broken(request):
    raise ValueError("broken")


async def abroken(request):
    raise ValueError("broken")


def sync_stream(request):
    return StreamingHttpResponse(iter([b"one ", "zwölf ", b"three"]), content_type="text/plain")


def no_items(request):
    return StreamingHttpResponse(iter(()))


async def async_stream(request):
    async def items():
        for item in ("one ", "zwölf ", "three"):
            yield item

    return StreamingHttpResponse(items(), content_type="text/plain")


def file(request):
    return FileResponse(open(__file__, "rb"), filename="site.py")


def token(request):
    return HttpResponse(get_token(request))


def groups(request):
    return JsonResponse(list(Group.objects.values_list("name", flat=True)), safe=False)


async def agroups(request):
    return JsonResponse([group.name async for group in Group.objects.all()], safe=False)


async def make_group(request):
    await Group.objects.acreate(name="made by the view")
    return HttpResponse(status=201)


def thread_and_transaction(request):
    return JsonResponse([threading.get_ident(), connection.in_atomic_block], safe=False)


async def events(request):
    """Send an event for each thing that the tests record, for ever."""

    async def items():
        number = 0
        try:
            while True:
                number += 1
                yield f"data: {number}\n\n"
                await asyncio.sleep(0.001)
        except (asyncio.CancelledError, GeneratorExit) as error:
            record.append(type(error).__name__)
            raise

    return StreamingHttpResponse(items(), content_type="text/event-stream")


async def quick_events(request):
    """Never wait for anything."""

    async def items():
        while True:
            yield b"x"

    return StreamingHttpResponse(items())


def sync_events(request):
    def items():
        names = iter(["first", "second"])
        try:
            for name in names:
                yield f"{name} {Group.objects.count()}"
        finally:
            record.append("closed")

    return StreamingHttpResponse(items())


async def fails_later(request):
    async def items():
        yield b"one"
        raise ValueError("too late")

    return StreamingHttpResponse(items())


async def sleepy(request):
    try:
        await asyncio.sleep(20)
    except asyncio.CancelledError:
        record.append("cancelled")
        raise


urlpatterns = [
    path("echo/", echo),
    path("aecho/", aecho),
    path("écho/<name>/", lambda request, name: HttpResponse(f"{request.path} {name}")),
    path("raw/", raw),
    path("hello/", hello, name="hello"),
    path("sync-hello/", sync_hello),
    path("page/", page),
    path("template-response/", template_response),
    path("cookies/", cookies),
    path("counter/", counter),
    path("whoami/", whoami),
    path("awhoami/", awhoami),
    path("chain/<int:length>/", chain),
    path("loop/", loop),
    path("kept/", kept),
    path("elsewhere/", elsewhere),
    path("empty/", empty),
    path("big/", big),
    path("not-found/", not_found),
    path("forbidden/", forbidden),
    path("broken/", broken),
    path("abroken/", abroken),
    path("sync-stream/", sync_stream),
    path("no-items/", no_items),
    path("async-stream/", async_stream),
    path("file/", file),
    path("token/", token),
    path("groups/", groups),
    path("agroups/", agroups),
    path("make-group/", make_group),
    path("thread/", thread_and_transaction),
    path("events/", events),
    path("quick-events/", quick_events),
    path("sync-events/", sync_events),
    path("fails-later/", fails_later),
    path("sleepy/", sleepy),
]
