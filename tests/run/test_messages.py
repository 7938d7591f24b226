"""What is sent, and what is raised, is what stock Django sends and raises, for good and for malformed requests."""

import asyncio
import io

import pytest
from django.http import (
    FileResponse,
    HttpResponse,
    HttpResponseNotModified,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.template.response import TemplateResponse
from django.utils.deprecation import MiddlewareMixin

from tests import asgi
from tests.project.settings import DEFAULT_MIDDLEWARE
from tests.run.drive import run
from tests.run.stacks import paths

modes = pytest.mark.parametrize("mode", ["sync", "async"])


def make_view(mode, body):
    async def async_view(request):
        return body(request)

    return {"sync": lambda request: body(request), "async": async_view}[mode]


def outcome_of(application, scope, messages):
    """Send a scope and its messages to an application; return all that it sent, and what it raised."""
    sent = []

    async def main():
        incoming = list(messages)

        async def receive():
            if incoming:
                return incoming.pop(0)
            return await asyncio.Event().wait()

        async def send(message):
            sent.append(message)

        await application(scope, receive, send)

    try:
        run(main())
    except BaseException as error:
        return sent, type(error), str(error)
    return sent, None, ""


def compare(site, view, scope=None, messages=None, middleware=DEFAULT_MIDDLEWARE, **settings):
    """Return what our handler and stock Django's did with one request; a function makes the scope anew for each."""
    outcomes = []
    for stock in (False, True):
        application = site(view, middleware, stock=stock, **settings)
        made = scope() if callable(scope) else dict(scope or asgi.scope_of())
        outcomes.append(outcome_of(application, made, messages or [{"type": "http.request"}]))
    return outcomes


def echo(request):
    """Answer with all that was understood of the request."""
    lines = [request.method, request.path, request.get_full_path(), request.scheme, str(request.content_type)]
    lines += [f"{name}: {value}" for name, value in sorted(request.headers.items())]
    lines += [repr(sorted(request.GET.lists())), repr(sorted(request.COOKIES.items()))]
    lines += [f"{key}={request.META.get(key)}" for key in ("REMOTE_ADDR", "SERVER_NAME", "SERVER_PORT", "SCRIPT_NAME")]
    return HttpResponse("\n".join(lines))


@pytest.mark.parametrize("missing", list(asgi.scope_of()))
def test_a_scope_without_one_of_its_keys(site, missing):
    """The same answer, or the same exception, as stock Django's."""
    scope = asgi.scope_of()
    del scope[missing]

    onehop, stock = compare(site, echo, scope)

    assert onehop == stock


@pytest.mark.parametrize("key", list(asgi.scope_of()))
def test_a_scope_with_none_in_place_of_a_value(site, key):
    """The same again with None."""
    onehop, stock = compare(site, echo, {**asgi.scope_of(), key: None})

    assert onehop == stock


ODD_SCOPES = {
    "query no utf-8": {"query_string": b"a=\xff"},
    "query percent": {"query_string": b"a=%FF&b=%zz"},
    "query text": {"query_string": "a=b"},
    "path empty": {"path": ""},
    "path relative": {"path": "no-slash"},
    "path double": {"path": "//evil.example/"},
    "path nul": {"path": "/a\x00b"},
    "path unicode": {"path": "/caf\xe9/"},
    "root path": {"root_path": "/app", "path": "/app/page"},
    "root path trailing": {"root_path": "/app/"},
    "method lower": {"method": "get"},
    "method empty": {"method": ""},
    "method odd": {"method": "BREW"},
    "http 9": {"http_version": "9"},
    "client unix": {"client": ("", 0)},
    "server unix": {"server": ("/run/socket", None)},
    "scheme https": {"scheme": "https"},
    "scheme odd": {"scheme": "gopher"},
    "host bad": {"headers": [(b"host", b"evil.example")]},
    "host port": {"headers": [(b"host", b"testserver:99999x")]},
    "host missing": {"headers": []},
    "host ipv6": {"headers": [(b"host", b"[::1]:80")]},
    "header empty": {"headers": [(b"", b"x"), (b"host", b"testserver")]},
    "header underscore": {"headers": [(b"host", b"testserver"), (b"x_forwarded_for", b"spoofed")]},
    "header no latin": {"headers": [(b"host", b"testserver"), (b"x-odd", "\u20ac".encode())]},
    "header newline": {"headers": [(b"host", b"testserver"), (b"x-odd", b"a\r\nb: c")]},
    "header twice": {"headers": [(b"host", b"testserver"), (b"x-a", b"1"), (b"x-a", b"2")]},
    "header not bytes": {"headers": [("host", "testserver")]},
    "header bad name": {"headers": [(b"host", b"testserver"), (b"\xff", b"x")]},
    "cookie twice": {"headers": [(b"host", b"testserver"), (b"cookie", b"a=1"), (b"cookie", b"b=2")]},
    "cookie broken": {"headers": [(b"host", b"testserver"), (b"cookie", b"=;;a==b;\x01=")]},
    "cookie long": {"headers": [(b"host", b"testserver"), (b"cookie", b"a=" + b"x" * 1_000_000)]},
    "length twice": {"headers": [(b"host", b"testserver"), (b"content-length", b"10,20")]},
    "length negative": {"headers": [(b"host", b"testserver"), (b"content-length", b"-1")]},
    "length text": {"headers": [(b"host", b"testserver"), (b"content-length", b"abc")]},
    "type odd": {"headers": [(b"host", b"testserver"), (b"content-type", b"text/html; charset=nonsense")]},
    "continue": {"headers": [(b"host", b"testserver"), (b"expect", b"100-continue")]},
}


@modes
@pytest.mark.parametrize("name", ODD_SCOPES)
def test_an_odd_scope(site, mode, name):
    """Odd paths, hosts, headers and cookies are understood, or refused, as by stock Django."""
    onehop, stock = compare(site, make_view(mode, echo), {**asgi.scope_of(), **ODD_SCOPES[name]})

    assert onehop == stock


def test_bad_query_bytes_are_a_bad_request(site):
    """The comparison above is not one of two crashes."""
    (sent, raised, _), _ = compare(site, echo, {**asgi.scope_of(), "query_string": b"\xff"})

    assert (sent[0]["status"], raised) == (400, None)


@pytest.mark.parametrize("kind", ["websocket", "nonsense"])
def test_other_types_of_scope_are_refused_with_djangos_words(site, kind):
    """Only HTTP is served."""
    onehop, stock = compare(site, echo, {**asgi.scope_of(), "type": kind})

    assert onehop == stock == ([], ValueError, f"Django can only handle ASGI/HTTP connections, not {kind}.")


@pytest.mark.parametrize("count", [1_000, 50_000])
def test_bug_17_very_many_headers(site, count):
    """Repeated headers are joined as by stock Django, and not in quadratic time."""
    headers = [(b"host", b"testserver"), *[(b"x-many", b"1")] * count, *((b"x-%d" % n, b"1") for n in range(count))]

    onehop, stock = compare(site, lambda request: HttpResponse(str(len(request.headers))), asgi.scope_of(), None)
    assert onehop == stock
    onehop, stock = compare(
        site,
        lambda request: HttpResponse(f"{len(request.headers)} {len(request.headers['x-many'])}"),
        {**asgi.scope_of(), "headers": headers},
    )

    assert onehop == stock
    assert onehop[0][1]["body"] == b"%d %d" % (count + 2, 2 * count - 1)


RESPONSES = {
    "empty": lambda request: HttpResponse(),
    "204": lambda request: HttpResponse(status=204),
    "304": lambda request: HttpResponseNotModified(),
    "redirect": lambda request: HttpResponseRedirect("/elsewhere"),
    "599": lambda request: HttpResponse("odd", status=599, reason="Odd"),
    "large": lambda request: HttpResponse(b"x" * 200_000),
    "exactly one chunk": lambda request: HttpResponse(b"x" * 65_536),
    "stream": lambda request: StreamingHttpResponse(chunk for chunk in [b"a", b"", b"b" * 70_000]),
    "stream of text": lambda request: StreamingHttpResponse(["a", "b"]),
    "empty stream": lambda request: StreamingHttpResponse([]),
    "file": lambda request: FileResponse(io.BytesIO(b"x" * 100_000), filename="a.txt"),
    "none": lambda request: None,
    "text": lambda request: "text",
    "number": lambda request: 42,
    "cookies": lambda request: with_cookies(HttpResponse("ok")),
    "headers": lambda request: HttpResponse("ok", headers={"X-B": "1", "x-a": "2", "X-Latin": "\xe9"}),
    "unicode header": lambda request: HttpResponse("ok", headers={"X-Odd": "\u20ac"}),
    "newline header": lambda request: HttpResponse("ok", headers={"X-Odd": "a\nb"}),
    "session": lambda request: request.session.update(name="x") or HttpResponse("ok"),
}


def with_cookies(response):
    response.set_cookie("a", "1", max_age=10)
    response.set_cookie("b", "2", httponly=True)
    return response


def without_secrets(outcome):
    """Return an outcome without what is random: keys, tokens and dates in cookies."""
    sent, *rest = outcome
    cleaned = []
    for message in sent:
        message = dict(message)
        if "headers" in message:
            message["headers"] = [
                (name, value if name.lower() != b"set-cookie" else value.split(b"=")[0] + value[-20:])
                for name, value in message["headers"]
            ]
        cleaned.append(message)
    return cleaned, *rest


@modes
@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume synchronous iterators:Warning")
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("name", RESPONSES)
def test_bug_25_all_kinds_of_response(site, database, mode, method, name):
    """The same messages, byte for byte: also for HEAD, 204, 304, streams and files."""
    onehop, stock = compare(site, make_view(mode, RESPONSES[name]), asgi.scope_of(method=method))

    assert without_secrets(onehop) == without_secrets(stock)


class Unrendered(MiddlewareMixin):
    """Puts a response without ``render`` in the place of one that has it, and answers whatever comes of that."""

    def process_template_response(self, request, response):
        return HttpResponse("cannot be rendered")

    def process_exception(self, request, exception):
        return HttpResponse(f"answered: {exception}")


@modes
def test_a_template_hook_whose_answer_has_no_render(site, mode):
    """The ``AttributeError`` reaches ``process_exception``, or the error handlers, as with stock Django."""

    def view(request):
        return TemplateResponse(request, "none.html")

    onehop, stock = compare(site, make_view(mode, view), middleware=[f"{__name__}.Unrendered"])

    assert onehop == stock
    assert onehop[0][1]["body"].startswith(b"answered: ")


ERRORS = {
    "Exception": lambda: Exception("plain"),
    "StopAsyncIteration": lambda: StopAsyncIteration("stop"),
    "ExceptionGroup": lambda: ExceptionGroup("group", [ValueError("one"), KeyError("two")]),
    "BaseExceptionGroup": lambda: BaseExceptionGroup("group", [KeyboardInterrupt("one"), KeyError("two")]),
    "SystemExit": lambda: SystemExit("exit"),
    "KeyboardInterrupt": lambda: KeyboardInterrupt("interrupt"),
    "CancelledError": lambda: asyncio.CancelledError("cancelled"),
    "TimeoutError": lambda: TimeoutError("timeout"),
    "RecursionError": lambda: RecursionError("deep"),
    "MemoryError": lambda: MemoryError("much"),
}


@modes
@pytest.mark.parametrize("middleware", [[], ["Hooks"], ["DeclaredClassic"]], ids="-".join)
@pytest.mark.parametrize("name", ERRORS)
def test_bug_92_all_kinds_of_exception(site, mode, middleware, name):
    """What a view may raise is answered, or comes out of the application, as with stock Django."""

    def fail(request):
        raise ERRORS[name]()

    onehop, stock = compare(site, make_view(mode, fail), middleware=paths(*middleware))

    assert onehop == stock


@modes
def test_bug_92_a_stop_iteration_of_the_view_is_answered(site, mode):
    """Stock Django 5.2 and 6.0 never answer when a sync view raises ``StopIteration``; here it is an error as any."""

    def fail(request):
        raise StopIteration

    application = site(make_view(mode, fail), [])

    assert outcome_of(application, asgi.scope_of(), [{"type": "http.request"}])[0][0]["status"] == 500


@modes
def test_bug_92_a_generator_exit_of_the_view_comes_out(site, mode):
    """As itself, or as the RuntimeError that stock Django 6.1 makes of it for a sync view; nothing is sent."""

    def fail(request):
        raise GeneratorExit("exit")

    application = site(make_view(mode, fail), [])

    sent, raised, _ = outcome_of(application, asgi.scope_of(), [{"type": "http.request"}])

    assert (sent, raised in (GeneratorExit, RuntimeError)) == ([], True)


BODIES = {
    "none": [{"type": "http.request"}],
    "empty": [{"type": "http.request", "body": b""}],
    "in parts": [
        {"type": "http.request", "body": b"a=1", "more_body": True},
        {"type": "http.request", "body": b"&b=2"},
    ],
    "over the limit": [{"type": "http.request", "body": b"a=" + b"x" * 300}],
    "too many fields": [{"type": "http.request", "body": b"&".join(b"a%d=1" % n for n in range(30))}],
    "on disk": [{"type": "http.request", "body": b"a=" + b"x" * 3_000_000}],
    "disconnect at once": [{"type": "http.disconnect"}],
    "disconnect in between": [{"type": "http.request", "body": b"a", "more_body": True}, {"type": "http.disconnect"}],
}
FORM = [
    (b"host", b"testserver"),
    (b"content-type", b"application/x-www-form-urlencoded"),
]


@modes
@pytest.mark.parametrize("limit", [200, None])
@pytest.mark.parametrize("name", BODIES)
def test_all_kinds_of_body(site, mode, name, limit):
    """Forms are parsed, and bodies over the limits refused, as by stock Django."""

    def form(request):
        return HttpResponse(repr([(key, len(value)) for key, value in request.POST.items()]))

    length = sum(len(message.get("body", b"")) for message in BODIES[name])
    scope = asgi.scope_of(method="POST")
    scope["headers"] = [*FORM, (b"content-length", b"%d" % length)]
    outcomes = compare(
        site,
        make_view(mode, form),
        scope,
        BODIES[name],
        middleware=[],
        DATA_UPLOAD_MAX_MEMORY_SIZE=limit,
        DATA_UPLOAD_MAX_NUMBER_FIELDS=20,
    )

    assert outcomes[0] == outcomes[1]


@modes
def test_an_upload_is_read_as_by_django(site, mode):
    """A multipart body with a file on disk arrives whole."""
    body = (
        b"--b\r\nContent-Disposition: form-data; name=f; filename=a.bin\r\n\r\n" + b"x" * 3_000_000 + b"\r\n--b--\r\n"
    )

    def upload(request):
        file = request.FILES["f"]
        return HttpResponse(f"{file.name} {file.size} {type(file).__name__} {len(file.read())}")

    scope = asgi.scope_of(method="POST")
    scope["headers"] = [
        (b"host", b"testserver"),
        (b"content-type", b"multipart/form-data; boundary=b"),
        (b"content-length", b"%d" % len(body)),
    ]

    onehop, stock = compare(
        site, make_view(mode, upload), scope, [{"type": "http.request", "body": body}], middleware=[]
    )

    assert onehop == stock
    assert onehop[0][1]["body"] == b"a.bin 3000000 TemporaryUploadedFile 3000000"
