"""What Django's ``Client`` cannot show: hops, messages, streams as they arrive, and clients that hang up."""

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from asgiref.sync import SyncToAsync, async_to_sync, sync_to_async
from django.contrib.auth.models import Group
from django.core.handlers.asgi import ASGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, connection
from django.http import HttpResponse
from django.test import TestCase, override_settings
from django.urls import path
from django.utils import translation
from greenlet import greenlet

from onehop.asgi import get_asgi_application
from onehop.handler import OnehopASGIHandler
from onehop.testing import HopClient
from tests.project.recorder import record

START, BODY = "http.response.start", "http.response.body"


@pytest.fixture
def client():
    return HopClient()


@pytest.fixture
def finished():
    """Record every ``request_finished``."""
    count = []

    def receiver(**_):
        count.append(1)

    request_finished.connect(receiver)
    yield count
    request_finished.disconnect(receiver)


@pytest.fixture(scope="module")
def stock():
    return ASGIHandler()


# Hops


@pytest.mark.parametrize(("url", "hops"), [("/hello/", 0), ("/sync-hello/", 1), ("/not-found/", 1)])
def test_hops_are_those_that_are_promised(client, url, hops):
    """Behind the default stack, an async view makes no hop, a sync view and an error page make one."""
    client.get(url)  # the first request of a process may hop to import something

    assert client.get(url).hops == hops


def test_stock_django_makes_more_hops(stock, client):
    """The same client counts those of stock Django."""
    assert HopClient(application=stock).get("/hello/").hops > 3 + client.get("/hello/").hops


def test_a_receiver_that_is_not_djangos_costs_a_hop(client, finished):
    """A closing that a server would wait for, too, is counted."""
    client.get("/hello/")

    assert (client.get("/hello/").hops, len(finished)) == (1, 2)


def test_only_ones_own_hops_count(client):
    """Other threads hop at the same time; what they do is theirs."""
    client.get("/sync-hello/")
    stop = threading.Event()
    rounds = []

    def hop_on():
        while not stop.is_set():
            async_to_sync(sync_to_async(int))()
            rounds.append(1)

    threads = [threading.Thread(target=hop_on) for _ in range(2)]
    for thread in threads:
        thread.start()
    before = len(rounds)
    hops = {client.get("/sync-hello/").hops for _ in range(20)}
    during = len(rounds) - before
    stop.set()
    for thread in threads:
        thread.join()

    assert (hops, during > 0) == ({1}, True)


def test_two_clients_in_two_threads_count_apart(stock):
    """Requests that are open at the same time have a count each."""
    clients = [HopClient(), HopClient(application=stock)]
    alone = [[client.get("/hello/").hops for _ in range(2)][1] for client in clients]
    found = [[], []]

    def ask(client, hops):
        hops += [client.get("/hello/").hops for _ in range(20)]

    threads = [threading.Thread(target=ask, args=pair) for pair in zip(clients, found, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == [[alone[0]] * 20, [alone[1]] * 20]


def test_what_is_a_hop():
    """Bridge calls count, both ways; pool hops and the handing over of a stream do not."""

    async def nothing():
        pass

    async def application(scope, receive, send):
        await sync_to_async(int, thread_sensitive=False)()
        await sync_to_async(async_to_sync(nothing))()
        await send({"type": START, "status": 200})
        await send({"type": BODY, "body": b"one", "more_body": True})
        await send({"type": BODY, "body": b"two"})

    client = HopClient(application=application)
    response = client.get("/", stream=True)

    assert (client.get("/").hops, response.hops) == (2, 2)
    assert (list(response.streaming_content), response.hops) == ([b"one", b"two"], 2)


def test_nothing_stays_patched(client):
    """After a request asgiref and the signals are as before, also after one that failed."""

    def state():
        receivers = [[close_old_connections in [entry[1]() for entry in signal.receivers if callable(entry[1])]]
                     for signal in (request_started, request_finished)]  # fmt: skip
        return SyncToAsync.__call__, receivers

    before = state()
    client.get("/hello/")
    with pytest.raises(ValueError, match="broken"):
        client.get("/broken/")
    with client.get("/events/", stream=True):
        assert state() != before

    assert state() == before
    assert state()[1] == [[True], [True]]


def test_messages(client):
    """The messages are those of the application, in order."""
    response = client.get("/async-stream/")

    assert [(message["type"], message.get("body")) for message in response.messages] == [
        (START, None),
        (BODY, b"one "),
        (BODY, "zwölf ".encode()),
        (BODY, b"three"),
        (BODY, None),
    ]
    assert not response.disconnected


# The thread and the transaction of the test


class TransactionTests(TestCase):
    """Inside a ``TestCase``, views see its rows, and it sees theirs."""

    client_class = HopClient

    @classmethod
    def setUpTestData(cls):
        Group.objects.create(name="of the class")

    def test_sync_and_async_views_see_the_rows_of_the_transaction(self):
        Group.objects.create(name="of the test")

        assert connection.in_atomic_block
        for url in ("/groups/", "/agroups/"):
            assert self.client.get(url).json() == ["of the class", "of the test"]

    def test_the_test_sees_the_rows_of_an_async_view(self):
        assert self.client.get("/make-group/").status_code == 201

        self.assertQuerySetEqual(Group.objects.order_by("pk"), ["of the class", "made by the view"], transform=str)

    def test_views_run_on_the_thread_of_the_test(self):
        assert self.client.get("/thread/").json() == [threading.get_ident(), True]

    def test_queries_are_counted(self):
        with self.assertNumQueries(1):
            self.client.get("/agroups/")

    def test_a_stream_reads_on_the_thread_of_the_test(self):
        with self.client.get("/sync-events/", stream=True) as response:
            assert list(response.streaming_content) == [b"first 1", b"second 1"]

    def test_assertions_of_django_take_the_responses(self):
        self.assertContains(self.client.get("/page/"), "wörld")
        self.assertTemplateUsed(self.client.get("/page/"), "hello.html")
        self.assertRedirects(self.client.get("/chain/0/"), "/hello/")
        self.assertContains(self.client.get("/async-stream/"), "zwölf")


@pytest.mark.parametrize("url", ["/groups/", "/agroups/"])
def test_no_request_closes_the_connection_of_the_test(client, monkeypatch, url):
    """``close_old_connections`` leaves it alone, as with Django's clients."""
    looked_at = []
    monkeypatch.setattr(connection, "close_if_unusable_or_obsolete", lambda: looked_at.append(1))

    client.get(url)
    assert looked_at == []

    close_old_connections()
    assert looked_at == [1]


def test_a_loop_in_another_thread_is_no_trouble(client):
    """The client is called while a loop runs elsewhere, and from a thread of that loop."""

    async def ask():
        return await sync_to_async(client.get, thread_sensitive=False)("/sync-hello/")

    assert asyncio.run(ask()).content == b"hello"


def test_on_a_loop_the_error_names_the_other_client(client):
    """The error says what to use."""

    async def ask():
        client.get("/hello/")

    with pytest.raises(RuntimeError, match="use AsyncHopClient"):
        asyncio.run(ask())


@pytest.mark.parametrize("stream", [False, True])
def test_the_context_of_the_test_is_seen_and_stays_its_own(client, stream):
    """A view sees the language of the test; the one that it activates is over with its request, as on a server."""

    def view(request):
        seen = translation.get_language()
        translation.activate("de")
        return HttpResponse(seen)

    with override_settings(ROOT_URLCONF=(path("", view),)), translation.override("fr"):
        assert client.get("/", stream=stream).getvalue() == b"fr"
        assert translation.get_language() == "fr"


# Streams


def test_two_events_of_an_endless_stream(client, finished):
    """Events are read as they arrive; leaving closes the request once."""
    record.clear()
    with client.get("/events/", stream=True) as response:
        assert (response.status_code, response["Content-Type"]) == (200, "text/event-stream")
        assert [next(response.streaming_content) for _ in range(2)] == [b"data: 1\n\n", b"data: 2\n\n"]
        assert (finished, record, response.closed) == ([], [], False)

    assert (finished, response.disconnected, response.closed) == ([1], True, True)
    assert record in (["CancelledError"], ["GeneratorExit"])
    assert [message["type"] for message in response.messages] == [START, BODY, BODY]
    assert list(response.streaming_content) == []


def test_the_application_waits_for_its_reader(client):
    """``send`` does not return before the test reads on."""
    with client.get("/events/", stream=True) as response:
        next(response.streaming_content)
        time.sleep(0.02)

        assert len(response.messages) == 2


def test_a_stream_may_be_read_in_a_greenlet(client):
    """Each event arrives where it was asked for."""
    with client.get("/events/", stream=True) as response:
        assert greenlet(lambda: [next(response.streaming_content)]).switch() == [b"data: 1\n\n"]


def test_the_head_of_a_stream(client, finished):
    """HEAD gets no body, even of an endless stream."""
    with client.head("/events/", stream=True) as response:
        assert response.status_code == 200

    assert (list(response.streaming_content), finished) == ([], [1])


def test_leaving_ends_a_stream_that_never_waits(client):
    """A generator that never awaits anything is left all the same."""
    with client.get("/quick-events/", stream=True) as response:
        assert next(response.streaming_content) == b"x"

    assert response.disconnected


def test_a_stream_read_to_its_end_is_complete(client, finished):
    """The end of the iterator is the end of the request; nothing is left to close."""
    response = client.get("/async-stream/", stream=True)

    assert list(response) == [b"one ", "zwölf ".encode(), b"three"]
    assert (finished, response.disconnected) == ([1], False)
    response.close()
    assert (finished, response.disconnected) == ([1], False)


def test_a_stream_thrown_away_is_left(client, finished):
    """Without ``close``, the client hangs up when nobody has the response any longer."""
    response = client.get("/events/", stream=True)
    next(response.streaming_content)

    del response
    gc.collect()

    assert finished == [1]


def test_another_request_while_a_stream_is_open(client):
    """A stream does not keep the client from its other requests, nor from other streams."""
    first, second = client.get("/events/", stream=True), client.get("/events/", stream=True)
    events = [next(first.streaming_content), next(second.streaming_content)]
    assert client.get("/sync-hello/").content == b"hello"
    events.append(next(first.streaming_content))
    first.close()
    events += [next(second.streaming_content), next(second.streaming_content)]
    second.close()

    assert events == [b"data: 1\n\n", b"data: 1\n\n", b"data: 2\n\n", b"data: 2\n\n", b"data: 3\n\n"]


def test_an_error_in_a_stream_is_raised_where_it_is_read(client):
    """What was sent before it is read first."""
    response = client.get("/fails-later/", stream=True)

    assert next(response.streaming_content) == b"one"
    with pytest.raises(ValueError, match="too late"):
        next(response.streaming_content)


def test_an_error_before_a_stream_is_raised_at_once(client, finished):
    """A view that fails leaves no stream open."""
    with pytest.raises(ValueError, match="broken"):
        client.get("/abroken/", stream=True)

    assert finished == [1]


def test_a_stream_behind_a_redirect(client, finished):
    """The redirect itself is closed, the last response is streamed."""
    with client.get("/chain/0/", stream=True, follow=True) as response:
        assert (response.redirect_chain, b"".join(response)) == ([("/hello/", 302)], b"hello")

    assert finished == [1, 1]


# Disconnects


@pytest.mark.parametrize("application", ["onehop", "stock"])
def test_a_disconnect_before_the_response(application, stock, finished):
    """The view is cancelled once, the request is finished once, and the client has got nothing."""
    record.clear()
    started = time.monotonic()

    client = HopClient(application=stock if application == "stock" else None)
    response = client.get("/sleepy/", disconnect_after=0.3)

    assert (record, finished) == (["cancelled"], [1])
    assert (response.status_code, response.messages, response.content) == (499, [], b"")
    assert response.disconnected
    assert time.monotonic() - started < 10


def test_a_disconnect_in_the_middle(client):
    """The response tells what had been sent until then."""
    response = client.get("/events/", disconnect_after=0.5)

    assert (response.status_code, response.disconnected) == (200, True)
    assert response.content.startswith(b"data: 1\n\n")


def test_a_disconnect_while_a_stream_is_read(client, finished):
    """The iterator ends when the client's time is over."""
    response = client.get("/events/", stream=True, disconnect_after=0.5)

    assert next(iter(list(response))) == b"data: 1\n\n"
    assert (response.disconnected, finished) == (True, [1])


def test_a_disconnect_that_comes_too_late(client):
    """A response that is complete by then is an ordinary one."""
    response = client.get("/hello/", disconnect_after=20)

    assert (response.content, response.disconnected) == (b"hello", False)


def test_what_is_sent_to_a_client_that_has_gone():
    """It is lost, and the application is not troubled."""
    ended = []

    async def application(scope, receive, send):
        await receive()
        await send({"type": START, "status": 200})
        await receive()
        await send({"type": BODY, "body": b"late"})
        ended.append(1)

    response = HopClient(application=application).get("/", disconnect_after=0.1)

    assert ([message["type"] for message in response.messages], response.content, ended) == ([START], b"", [1])


def test_a_response_can_be_closed_twice_without_a_signal(client, finished):
    """``close`` of a response sends nothing: the application has."""
    response = client.get("/hello/")
    response.close()
    response.close()

    assert finished == [1]


# Applications


def nested(application):
    async def outer(scope, receive, send):
        await application(dict(scope), receive, send)

    return {"http": outer}


def test_a_foreign_application_around_djangos(finished):
    """The request of a Django handler deep inside is found: CSRF, user and URLconf are those of a direct one."""
    inside = nested(get_asgi_application())

    async def router(scope, receive, send):
        await inside[scope["type"]](scope, receive, send)

    response = HopClient(application=router).post("/echo/", {"a": "1"})

    assert (response.json()["post"], response.wsgi_request.method) == ({"a": ["1"]}, "POST")
    assert HopClient(enforce_csrf_checks=True, application=router).post("/echo/").status_code == 403


def test_an_application_that_forgets_to_answer():
    """A response that is not complete is an error of the application."""

    async def silent(scope, receive, send):
        pass

    with pytest.raises(RuntimeError, match="returned before its response was complete"):
        HopClient(application=silent).get("/")


def test_an_application_that_answers_twice():
    """A message after the end is an error of the application."""

    async def twice(scope, receive, send):
        for _ in range(2):
            await send({"type": START, "status": 200})
            await send({"type": BODY})

    with pytest.raises(RuntimeError, match=r"http\.response\.start was sent after the response was complete"):
        HopClient(application=twice).get("/")


def test_other_messages_are_no_head():
    """Whatever an application sends before the head, a stream begins with the head."""

    async def application(scope, receive, send):
        await send({"type": "http.response.debug", "info": {}})
        await send({"type": START, "status": 201})
        await send({"type": BODY, "body": b"done"})

    with HopClient(application=application).get("/", stream=True) as response:
        assert (response.status_code, response.getvalue()) == (201, b"done")


def test_an_application_may_use_its_receive():
    """The body comes first, then the disconnect: when the response is complete."""
    received = []

    async def application(scope, receive, send):
        received.append(await receive())
        await send({"type": START, "status": 200})
        await send({"type": BODY, "body": b"done"})
        received.append(await receive())

    response = HopClient(application=application).post("/", "text", content_type="text/plain")

    assert response.content == b"done"
    assert received == [{"type": "http.request", "body": b"text", "more_body": False}, {"type": "http.disconnect"}]


named_calls = []


async def named_application(scope, receive, send):
    named_calls.append(scope["path"])
    await send({"type": START, "status": 200})
    await send({"type": BODY, "body": b"named"})


@override_settings(ASGI_APPLICATION=f"{__name__}.named_application")
def test_the_application_that_the_settings_name():
    """``ASGI_APPLICATION`` comes first."""
    assert HopClient().get("/x/").content == b"named"


@override_settings(ASGI_APPLICATION="nowhere.asgi.application")
def test_an_application_that_cannot_be_imported():
    """Without it, Onehop's is driven."""
    assert HopClient().get("/hello/").content == b"hello"


def test_the_default_application_is_made_once_and_again_for_other_settings(client):
    """Clients share it, until a setting changes."""
    client.get("/hello/")
    other = HopClient()
    other.get("/hello/")
    assert other.handler.application is client.handler.application
    assert type(client.handler.application) is OnehopASGIHandler

    with override_settings(MIDDLEWARE=[]):
        assert "X-Frame-Options" not in HopClient().get("/hello/")

    assert "X-Frame-Options" in HopClient().get("/hello/")


handler = None


@pytest.fixture
def named_handler(monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "handler", get_asgi_application())


def test_a_handler_that_the_settings_name_follows_middleware(named_handler):
    """It was made when it was imported; a test may override MIDDLEWARE later."""
    with override_settings(ASGI_APPLICATION=f"{__name__}.handler"):
        assert "X-Frame-Options" in HopClient().get("/hello/")
        with override_settings(MIDDLEWARE=[]):
            assert "X-Frame-Options" not in HopClient().get("/hello/")
        assert "X-Frame-Options" in HopClient().get("/hello/")


def test_making_the_application_leaves_logging_alone(monkeypatch):
    """``django.setup`` would set it up again, under the hands of a test that asserts logs."""

    def configure_logging(*_):
        raise AssertionError("logging was set up again")

    monkeypatch.setattr("django.utils.log.configure_logging", configure_logging)
    with override_settings(USE_THOUSAND_SEPARATOR=True):
        assert HopClient().get("/hello/").content == b"hello"


def test_a_disabled_onehop_is_stock_django(monkeypatch):
    """The client drives what a server would."""
    monkeypatch.setenv("ONEHOP_DISABLE", "1")
    with override_settings(USE_THOUSAND_SEPARATOR=True):
        client = HopClient()
        client.get("/hello/")

    assert type(client.handler.application) is ASGIHandler


def test_a_stream_that_nobody_leaves_does_not_keep_the_process():
    """A failed test may hold its response until the interpreter ends."""
    program = """
        import django
        django.setup()
        from onehop.testing import HopClient
        response = HopClient(SERVER_NAME="localhost").get("/async/", stream=True)
        print(response.closed)
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=25,
        check=True,
        env={"DJANGO_SETTINGS_MODULE": "tests.project.settings", "PYTHONPATH": os.pathsep.join(sys.path)},
    )

    assert (done.stdout, done.stderr) == ("False\n", "")


def test_no_lifespan_and_no_thread_is_left():
    """A process that has used the client ends by itself, and has no thread but its own."""
    program = """
        import gc, threading
        import django
        django.setup()
        from django.test.utils import setup_test_environment
        from onehop.testing import HopClient
        setup_test_environment()
        client = HopClient()
        assert client.get("/sync/").content == b"sync"
        response = client.get("/async/", stream=True)
        assert b"".join(response) == b"async"
        gc.collect()
        for thread in threading.enumerate()[1:]:
            thread.join(5)
        print([thread.name for thread in threading.enumerate()])
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=25,
        check=True,
        env={"DJANGO_SETTINGS_MODULE": "tests.project.settings", "PYTHONPATH": os.pathsep.join(sys.path)},
    )

    assert (done.stdout, done.stderr) == ("['MainThread']\n", "")
