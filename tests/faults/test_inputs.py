"""Bad input: the same answer, log and exception as from stock Django, and each request closed."""

import asyncio
import os

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import StreamingHttpResponse
from django.test import override_settings

from onehop.errors import ConfigError
from onehop.handler import OnehopASGIHandler
from onehop.wsgi_handler import OnehopWSGIHandler
from tests import asgi
from tests.faults import site
from tests.faults.faults import Meanwhile, leave
from tests.faults.inputs import (
    ENVIRONS,
    INPUTS,
    OWN_SETTINGS,
    READING,
    Input,
    Site,
    async_view_of,
    scope,
    sync_view_of,
    whole,
)
from tests.faults.judge import tried
from tests.faults.scene import Scene, play, run, told
from tests.wsgi import drive

CHOSEN = INPUTS if os.environ.get("ONEHOP_LONG") else INPUTS[::11]

pytestmark = [
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume synchronous iterators"),
]


@pytest.mark.parametrize("given", CHOSEN, ids=str)
def test_bad_input_is_answered_as_by_stock_django(given):
    """Messages, log records and exceptions are the same; nothing hangs, and the next request is answered."""
    tried(given)


def answer_of(make_handler, view, changes):
    """Send one request with a changed environ; return the answer, or what is raised."""
    with override_settings(**Site(view).settings):
        handler = make_handler()
        environ = drive.environ_of("/", "POST", b"0123456789")
        environ.update(changes)
        environ = {key: value for key, value in environ.items() if value is not None}
        head = []
        try:
            sent = handler(environ, lambda status, headers, *_: head.extend((status, sorted(headers))))
        except Exception as error:
            return told(error)
        try:
            return [*head, b"".join(sent)]
        finally:
            sent.close()


@pytest.mark.parametrize("view", READING)
@pytest.mark.parametrize("name", ENVIRONS)
def test_a_bad_environ_is_answered_as_by_stock_django(name, view, caplog):
    """Under WSGI: status, headers, body or exception, and what is logged."""
    outcomes = []
    for handler in (WSGIHandler, OnehopWSGIHandler):
        caplog.clear()
        answer = answer_of(handler, READING[view], ENVIRONS[name])
        outcomes.append((answer, [(each.name, each.levelname, each.getMessage()) for each in caplog.records]))

    assert outcomes[1] == outcomes[0]


@pytest.mark.parametrize("mistake", OWN_SETTINGS)
def test_a_wrong_setting_of_onehop_is_one_clear_error(mistake):
    """At start-up; the error begins with the setting and its value, and says what may stand there."""
    value, begins = OWN_SETTINGS[mistake]

    with pytest.raises(ConfigError) as raised:
        asgi.onehop_application(MIDDLEWARE=[], ONEHOP=value)

    assert str(raised.value).startswith(begins)
    assert str(raised.value).rstrip().endswith((".", "?"))


@pytest.mark.parametrize("mistake", OWN_SETTINGS)
def test_a_wrong_setting_is_an_error_under_wsgi_too(mistake):
    """No setting is read there that is not checked."""
    value, begins = OWN_SETTINGS[mistake]

    with pytest.raises(ConfigError) as raised:
        drive.application_of(READING["sync_read"], ONEHOP=value)

    assert str(raised.value).startswith(begins)


@pytest.mark.parametrize("view_of", [sync_view_of, async_view_of])
def test_an_endless_stream_ends_when_the_client_leaves(view_of):
    """With one piece sent, and closed, as in stock Django. The plain request behind it gets no item."""

    async def endless():
        while not isinstance(site.scene, site.Nothing):
            await asyncio.sleep(0)
            yield b"more"

    view = view_of(lambda request: StreamingHttpResponse(endless()))
    stock, onehop = (
        play(handler, Scene(Site(view), "send body", fault=Meanwhile(leave), scope=scope(), incoming=whole()))
        for handler in (ASGIHandler, OnehopASGIHandler)
    )

    assert onehop == stock
    assert (onehop["ended"], onehop["closed"], onehop["signals"], onehop["next"]) == ("returned", [True], (1, 1), 200)


@pytest.mark.parametrize("view", READING)
def test_settings_that_change_between_two_requests(view):
    """What Django reads at each request changes, what it reads once does not, and all is as before afterwards."""
    outcomes = []
    for make_handler in (ASGIHandler, OnehopASGIHandler):
        with override_settings(**Site(READING[view]).settings):
            handler = make_handler()
            bodies = [status_and_body(handler)]
            with override_settings(ROOT_URLCONF="tests.project.urls", MIDDLEWARE=[], ALLOWED_HOSTS=[]):
                bodies.append(status_and_body(handler))
            bodies.append(status_and_body(handler))
        outcomes.append(bodies)

    assert outcomes[1] == outcomes[0]
    assert outcomes[1][0] == outcomes[1][2] != outcomes[1][1]


def status_and_body(handler):
    answer = run(asgi.request(handler, "/nowhere"))
    return answer.status, answer.body


@pytest.mark.skipif(not os.environ.get("ONEHOP_LONG"), reason="two files of 1 GB")
@pytest.mark.parametrize("view", ["sync_body", "async_body"])
def test_a_body_of_1_gb_in_pieces(view):
    """Nothing says how long it will be."""
    piece = {"type": "http.request", "body": b"x" * 65_536, "more_body": True}
    chunked = scope(method="POST", headers=[(b"transfer-encoding", b"chunked")])

    tried(Input("body", "1 GB", READING[view], chunked, [piece] * 16_384 + whole(), {}))
