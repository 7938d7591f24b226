"""Applications around Onehop's: answers are those around stock Django's, and the lifespan is entered once."""

import json
import socket

import pytest
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.test import override_settings
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Request, TextMessage

from tests.asgi import get, onehop_application, stock_application
from tests.lifespan.commands import DAPHNE, UVICORN
from tests.process import PATIENCE_S

ROUTED, MOUNTED = "tests.lifespan.routed:{}_lifespan", "tests.lifespan.mounted:application"
WITH_WEBSOCKETS = [*UVICORN, "--ws", "wsproto"]

SERVERS = {
    "static": ([*UVICORN, "tests.lifespan.asgi:static"], {}),
    "routed": ([*WITH_WEBSOCKETS, ROUTED.format("with")], {}),
    "routed by daphne": ([*DAPHNE, ROUTED.format("without")], {}),
    "mounted": ([*UVICORN, MOUNTED], {"LIFESPAN": ""}),
}
LIFESPAN = {"LIFESPAN": "tests.lifespan.site.lifespan"}
PATHS = [
    ("/plain/?a=1", {}),
    (
        "/plain/",
        {"method": "POST", "body": b"b=2", "headers": [(b"content-type", b"application/x-www-form-urlencoded")]},
    ),
    ("/stream/", {}),
    ("/missing/", {}),
    ("/static/admin/css/base.css", {}),
    ("/static/missing.css", {}),
]


def echoed(server, text):
    """Send a text through a websocket, and return the answer."""
    client = WSConnection(ConnectionType.CLIENT)
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) as connection:

        def ask(event, kind):
            connection.sendall(client.send(event))
            while True:
                for answer in client.events():
                    assert isinstance(answer, kind)
                    return answer
                client.receive_data(connection.recv(4096) or None)

        ask(Request(host="localhost", target="/echo/"), AcceptConnection)
        return ask(TextMessage(text), TextMessage).data


def routed(application):
    from tests.lifespan.routed import routed

    return routed(application)


def mounted(application):
    from tests.lifespan.mounted import mounted

    return mounted(application)


@pytest.fixture(autouse=True)
def site(monkeypatch):
    monkeypatch.delenv("EVENTS", raising=False)
    with override_settings(ROOT_URLCONF="tests.lifespan.site"):
        yield


@pytest.mark.parametrize(
    ("wrap", "prefix"),
    [(ASGIStaticFilesHandler, ""), (routed, ""), (mounted, "/site")],
    ids=["static", "routed", "mounted"],
)
@pytest.mark.parametrize(("path", "keywords"), PATHS, ids=["get", "post", "stream", "404", "file", "no file"])
def test_answers_equal_stock(wrap, prefix, path, keywords):
    stock = get(wrap(stock_application()), prefix + path, **keywords)
    answer = get(wrap(onehop_application(ONEHOP=LIFESPAN)), prefix + path, **keywords)
    assert (answer.status, answer.headers, answer.body) == (stock.status, stock.headers, stock.body)


@pytest.mark.parametrize("name", SERVERS)
def test_one_client_for_all_requests(servers, name):
    server = servers[name].wait()
    assert server.events == ([] if "daphne" in name else ["entered"])
    prefix = "/site" if name == "mounted" else ""
    answers = [json.loads(server.fetch(f"{prefix}{path}")[2]) for path in ("/async/", "/sync/", "/async/")]
    assert len({(answer["client"], answer["connection"]) for answer in answers}) == 1
    if name == "static":
        assert b"--primary" in server.fetch("/static/admin/css/base.css")[2]
    if "routed" in name:  # The state is the server's to give, where it can.
        assert echoed(server, "hello") == ("hello []" if "daphne" in name else "hello ['client']")
    server.end()
    assert server.events == ["entered", *["request"] * 3, "left"]
    assert "appears unsupported" not in server.log and "Traceback" not in server.log
