"""The views of a case."""

import asyncio
import io
from functools import partial

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.contrib.auth import aget_user, alogin, alogout, get_user_model, login, logout
from django.contrib.auth.decorators import login_required
from django.http import (
    FileResponse,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
    JsonResponse,
    StreamingHttpResponse,
)
from django.template.response import TemplateResponse
from django.views import View as ClassView
from django.views.decorators.cache import cache_page, never_cache
from django.views.decorators.csrf import csrf_exempt, csrf_protect, ensure_csrf_cookie
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import etag, require_POST
from django.views.decorators.vary import vary_on_cookie

from tests.parity.recorder import note, variable
from tests.parity.stacks import RAISES, Boom, Falsy, never_awaited
from tests.parity.touches import aenter, enter

BACKEND = "django.contrib.auth.backends.ModelBackend"
ITEMS = (b"one", "two", b"", 3, b"x" * 70_000, b"end")
RAISES_AT = 2


class Waiting:
    """Where a view says that it waits for the client to go."""

    def __init__(self):
        self.reached = asyncio.Event()


waiting: list[Waiting] = []


def items(who, fails, made=ITEMS):
    """Return the items of a stream, noting where each is made and that the end is reached."""
    try:
        for number, item in enumerate(made):
            if fails and number == RAISES_AT:
                raise Boom("stream")
            note(who, "item", number)
            variable.set(f"{who} item {number}")
            yield item
    finally:
        note(who, "stream ends")


async def aitems(who, fails):
    for item in items(who, fails):
        await asyncio.sleep(0)
        yield item


class Noted(io.BytesIO):
    """A file that notes its closing, but for that by the collector, which comes at any time or never."""

    def close(self):
        if not self.closed:
            note("file", "close")
        super().close()

    def __del__(self):
        super().close()


class Rendered(TemplateResponse):
    """A template response with a callback, as ``cache_page`` uses."""

    def __init__(self, who, request, *arguments, **keywords):
        super().__init__(request, *arguments, **keywords)
        self.add_post_render_callback(lambda response: note(who, "rendered", response.status_code))


def big(who, request):
    return HttpResponse(b"0123456789" * 20_000)


def cookies(who, request):
    response = HttpResponse(repr(sorted(request.COOKIES.items())))
    response.set_cookie("seen", "1" + request.COOKIES.get("seen", ""), max_age=100)
    response.set_signed_cookie("signed", who, salt="s")
    response.delete_cookie("gone")
    return response


def headers(who, request):
    response = HttpResponse(request.method, status=201, reason="Fine")
    response["x-Odd"] = "ü"
    response.headers["Vary"] = "Accept"
    return response


def body(who, request):
    told = [request.method, request.content_type, request.body.decode("latin1")]
    return JsonResponse({"body": told, "post": sorted(request.POST.lists())})


def form(who, request):
    files = [(name, file.name, file.size) for name, file in sorted(request.FILES.items())]
    return JsonResponse({"post": sorted(request.POST.lists()), "files": files})


def raw(who, request):
    return HttpResponse(request.read(7) + b"|" + request.read())


def get(who, request):
    told = {"get": sorted(request.GET.lists()), "path": request.get_full_path(), "secure": request.is_secure()}
    return JsonResponse({**told, "host": request.get_host(), "build": request.build_absolute_uri()})


def closers(who, request):
    response = HttpResponse("closers")
    response._resource_closers.append(lambda: note(who, "closer 1"))
    response._resource_closers.append(partial(_fail_to_close, who))
    response._resource_closers.append(lambda: note(who, "closer 3"))
    return response


def _fail_to_close(who):
    note(who, "closer 2")
    raise Boom("closer")


def template(who, request):
    return Rendered(who, request, "hello.html", {"name": who})


def page(who, request):
    """Render what the context processors give: messages, user and token."""
    return Rendered(who, request, "page.html")


def bad_template(who, request):
    return Rendered(who, request, "missing.html")


def raising_template(who, request):
    return TemplateResponse(request, "raises.html", {"fail": _fail})


def _fail():
    raise Boom("in a template")


def log_in(who, request):
    if not hasattr(request, "session"):
        return HttpResponse("no session", status=409)
    login(request, get_user_model().objects.get(username="ann"), backend=BACKEND)
    return HttpResponse(str(getattr(request, "user", None)))


def log_out(who, request):
    if not hasattr(request, "session"):
        return HttpResponse("no session", status=409)
    logout(request)
    return HttpResponse(str(getattr(request, "user", None)))


async def alog_in(who, request):
    if not hasattr(request, "session"):
        return HttpResponse("no session", status=409)
    await alogin(request, await get_user_model().objects.aget(username="ann"), backend=BACKEND)
    return HttpResponse(str(await aget_user(request)))


async def alog_out(who, request):
    if not hasattr(request, "session"):
        return HttpResponse("no session", status=409)
    await alogout(request)
    return HttpResponse("out")


def blocks_on_loop(who, request):
    """Use the ORM where that is not allowed, if the view is async."""
    return HttpResponse(str(get_user_model().objects.count()))


ANSWERS = {
    "ok": lambda who, request: HttpResponse("ok"),
    "none": lambda who, request: None,
    "text": lambda who, request: "text",
    "coroutine": lambda who, request: never_awaited(),
    "falsy": lambda who, request: Falsy("falsy"),
    "big": big,
    "html": lambda who, request: HttpResponse("<p>" + "hello " * 100),
    "empty": lambda who, request: HttpResponse(status=204),
    "error": lambda who, request: HttpResponse("teapot", status=418),
    "not found": lambda who, request: HttpResponse("mine", status=404),
    "server error": lambda who, request: HttpResponse("mine", status=500),
    "redirect": lambda who, request: HttpResponseRedirect("/v0/"),
    "not allowed": lambda who, request: HttpResponseNotAllowed(["PUT"]),
    "cookies": cookies,
    "headers": headers,
    "body": body,
    "form": form,
    "raw": raw,
    "get": get,
    "closers": closers,
    "template": template,
    "page": page,
    "bad template": bad_template,
    "raising template": raising_template,
    "stream": lambda who, request: StreamingHttpResponse(items(who, False)),
    "big stream": lambda who, request: StreamingHttpResponse(items(who, False, [b"x" * 70_000] * 5)),
    "list stream": lambda who, request: StreamingHttpResponse(["a", b"b"]),
    "failing stream": lambda who, request: StreamingHttpResponse(items(who, True)),
    "async stream": lambda who, request: StreamingHttpResponse(aitems(who, False)),
    "failing async stream": lambda who, request: StreamingHttpResponse(aitems(who, True)),
    "file": lambda who, request: FileResponse(Noted(b"file" * 40_000), filename="a.bin"),
    "log in": log_in,
    "log out": log_out,
    "blocks on loop": blocks_on_loop,
}
ASYNC_ANSWERS = {"log in": alog_in, "log out": alog_out}
DOES = (*ANSWERS, *RAISES, "waits")
DECORATORS = {
    "csrf_exempt": csrf_exempt,
    "csrf_protect": csrf_protect,
    "ensure_csrf_cookie": ensure_csrf_cookie,
    "never_cache": never_cache,
    "cache_page": cache_page(60),
    "login_required": login_required,
    "require_POST": require_POST,
    "vary_on_cookie": vary_on_cookie,
    "gzip_page": gzip_page,
    "etag": etag(lambda request, **keywords: '"tag"'),
}
SYNC_DECORATORS = ("csrf_protect", "cache_page", "gzip_page", "ensure_csrf_cookie")
"""What cannot decorate a coroutine function."""


def answer(does, who, request):
    if does in RAISES:
        raise RAISES[does](who)
    return ANSWERS[does](who, request)


async def aanswer(does, who, request):
    if does == "waits":
        waiting[-1].reached.set()
        try:
            await asyncio.sleep(3600)
        finally:
            note(who, "no longer waits")
    if does in ASYNC_ANSWERS:
        return await ASYNC_ANSWERS[does](who, request)
    if does in ("body", "form", "raw"):
        return await sync_to_async(answer)(does, who, request)
    return answer(does, who, request)


def make(view, who):
    """Make the callable of a view."""

    def sync_view(request, *arguments, **keywords):
        note(who, "view", arguments, sorted(keywords.items()))
        enter(view.touches, who, request)
        return answer(view.does, who, request)

    async def async_view(request, *arguments, **keywords):
        note(who, "view", arguments, sorted(keywords.items()))
        await aenter(view.touches, who, request)
        return await aanswer(view.does, who, request)

    call = async_view if view.mode == "async" else sync_view
    if view.form == "class":
        call = _class_of(call).as_view()
    elif view.form == "callable":
        call = _callable_of(call, view.mode)
    for name in view.decorators:
        if view.mode == "sync" or name not in SYNC_DECORATORS:
            call = DECORATORS[name](call)
    return call


def _class_of(function):
    if iscoroutinefunction(function):

        async def method(self, request, *arguments, **keywords):
            return await function(request, *arguments, **keywords)
    else:

        def method(self, request, *arguments, **keywords):
            return function(request, *arguments, **keywords)

    return type("Made", (ClassView,), {"get": method, "post": method, "put": method})


def _callable_of(function, mode):
    class Made:
        def __call__(self, request, *arguments, **keywords):
            return function(request, *arguments, **keywords)

    made = Made()
    return markcoroutinefunction(made) if mode == "async" else made
