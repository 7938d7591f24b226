"""Real servers: one client for all requests of a process, opened before the first of them and closed at SIGTERM."""

import json

import pytest

from tests.lifespan.commands import DAPHNE, GRANIAN, GUNICORN, HYPERCORN, UVICORN
from tests.process import START_S, wait_until

ASGI, WSGI = "tests.lifespan.asgi:plain", "tests.lifespan.wsgi:application"

SPEAKS = {
    "uvicorn": [*UVICORN, ASGI],
    "hypercorn": [*HYPERCORN, ASGI],
    "granian": [*GRANIAN, "asgi", ASGI],
}
SILENT = {
    "daphne": [*DAPHNE, ASGI],
    "granian without lifespan": [*GRANIAN, "asginl", ASGI],
    "uvicorn without lifespan": [*UVICORN, "--lifespan", "off", ASGI],
    "gunicorn sync": [*GUNICORN, "sync", WSGI],
    "gunicorn preloaded": [*GUNICORN, "gthread", "--threads", "4", "--preload", WSGI],
    "granian for wsgi": [*GRANIAN, "wsgi", WSGI],
}
KILLED_BY_SIGTERM = ["uvicorn without lifespan"]
SERVERS = {
    **{name: (command, {}) for name, command in (SPEAKS | SILENT).items()},
    **{f"{name}, broken": (command, {"LIFESPAN": "broken"}) for name, command in SPEAKS.items()},
    "uvicorn, exits": (SPEAKS["uvicorn"], {"LIFESPAN": "exits"}),
    "daphne, broken": (SILENT["daphne"], {"LIFESPAN": "broken"}),
}
NO_DATABASE, NO_LICENSE = "LookupError: no database", "SystemExit: no license"


@pytest.mark.parametrize("name", [*SPEAKS, *SILENT])
def test_bug_87_one_client_for_all_requests(servers, name):
    server = servers[name].wait()
    if name in SPEAKS:
        wait_until(lambda: server.events == ["entered"], "entering before the first request", START_S)
    else:
        assert server.events == []
    fetched = [server.fetch(path) for path in ("/async/", "/sync/", "/async/")]
    assert [status for status, _, _ in fetched] == [200] * 3
    answers = [json.loads(body) for _, _, body in fetched]
    assert len({answer["client"] for answer in answers}) == 1
    assert len({answer["connection"] for answer in answers}) == 1
    assert [answer["state"] for answer in answers] == [["of this request"]] * 3
    assert server.events == ["entered", *["request"] * 3]
    server.end()
    assert server.events[4:] == ([] if name in KILLED_BY_SIGTERM else ["left"])
    assert "appears unsupported" not in server.log and "Traceback" not in server.log


@pytest.mark.parametrize(
    ("name", "told", "code"),
    [
        ("uvicorn, broken", NO_DATABASE, 3),
        ("uvicorn, exits", NO_LICENSE, 3),
        ("hypercorn, broken", NO_DATABASE, 0),  # it does not look at how its worker has ended
        ("granian, broken", NO_DATABASE, 1),
    ],
)
def test_an_error_at_startup_ends_the_server(servers, name, told, code):
    server = servers[name]
    assert server.wait_for_exit(START_S) == code
    assert "Traceback" in server.log and told in server.log


def test_an_error_at_the_first_request_fails_that_request(servers):
    server = servers["daphne, broken"].wait()
    assert [server.fetch("/plain/")[0] for _ in range(2)] == [500, 500]
    assert server.log.count(NO_DATABASE) == 2
    assert server.events == []
