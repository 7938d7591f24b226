"""The same requests to Django's ``Client`` and to ours, through Onehop and through stock Django: the same answers."""

import io
import re

import pytest
from django.contrib.auth import get_user_model
from django.core.handlers.asgi import ASGIHandler
from django.test import Client, RequestFactory
from django.test.client import RedirectCycleError
from django.urls import Resolver404

from onehop.testing import HopClient

pytestmark = [
    pytest.mark.usefixtures("rollback"),
    pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume synchronous"),  # stock Django, rightly
]


def upload(client, url="/echo/"):
    file = io.BytesIO("Grüße".encode())
    file.name = "brief.txt"
    return client.post(url, {"name": "Ünal", "list": ["1", "2"], "file": file})


REQUESTS = {
    "get": lambda client: client.get("/echo/"),
    "async view": lambda client: client.get("/aecho/"),
    "data": lambda client: client.get("/echo/", {"q": "ä b&c", "list": [1, 2]}),
    "query in path": lambda client: client.get("/echo/?q=%C3%A4+b&q=2&empty="),
    "query_params": lambda client: client.post("/echo/", {"a": 1}, query_params={"b": "ü"}),
    "query beyond ASCII": lambda client: client.get("/echo/?q=ä"),
    "head": lambda client: client.head("/page/"),
    "options": lambda client: client.options("/echo/"),
    "trace": lambda client: client.trace("/echo/"),
    "put": lambda client: client.put("/raw/", "späte Daten"),
    "patch": lambda client: client.patch("/raw/", {"a": "ä"}, content_type="application/json"),
    "delete": lambda client: client.delete("/echo/", "gone"),
    "json": lambda client: client.post("/raw/", {"a": [1]}, content_type="application/json"),
    "form": lambda client: client.post("/echo/", "a=1&b=%C3%BC", content_type="application/x-www-form-urlencoded"),
    "other charset": lambda client: client.post("/raw/", "ü", content_type="text/plain; charset=latin-1"),
    "upload": upload,
    "big upload": lambda client: client.post("/raw/", b"x" * 3_000_000, content_type="application/octet-stream"),
    "path beyond ASCII": lambda client: client.get("/écho/Zoë/"),
    "quoted path": lambda client: client.get("/%C3%A9cho/a%20b%2Bc/"),
    "headers": lambda client: client.get("/echo/", headers={"X-One": "1", "Accept": "text/html", "X-Latin": "é"}),
    "environment": lambda client: client.get(
        "/echo/", HTTP_X_TWO="2", REMOTE_ADDR="10.0.0.7", HTTP_HOST="a.example:81"
    ),
    "server": lambda client: client.get("/echo/", SERVER_NAME="b.example", SERVER_PORT="8000"),
    "script name": lambda client: client.get("/echo/", SCRIPT_NAME="/präfix".encode().decode("latin-1")),
    "secure": lambda client: client.get("/echo/", secure=True),
    "page": lambda client: client.get("/page/"),
    "template response": lambda client: client.get("/template-response/"),
    "cookies": lambda client: client.get("/cookies/"),
    "redirect": lambda client: client.get("/chain/2/"),
    "chain": lambda client: client.get("/chain/2/", follow=True),
    "kept method": lambda client: client.post("/kept/", {"a": "1"}, follow=True),
    "other host": lambda client: client.get("/elsewhere/", follow=True),
    "no slash": lambda client: client.get("/hello", follow=True),
    "204": lambda client: client.get("/empty/"),
    "big": lambda client: client.get("/big/"),
    "404": lambda client: client.get("/not-found/"),
    "no such page": lambda client: client.get("/nowhere/"),
    "403": lambda client: client.get("/forbidden/"),
    "sync stream": lambda client: client.get("/sync-stream/"),
    "file": lambda client: client.get("/file/"),
    "head of a stream": lambda client: client.head("/sync-stream/"),
}

APPLICATIONS = {"onehop": lambda: None, "stock": ASGIHandler}


@pytest.fixture(params=APPLICATIONS)
def clients(request):
    """Return Django's client and ours, and drive Onehop or stock Django with the latter."""

    def make(**keywords):
        return Client(**keywords), HopClient(application=APPLICATIONS[request.param](), **keywords)

    return make


def content(response):
    return b"".join(response.streaming_content) if response.streaming else response.content


def cookies(one):
    """Return the cookies of a response or client, but for the second in which they were set."""
    return re.sub(r"expires=[^;]+GMT", "expires=…", one.cookies.output())


def seen(response):
    """Return all that a test can see of a response."""
    try:
        match = response.resolver_match.func.__name__
    except Resolver404:
        match = None
    return {
        "status": response.status_code,
        "reason": response.reason_phrase,
        "headers": dict(response.items()),
        "cookies": cookies(response),
        "streaming": response.streaming,
        "content": content(response),
        "templates": [template.name for template in response.templates],
        "name": response.context and response.context.get("name"),
        "match": match,
        "chain": getattr(response, "redirect_chain", None),
        "url": getattr(response, "url", None),
        "request": {key: value for key, value in response.request.items() if key != "wsgi.input"},
        "method": response.wsgi_request.method,
        "path": response.wsgi_request.path,
        "exc_info": response.exc_info,
        "charset": response.charset,
        "closed": response.streaming or response.closed,
    }


@pytest.mark.parametrize("send", REQUESTS.values(), ids=REQUESTS)
def test_answers_are_the_same(clients, send):
    """Status, headers, cookies, body, templates, context and the rest are those that Django's client shows."""
    djangos, ours = clients()

    expected = seen(send(djangos))

    assert seen(send(ours)) == expected
    assert cookies(ours) == cookies(djangos)


def test_json_and_text(clients):
    """The body is read as JSON, and as text."""
    for client in clients():
        response = client.get("/aecho/", {"q": "ä"})
        assert response.json()["get"] == {"q": ["ä"]}
        assert '"q"' in response.text


def test_an_async_stream_is_the_same_bytes(clients):
    """What Django's client gives as an async iterator, ours gives as bytes."""
    _, ours = clients()

    response = ours.get("/async-stream/")

    assert (response.streaming, response.getvalue()) == (True, "one zwölf three".encode())


def test_a_stream_without_items_is_empty(clients):
    """No item, no body."""
    _, ours = clients()

    assert ours.get("/no-items/").getvalue() == b""


def test_a_redirect_loop_is_told(clients):
    """Our client follows no loop."""
    for client in clients():
        with pytest.raises(RedirectCycleError):
            client.get("/loop/", follow=True)


def test_a_session_lasts(clients):
    """The session cookie comes back, and ``client.session`` is what the view wrote."""
    for client in clients():
        assert [client.get("/counter/").content for _ in range(3)] == [b"1", b"2", b"3"]
        assert client.session["count"] == 3


@pytest.mark.parametrize("url", ["/whoami/", "/awhoami/"])
def test_login(clients, url):
    """``login``, ``force_login`` and ``logout`` work as with Django's client."""
    zoe = get_user_model().objects.create_user("Zoë", password="secret")
    for client in clients():
        answers = [client.get(url).text]
        assert not client.login(username="Zoë", password="wrong")
        assert client.login(username="Zoë", password="secret")
        response = client.get(url)
        answers.append(response.text)
        assert response.wsgi_request.user == zoe
        client.logout()
        answers.append(client.get(url).text)
        client.force_login(zoe)
        answers.append(client.get(url).text)
        assert answers == ["nobody", "Zoë", "nobody", "Zoë"]


@pytest.mark.parametrize("url", ["/broken/", "/abroken/"])
def test_an_exception_of_a_view_is_raised(clients, url):
    """The test sees the exception itself; the next request is not troubled by it."""
    for client in clients():
        with pytest.raises(ValueError, match="broken"):
            client.get(url)
        assert client.get("/hello/").status_code == 200


@pytest.mark.parametrize("url", ["/broken/", "/abroken/"])
@pytest.mark.parametrize("stream", [False, True])
def test_the_page_of_an_error(clients, url, stream):
    """Without ``raise_request_exception`` the test sees the page, and the exception beside it."""
    djangos, ours = clients(raise_request_exception=False)
    expected, response = djangos.get(url), ours.get(url, stream=stream)

    assert (response.status_code, response.content) == (expected.status_code, expected.content)
    assert str(response.exc_info[1]) == str(expected.exc_info[1]) == "broken"


@pytest.mark.parametrize("secure", [False, True])
def test_csrf_is_checked_only_if_that_is_wanted(clients, secure):
    """A form without a token is taken, unless ``enforce_csrf_checks``; then it needs one, as with Django's client."""
    for client in clients():
        assert client.post("/echo/", {"a": "1"}, secure=secure).status_code == 200
    for client in clients(enforce_csrf_checks=True):
        assert client.post("/echo/", {"a": "1"}, secure=secure).status_code == 403
        token = client.get("/token/", secure=secure).text
        headers = {"X-CSRFToken": token, "Referer": "https://testserver/"}
        assert client.post("/echo/", {"a": "1"}, secure=secure, headers=headers).status_code == 200


def test_client_wide_headers(clients):
    """``headers`` and keywords of the client go with every request."""
    for client in clients(headers={"X-One": "1"}, HTTP_X_TWO="2"):
        answer = client.get("/echo/").json()
        assert (answer["headers"]["X-One"], answer["headers"]["X-Two"]) == ("1", "2")


def test_what_a_scope_cannot_carry_is_refused():
    """Nothing that a test sends is lost in silence."""
    with pytest.raises(TypeError, match="'REMOTE_USER' cannot be sent"):
        HopClient().get("/echo/", REMOTE_USER="zoe")


def test_the_scope_is_that_of_a_server():
    """Types and encodings are those of the ASGI specification."""
    scopes = []

    async def application(scope, receive, send):
        scopes.append(scope)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-a", b"1"), (b"X-A", b"2")]})
        await send({"type": "http.response.body"})

    client = HopClient(application=application)
    response = client.get("/a%2Fb/ü/?q=%20ü", secure=True, REMOTE_PORT="9", SCRIPT_NAME="/app")

    assert scopes == [
        {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "https",
            "path": "/app/a/b/ü/",
            "raw_path": b"/app/a%2Fb/%C3%BC/",
            "query_string": "q=%20ü".encode(),
            "root_path": "/app",
            "headers": [(b"host", b"testserver")],
            "client": ("127.0.0.1", 9),
            "server": ("testserver", 443),
        }
    ]
    assert (response.headers["X-A"], response.content, response.wsgi_request) == ("1, 2", b"", None)
    assert RequestFactory().get("/").META["SERVER_NAME"] == "testserver"
