"""Bad input: scopes, messages, headers, bodies and WSGI environs that no good server or client sends; bad responses."""

import asyncio
import json
from dataclasses import dataclass

from django.http import FileResponse, HttpResponse, JsonResponse, StreamingHttpResponse
from django.template.response import SimpleTemplateResponse
from django.test import RequestFactory
from django.urls import re_path

from tests import asgi
from tests.faults import site
from tests.faults.faults import Meanwhile, leave
from tests.faults.scene import Scene, play
from tests.project.settings import DEFAULT_MIDDLEWARE

FORM = (b"content-type", b"application/x-www-form-urlencoded")
MULTIPART = (b"content-type", b"multipart/form-data; boundary=line")
MEBIBYTE = 2**20


@dataclass(frozen=True)
class BadInput:
    """The fault of a request whose input alone is bad, with the attributes of ``table.Fault``."""

    is_sudden: bool = False
    is_error: bool = False

    is_odd = sticks = False


@dataclass(frozen=True)
class Site:
    """One view at every path, behind the middleware of a new project; all receivers but Django's own are ours."""

    view: object
    middleware: tuple = tuple(DEFAULT_MIDDLEWARE)
    receivers: str = "sync"

    @property
    def settings(self):
        urls = site.Urls("Site", (), {"urlpatterns": [re_path("", self.view)]})
        return {"ROOT_URLCONF": urls, "MIDDLEWARE": list(self.middleware), "FILE_UPLOAD_MAX_MEMORY_SIZE": MEBIBYTE}


def read(request):
    """Read everything of a request that a view may read, in the order in which Django parses it."""
    return [
        request.method,
        request.scheme,
        request.path,
        request.path_info,
        request.get_host(),
        request.build_absolute_uri(),
        sorted((item for item in request.META.items() if item[0] != "CSRF_COOKIE"), key=repr),
        sorted(request.headers.items()),
        dict(request.GET.lists()),
        dict(request.COOKIES),
        dict(request.POST.lists()),
        [(name, file.name, file.size) for name, file in request.FILES.items()],
        request.session.session_key,
        request.content_type,
        request.encoding,
    ]


def told(request):
    site.scene.note("view")
    text = json.dumps(read(request), default=type_of)
    return site.watched(HttpResponse(text, content_type="application/json"))


def type_of(value):
    return type(value).__name__


def sync_read(request):
    return told(request)


async def async_read(request):
    return told(request)


def measured(request):
    site.scene.note("view")
    return site.watched(HttpResponse(f"{len(request.body)} bytes"))


def sync_body(request):
    return measured(request)


async def async_body(request):
    return measured(request)


for _view in (sync_read, async_read, sync_body, async_body):
    _view.csrf_exempt = True
READING = {view.__name__: view for view in (sync_read, async_read, sync_body, async_body)}


def scope(path="/", method="GET", headers=(), host=b"testserver", **extra):
    made = asgi.scope_of("/", method, headers)
    made["headers"][0] = (b"host", host)
    return {**made, "path": path, **extra}


def without(*keys):
    made = scope()
    for key in keys:
        del made[key]
    return made


def whole(body=b"", **more):
    return [{"type": "http.request", "body": body, "more_body": False, **more}]


def form(body, *headers, kind=FORM):
    """Return the scope and the messages of a form."""
    return scope(method="POST", headers=[kind, (b"content-length", b"%d" % len(body)), *headers]), whole(body)


def in_pieces(size, piece):
    sent = [
        {"type": "http.request", "body": b"x" * min(piece, size - at), "more_body": True}
        for at in range(0, size, piece)
    ]
    return [*sent, {"type": "http.request", "body": b"", "more_body": False}]


def part(name, content=b"", filename=None):
    given = f'form-data; name="{name}"' + (f'; filename="{filename}"' if filename is not None else "")
    return b"--line\r\nContent-Disposition: " + given.encode() + b"\r\n\r\n" + content + b"\r\n"


END = b"--line--\r\n"

SCOPES = {
    **{f"no `{key}`": without(key) for key in ("server", "client", "root_path", "raw_path", "headers", "query_string")},
    **{f"no `{key}`": without(key) for key in ("scheme", "http_version", "method", "path", "asgi", "type")},
    **{f"`{key}` is None": {**scope(), key: None} for key in ("server", "client", "root_path", "scheme")},
    **{f"`{key}` is None": {**scope(), key: None} for key in ("headers", "query_string", "path", "method")},
    "the client's socket has no port": scope(client=("", None)),
    "the server is a UNIX socket": scope(server=("/run/server.sock", None)),
    "a path without a slash": scope("start"),
    "an empty path": scope(""),
    "two slashes": scope("//"),
    "two slashes and a host": scope("//evil.example/x"),
    "a path with NUL": scope("/a\0b"),
    "a path with a newline": scope("/a\r\nSet-Cookie: a=b"),
    "a path with a lone surrogate": scope("/\udcff"),
    "a path as bytes": scope(b"/"),
    "a path of 100 kB": scope("/" + "a" * 100_000),
    "a path with dots": scope("/../../etc/passwd"),
    "a root path": scope("/app/x", root_path="/app"),
    "a root path that is not the path's": scope("/x", root_path="/app"),
    "a query that is no UTF-8": scope(query_string=b"a=\xff"),
    "a percent-encoded query that is no UTF-8": scope(query_string=b"a=%ff&%=%zz"),
    "a query as str": scope(query_string="a=b"),
    "a query of 100 kB": scope(query_string=b"a=" + b"b" * 100_000),
    "a query with 2,000 fields": scope(query_string=b"&".join(b"a%d" % n for n in range(2000))),
    "a method in lower case": scope(method="get"),
    "an unknown method": scope(method="BREW"),
    "an empty method": scope(method=""),
    "a method as bytes": scope(method=b"GET"),
    "HEAD": scope(method="HEAD"),
    "CONNECT": scope(method="CONNECT"),
    "TRACE": scope(method="TRACE"),
    "an unknown HTTP version": scope(http_version="9.9"),
    "a websocket": scope(type="websocket"),
    "an unknown type": scope(type="telnet"),
    "a host with a bad port": scope(host=b"testserver:port"),
    "a host with a port too large": scope(host=b"testserver:99999"),
    "an IPv6 host": scope(host=b"[::1]:8000"),
    "a broken IPv6 host": scope(host=b"[::1"),
    "a host with a user": scope(host=b"user@testserver"),
    "another host": scope(host=b"evil.example"),
    "an empty host": scope(host=b""),
    "a host that is no latin-1 text": scope(host="täst".encode()),
    "two hosts": scope(headers=[(b"host", b"evil.example")]),
    "an unknown scheme": scope(scheme="gopher"),
}

HEADERS = {
    "200,000 times the same": [(b"x-many", b"1")] * 200_000,
    "an underscore": [(b"x_forwarded_host", b"evil.example"), (b"x_y", b"z")],
    "an empty name": [(b"", b"value")],
    "an empty value": [(b"x-empty", b"")],
    "a name that is not latin-1": [("ü".encode(), b"1"), (b"\xff", b"2")],
    "a value that is not latin-1": [(b"x-name", "☃".encode()), (b"x-other", b"\xff\x00")],
    "a newline in a value": [(b"x-name", b"one\r\nset-cookie: a=b")],
    "a name in upper case": [(b"X-UPPER", b"1"), (b"HOST", b"evil.example")],
    "a name as str": [("x-name", b"1")],
    "a value as str": [(b"x-name", "1")],
    "three items": [(b"x-name", b"1", b"2")],
    "a cookie of 1 MB": [(b"cookie", b"a=" + b"x" * MEBIBYTE)],
    "10,000 cookies": [(b"cookie", b"; ".join(b"a%d=b" % n for n in range(10_000)))],
    "broken cookies": [(b"cookie", b'a="b; =c; ;; d; e=f=g; "h'), (b"cookie", b"\xff=\xfe; [x]=y")],
    "a session cookie of nobody": [(b"cookie", b"sessionid=../../etc/passwd")],
    "a CSRF cookie that is none": [(b"cookie", b"csrftoken=" + b"!" * 64)],
    "a broken message cookie": [(b"cookie", b"messages=not:a:signature")],
    "two content lengths": [(b"content-length", b"10"), (b"content-length", b"20")],
    **{
        f"a content length of {length.decode('latin-1') or 'nothing'}": [(b"content-length", length)]
        for length in (b"-1", b"1e99", b"abc", b"", b"9" * 30, b"0x10", b"\xb2", b" 5 ")
    },
    "an unknown charset": [(b"content-type", b"text/plain; charset=klingon")],
    "a broken content type": [(b"content-type", b";;;=;charset")],
    "a NUL in the charset": [(b"content-type", b"text/plain; charset=utf-8\0")],
    "a broken Accept-Language": [(b"accept-language", b"de;q=x, " * 1000)],
    "a broken If-Modified-Since": [(b"if-modified-since", b"yesterday"), (b"if-none-match", b'W/"')],
    "an Expect that nobody knows": [(b"expect", b"200-maybe")],
    "chunked, and a length": [(b"transfer-encoding", b"chunked"), (b"content-length", b"5")],
    "a request for an upgrade": [(b"connection", b"upgrade"), (b"upgrade", b"websocket")],
    "a broken range": [(b"range", b"bytes=9-1,x")],
}

POST = scope(method="POST")
MESSAGES = {
    "no body": (POST, [{"type": "http.request"}]),
    "no `more_body`": (POST, [{"type": "http.request", "body": b"x"}]),
    "`more_body` is None": (POST, [{"type": "http.request", "body": b"x", "more_body": None}]),
    "a body of None": (POST, [{"type": "http.request", "body": None}]),
    "a body as str": (POST, [{"type": "http.request", "body": "text"}]),
    "a body as memoryview": (POST, [{"type": "http.request", "body": memoryview(b"x")}]),
    "no type": (POST, [{"body": b"x"}]),
    "an empty message": (POST, [{}]),
    "None in the place of a message": (POST, [None]),
    "an unknown type": (POST, [{"type": "http.news", "body": b"x"}]),
    "an unknown type amid the body": (POST, [{"type": "http.request", "more_body": True}, {"type": "http.news"}]),
    "a disconnect at once": (POST, [{"type": "http.disconnect"}]),
    "a disconnect amid the body": (
        POST,
        [{"type": "http.request", "body": b"x", "more_body": True}, {"type": "http.disconnect"}],
    ),
    "a disconnect right behind the body": (POST, [*whole(b"x"), {"type": "http.disconnect"}]),
    "a second body behind the body": (POST, [*whole(b"x"), *whole(b"y")]),
    "a lifespan message": (POST, [{"type": "lifespan.startup"}]),
    "1,000 empty pieces": (POST, [*[{"type": "http.request", "body": b"", "more_body": True}] * 1000, *whole()]),
    "1 byte": (POST, whole(b"x")),
    **{
        f"{size:,} bytes{more}": (scope(method="POST", headers=[(b"content-length", b"%d" % length)]), sent)
        for size in (2_621_439, 2_621_440, 2_621_441)
        for more, length, sent in (
            ("", size, whole(b"x" * size)),
            (" in pieces", size, in_pieces(size, 65_536)),
            (" with a length that is too small", 1, whole(b"x" * size)),
            (" with a length that is too large", 10 * size, whole(b"x" * size)),
        )
    },
}

BODIES = {
    "a broken form": form(b"a=%zz&&=&b"),
    "a form that is no UTF-8": form(b"a=\xff%ff"),
    "a form in an unknown charset": form(b"a=b", kind=(b"content-type", FORM[1] + b"; charset=klingon")),
    "a form in latin-1": form(b"a=%e4", kind=(b"content-type", FORM[1] + b"; charset=latin-1")),
    "a form of 10,000 fields": form(b"&".join(b"a%d=b" % n for n in range(10_000))),
    "a form of 3 MB": form(b"a=" + b"b" * 3 * MEBIBYTE),
    "no boundary": form(END, kind=(b"content-type", b"multipart/form-data")),
    "a bad boundary": form(END, kind=(b"content-type", b"multipart/form-data; boundary=\xff")),
    "a boundary that never comes": form(b"x" * 1000, kind=MULTIPART),
    "no end": form(part("a", b"b"), kind=MULTIPART),
    "an end amid a file": form(part("f", b"x" * 1000, "f.txt")[:500], kind=MULTIPART),
    "an empty multipart": form(b"", kind=MULTIPART),
    "10,000 fields": form(part("a", b"b") * 10_000 + END, kind=MULTIPART),
    "10,000 files": form(part("f", b"b", "f.txt") * 10_000 + END, kind=MULTIPART),
    "a file name with a path": form(part("f", b"b", "../../etc/passwd") + END, kind=MULTIPART),
    "a file without a name": form(part("f", b"b", "") + END, kind=MULTIPART),
    "a file name with NUL": form(part("f", b"b", "a\0b") + END, kind=MULTIPART),
    "a file of 3 MB": form(part("f", b"x" * 3 * MEBIBYTE, "big.bin") + END, kind=MULTIPART),
    "broken base64": form(
        b'--line\r\nContent-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: base64\r\n\r\n!\r\n' + END,
        kind=MULTIPART,
    ),
    "a header of 10 kB": form(b"--line\r\nX: " + b"y" * 10_000 + b"\r\n\r\n" + END, kind=MULTIPART),
    "a multipart with a content length of -1": (
        scope(method="POST", headers=[MULTIPART, (b"content-length", b"-1")]),
        whole(part("a", b"b") + END),
    ),
}


def environ_without(*keys):
    return dict.fromkeys(keys)


ENVIRONS = {
    "no CONTENT_LENGTH": environ_without("CONTENT_LENGTH"),
    "no QUERY_STRING": environ_without("QUERY_STRING"),
    "no PATH_INFO": environ_without("PATH_INFO"),
    "no SCRIPT_NAME": environ_without("SCRIPT_NAME"),
    "no SERVER_NAME": environ_without("SERVER_NAME", "SERVER_PORT"),
    "no REQUEST_METHOD": environ_without("REQUEST_METHOD"),
    "no wsgi.input": environ_without("wsgi.input"),
    "no wsgi.url_scheme": environ_without("wsgi.url_scheme"),
    "a path that is no UTF-8": {"PATH_INFO": "/\xed"},
    "a path that is no latin-1": {"PATH_INFO": "/☃"},
    "a path with NUL": {"PATH_INFO": "/a\0b"},
    "an empty path": {"PATH_INFO": ""},
    "two slashes": {"PATH_INFO": "//"},
    "a query that is no UTF-8": {"QUERY_STRING": "a=\xff&b=%ff"},
    "a cookie that is no UTF-8": {"HTTP_COOKIE": "a=\xff; =; b"},
    "SCRIPT_URL": {"SCRIPT_URL": "/app/x", "PATH_INFO": "/x"},
    "SCRIPT_URL with two slashes": {"SCRIPT_URL": "//app//x", "PATH_INFO": "/x"},
    "REDIRECT_URL": {"REDIRECT_URL": "/app/x", "PATH_INFO": "/x"},
    "a SCRIPT_NAME that is no UTF-8": {"SCRIPT_NAME": "/\xed"},
    "a broken host": {"HTTP_HOST": "[::1"},
    "another host": {"HTTP_HOST": "evil.example"},
    "a short body": {"CONTENT_LENGTH": "100"},
    **{f"CONTENT_LENGTH {length!r}": {"CONTENT_LENGTH": length} for length in ("", "-1", "1e99", "abc", "²")},
}


def raising_at(number, error):
    def items():
        for at in range(3):
            if at == number:
                raise error
            yield b"item"

    return items()


async def async_raising_at(number, error):
    for at in range(3):
        if at == number:
            raise error
        yield b"item"


async def coroutine():
    return HttpResponse()


def with_header(name, value):
    response = HttpResponse("hello")
    response.headers._store[str(name).lower()] = (name, value)
    return response


def status(code):
    response = HttpResponse("hello")
    response.status_code = code
    return response


def closing_badly(response):
    def fail():
        raise OSError("of a closer")

    response._resource_closers.append(fail)
    return response


class OwnClose(HttpResponse):
    def close(self):
        super().close()
        raise OSError("of close")


class Unrenderable(SimpleTemplateResponse):
    def render(self):
        raise LookupError("of render")


class RenderedToNothing(SimpleTemplateResponse):
    def render(self):
        return None


kept = {}
"""What the views of one play return again."""


def keep(request):
    return kept.setdefault("response", HttpResponse("kept"))


def of_another_request(request):
    another = RequestFactory().get("/another/")
    response = HttpResponse("of another")
    response._resource_closers.append(another.close)
    response._handler_class = type(another)
    return response


class BadlyClosed:
    """Three items, and a ``close`` that fails."""

    def __iter__(self):
        return iter([b"item"] * 3)

    def close(self):
        raise OSError("of the iterator's close")


def keep_closed(request):
    response = keep(request)
    response.close()
    return response


RESPONSES = {
    "None": lambda request: None,
    "a str": lambda request: "hello",
    "bytes": lambda request: b"hello",
    "a number": lambda request: 42,
    "a list": lambda request: [HttpResponse()],
    "a dictionary": lambda request: {"status": 200},
    "a generator": lambda request: (each for each in "abc"),
    "a coroutine": lambda request: coroutine(),
    "the response's class": lambda request: HttpResponse,
    "the request": lambda request: request,
    "an exception": lambda request: ValueError("returned"),
    "the same object each time": keep,
    "a closed response": keep_closed,
    "a response of another request": of_another_request,
    "a header with a newline": lambda request: with_header("X-Name", "one\r\ntwo"),
    "a header that is not latin-1": lambda request: with_header("X-Name", "☃"),
    "a header's name that is not ASCII": lambda request: with_header("X-Ü", "1"),
    "a header that is a number": lambda request: with_header("X-Name", 1),
    "a header that is bytes": lambda request: with_header("X-Name", b"\xff"),
    **{
        f"status {code}": lambda request, code=code: status(code)
        for code in (99, 100, 101, 199, 204, 304, 599, 1000, 0)
    },
    "a status as str": lambda request: status("200"),
    "a status of None": lambda request: status(None),
    "JSON of what has none": lambda request: JsonResponse({"a": object()}),
    "a sync stream of str": lambda request: StreamingHttpResponse(["a", "b"]),
    "a sync stream of None": lambda request: StreamingHttpResponse([None, b"a"]),
    "a sync stream of numbers": lambda request: StreamingHttpResponse([1, 2]),
    "a sync stream that is empty": lambda request: StreamingHttpResponse([]),
    "a sync stream of empty items": lambda request: StreamingHttpResponse([b"", b"", b"a"]),
    "a sync stream that fails at once": lambda request: StreamingHttpResponse(raising_at(0, LookupError("first"))),
    "a sync stream that fails later": lambda request: StreamingHttpResponse(raising_at(2, LookupError("third"))),
    "a sync stream with a TypeError": lambda request: StreamingHttpResponse(raising_at(1, TypeError("second"))),
    "an async stream that fails at once": lambda request: StreamingHttpResponse(
        async_raising_at(0, LookupError("1st"))
    ),
    "an async stream that fails later": lambda request: StreamingHttpResponse(async_raising_at(2, LookupError("3rd"))),
    "an async stream with a TypeError": lambda request: StreamingHttpResponse(async_raising_at(1, TypeError("second"))),
    "a sync stream whose `close` fails": lambda request: StreamingHttpResponse(BadlyClosed()),
    "a stream of nothing iterable": lambda request: StreamingHttpResponse(42),
    "a file that is closed": lambda request: closed_file(),
    "a file of str": lambda request: FileResponse(iter(["a"])),
    "a closer that fails": lambda request: closing_badly(HttpResponse("hello")),
    "a stream whose closer fails": lambda request: closing_badly(StreamingHttpResponse([b"a"])),
    "a `close` that fails": lambda request: OwnClose("hello"),
    "a `render` that fails": lambda request: Unrenderable("hello.html"),
    "a `render` to nothing": lambda request: RenderedToNothing("hello.html"),
    "a template that does not exist": lambda request: SimpleTemplateResponse("nowhere.html"),
    "content that is not bytes": lambda request: HttpResponse([1, None, object]),
}


def closed_file():
    file = open(__file__, "rb")  # noqa: SIM115
    response = FileResponse(file)
    file.close()
    return response


def sync_view_of(make):
    def sync_view(request):
        return site.watched(make(request))

    return sync_view


def async_view_of(make):
    async def async_view(request):
        await asyncio.sleep(0)
        return site.watched(make(request))

    return async_view


@dataclass(frozen=True)
class Input:
    """
    One bad input.

    Attributes:
        group: What is bad.
        name: How.
        view: Of the site.
        scope: As ``Scene`` has it.
        incoming: The same.
        settings: More settings than those of the site.
    """

    group: str
    name: str
    view: object
    scope: dict
    incoming: list
    settings: dict

    iterates_on_thread = True

    def __str__(self):
        return (
            f"{self.group}: {self.name} ({self.view.__name__}{', ' if self.settings else ''}{', '.join(self.settings)})"
        )

    @property
    def fault(self):
        return BadInput(is_sudden=self.name in (*AFTER_THE_BODY, *LEFT), is_error=self.name in ERRORS)

    @property
    def phase(self):
        return "P2" if self.name in AFTER_THE_BODY else ""

    @property
    def unkept(self):
        return UNKEPT.get(self.name, ())

    @property
    def stack(self):
        return "loop" if self.view.__name__.startswith("async") else "thread"

    @property
    def kind(self):
        return "stream" if self.name.startswith("a sync stream") else "plain"

    def play(self, make_handler):
        """Send the request to a new handler; return what was seen, or what loading the middleware has raised."""
        kept.clear()
        left = ("send body", "plain", Meanwhile(leave)) if self.name in LEFT else ()
        scene = Scene(Site(self.view), *left, scope=self.scope, incoming=self.incoming)
        return play(make_handler, scene, **self.settings)


UNSAVED = "a session that cannot be saved"
UNKEPT = {
    UNSAVED: ("closers", "closed"),  # its response is thrown away
    **dict.fromkeys(
        ("a `render` that fails", "a `render` to nothing", "a template that does not exist"), ("closers", "closed")
    ),
    "a closed response": ("signals",),
}
"""The laws of closing that neither stock Django nor Onehop keeps, as ``Case.unkept``."""
AFTER_THE_BODY = ("a disconnect right behind the body", "a second body behind the body")
LEFT = ("a sync stream whose `close` fails",)
"""The client leaves behind the first piece."""
ERRORS = ("None in the place of a message", "MIDDLEWARE is None", "MIDDLEWARE is a str", "an upload limit as str")


def inputs():
    """Return all bad input under ASGI."""
    for view in READING.values():
        for name, made in SCOPES.items():
            yield Input("scope", name, view, made, whole(), {})
        for name, headers in HEADERS.items():
            yield Input("headers", name, view, scope(method="POST", headers=headers), whole(b"0123456789"), {})
        for name, (made, incoming) in MESSAGES.items():
            yield Input("messages", name, view, made, incoming, {})
        for name, (made, incoming) in BODIES.items():
            yield Input("body", name, view, made, incoming, {})
        for name, settings in DJANGO_SETTINGS.items():
            yield Input("settings", name, view, scope(), whole(), settings)
    for name, make in RESPONSES.items():
        for settings in ({}, {"DEBUG_PROPAGATE_EXCEPTIONS": True}):
            yield Input("response", name, sync_view_of(make), scope(), whole(), settings)
            yield Input("response", name, async_view_of(make), scope(), whole(), settings)


OWN_SETTINGS = {
    "not a dictionary": (["RUNS_ANYWHERE"], "ONEHOP is ['RUNS_ANYWHERE']"),
    "None": (None, "ONEHOP is None"),
    "an unknown key": ({"MAX_THREADS": 3}, "ONEHOP['MAX_THREADS'] is not a setting of Onehop"),
    "a key in lower case": ({"thread_reuse": "never"}, "ONEHOP['thread_reuse'] is not a setting of Onehop"),
    "a key that is a number": ({1: 2}, "ONEHOP[1] is not a setting of Onehop"),
    **{
        f"{key} is {value!r}": ({key: value}, f"ONEHOP[{key!r}] {told}")
        for key, values, told in (
            ("RUNS_ANYWHERE", (None, 1, "a.path", {"a": 1}, b"a"), "is "),
            ("RUNS_ANYWHERE", ([None], [1], [b"a.b"]), "contains "),
            ("RUNS_ON_THREAD", (None, 1, "a.path", {"a": 1}), "is "),
            ("RUNS_ON_THREAD", ([None], (object,)), "contains "),
            ("KEEP_THREAD_LOCALS", (None, 1, "a.path", {"a": 1}), "is "),
            ("KEEP_THREAD_LOCALS", ([None], [1]), "contains "),
            ("THREAD_REUSE", (None, True, "", "CLEAN", ["clean"], {}), "is "),
            ("MAX_REQUEST_THREADS", (0, -1, 1.5, "8", True, [], float("nan")), "is "),
            ("LIFESPAN", (1, True, ["a.b"], print), "is "),
        )
        for value in values
    },
    "a thread-local that does not exist": (
        {"KEEP_THREAD_LOCALS": ["no.where"]},
        "'no.where' in ONEHOP['KEEP_THREAD_LOC",
    ),
    "a thread-local that is none": (
        {"KEEP_THREAD_LOCALS": ["os.sep"]},
        "'os.sep' in ONEHOP['KEEP_THREAD_LOCALS'] is a",
    ),
    "a thread-local without a dot": ({"KEEP_THREAD_LOCALS": ["os"]}, "'os' in ONEHOP['KEEP_THREAD_LOCALS'] cannot be"),
    "a lifespan that is empty": ({"LIFESPAN": ""}, "'' in ONEHOP['LIFESPAN'] cannot be imported"),
    "a lifespan that does not exist": ({"LIFESPAN": "no.where"}, "'no.where' in ONEHOP['LIFESPAN'] cannot be"),
    "a lifespan that is a module": ({"LIFESPAN": "os.path"}, "'os.path' in ONEHOP['LIFESPAN'] is a module"),
}
"""The value of ``settings.ONEHOP``, and how the error begins."""


class BothFlagsFalse:
    sync_capable = async_capable = False

    def __init__(self, get_response):
        pass


def makes_nothing(get_response):
    return None


def fails(get_response):
    raise LookupError("of the factory")


def takes_nothing():
    return None


not_callable = 42
HERE = __name__

DJANGO_SETTINGS = {
    "middleware that does not exist": {"MIDDLEWARE": ["no.where"]},
    "a module without the middleware": {"MIDDLEWARE": [f"{HERE}.nowhere"]},
    "middleware without a dot": {"MIDDLEWARE": ["nowhere"]},
    "an empty path": {"MIDDLEWARE": [""]},
    "a factory that returns None": {"MIDDLEWARE": [f"{HERE}.makes_nothing"]},
    "a factory that fails": {"MIDDLEWARE": [f"{HERE}.fails"]},
    "a factory without an argument": {"MIDDLEWARE": [f"{HERE}.takes_nothing"]},
    "a factory that cannot be called": {"MIDDLEWARE": [f"{HERE}.not_callable"]},
    "both flags False": {"MIDDLEWARE": [f"{HERE}.BothFlagsFalse"]},
    "None in MIDDLEWARE": {"MIDDLEWARE": [None]},
    "a class in MIDDLEWARE": {"MIDDLEWARE": [BothFlagsFalse]},
    "MIDDLEWARE is None": {"MIDDLEWARE": None},
    "MIDDLEWARE is a str": {"MIDDLEWARE": "django.middleware.common.CommonMiddleware"},
    "the same middleware twice": {"MIDDLEWARE": ["django.middleware.common.CommonMiddleware"] * 2},
    "MIDDLEWARE is a generator": {"MIDDLEWARE": (path for path in DEFAULT_MIDDLEWARE)},
    "MIDDLEWARE is a tuple": {"MIDDLEWARE": tuple(DEFAULT_MIDDLEWARE)},
    "MIDDLEWARE in the wrong order": {"MIDDLEWARE": DEFAULT_MIDDLEWARE[::-1]},
    "ROOT_URLCONF that does not exist": {"ROOT_URLCONF": "no.where"},
    "ROOT_URLCONF without patterns": {"ROOT_URLCONF": "tests.faults"},
    "ROOT_URLCONF is None": {"ROOT_URLCONF": None},
    "no ALLOWED_HOSTS": {"ALLOWED_HOSTS": []},
    "DEBUG": {"DEBUG": True},
    "DEBUG_PROPAGATE_EXCEPTIONS": {"DEBUG_PROPAGATE_EXCEPTIONS": True, "ROOT_URLCONF": "no.where"},
    "a session engine that does not exist": {"SESSION_ENGINE": "no.where"},
    "a message storage that does not exist": {"MESSAGE_STORAGE": "no.where.Storage"},
    "FORCE_SCRIPT_NAME": {"FORCE_SCRIPT_NAME": "/app"},
    "an upload limit of 0": {"FILE_UPLOAD_MAX_MEMORY_SIZE": 0},
    "an upload limit of None": {"FILE_UPLOAD_MAX_MEMORY_SIZE": None},
    "a negative upload limit": {"FILE_UPLOAD_MAX_MEMORY_SIZE": -1},
    "an upload limit as str": {"FILE_UPLOAD_MAX_MEMORY_SIZE": "1"},
}
"""Settings of Django, wrong or odd."""

INPUTS = list(inputs())
