"""Life cycle, disconnects, streams and bodies: the bugs 1 to 26 that no test elsewhere is named after."""

import asyncio
import io
import socket
import threading
import time
from contextlib import asynccontextmanager
from sqlite3 import ProgrammingError
from wsgiref.handlers import SimpleHandler
from wsgiref.util import FileWrapper

import pytest
import uvicorn
from django.contrib.auth.models import User
from django.core.signals import request_finished
from django.db import connection
from django.http import FileResponse, HttpResponse, StreamingHttpResponse

from onehop.run.threads import pool
from tests import asgi
from tests.run.drive import run, until
from tests.run.stacks import paths
from tests.run.test_body import BOTH
from tests.run.test_messages import make_view, modes, outcome_of
from tests.wsgi.drive import application_of as wsgi_application_of
from tests.wsgi.drive import environ_of


class Connections:
    """An async pool of connections: giving one back waits for the database, as a roll-back does."""

    def __init__(self):
        self.in_use = self.lent = self.interrupted = 0

    @asynccontextmanager
    async def connection(self):
        self.in_use += 1
        self.lent += 1
        try:
            yield
        except asyncio.CancelledError:
            self.interrupted += 1
            raise
        finally:
            for _ in range(5):
                await asyncio.sleep(0)
            self.in_use -= 1


@pytest.mark.parametrize("stack", [[], ["hybrid"], ["DeclaredClassic"], ["Classic"]], ids="-".join)
@pytest.mark.parametrize("kind", ["view", "stream"])
def test_bug_7_clean_up_that_waits_is_not_interrupted(site, kind, stack):
    """
    gunicorn #3484: every client leaves while its view holds a connection; all are given back.

    The view is cancelled once, not again while it gives the connection back.
    """
    database = Connections()

    async def hold():
        async with database.connection():
            yield b"."
            await asyncio.Event().wait()

    async def view(request):
        if kind == "view":
            async for _ in hold():
                pass
        return StreamingHttpResponse(hold())

    application = site(view, paths(*stack))

    async def main():
        leave = asyncio.Event()
        clients = [asyncio.create_task(asgi.request(application, disconnect=leave)) for _ in range(20)]
        await until(lambda: database.in_use == 20)
        await asyncio.sleep(0.01)
        leave.set()
        await asyncio.gather(*clients)
        await until(lambda: not database.in_use)

    run(main())

    assert (database.lent, database.interrupted) == (20, 20)


GRACE_S = 1


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_bug_9_a_server_ends_in_its_grace_with_endless_streams_open(site, connect, kind):
    """
    uvicorn #451 and #2829: twenty clients read endless streams when the server is told to end.

    It ends in its grace; each iterator is closed, and each request finished.
    """
    closed, finished = [], []

    def items():
        try:
            while True:
                yield b"."
                time.sleep(0.01)
        finally:
            closed.append("sync")

    async def async_items():
        try:
            while True:
                yield b"."
                await asyncio.sleep(0.01)
        finally:
            closed.append("async")

    def finish(**_):
        finished.append(True)

    connect(request_finished, finish)
    application = site(lambda request: StreamingHttpResponse({"sync": items, "async": async_items}[kind]()))
    config = uvicorn.Config(
        application, port=0, lifespan="off", log_level="critical", timeout_graceful_shutdown=GRACE_S
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    clients = []
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        for _ in range(20):
            clients.append(socket.create_connection(server.servers[0].sockets[0].getsockname(), 10))
            clients[-1].sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert all(client.recv(1) for client in clients)
        server.should_exit = True
        thread.join(GRACE_S + 5)
        has_ended = not thread.is_alive()
    finally:
        server.force_exit = server.should_exit = True
        for client in clients:
            client.close()
        thread.join(10)

    assert has_ended
    deadline = time.monotonic() + 5  # a thread may still be closing
    while len(finished) < 20 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert (len(closed), len(finished)) == (20, 20)


class ClientDisconnected(OSError):
    """What the sending of some servers raises when the client has gone; others drop the message."""


@pytest.mark.parametrize("style", ["raises", "drops"])
@pytest.mark.parametrize("kind", ["plain", "sync stream", "async stream"])
@modes
def test_bug_10_both_ways_of_sending_to_nobody_are_closed_once(site, connect, mode, kind, style):
    """
    uvicorn #2218, #2220, #2276 and #2513: the client leaves while the response is being sent.

    Whether ``send`` raises from then on or drops what it is given, iterator, response and request are closed once.
    """
    log = []

    class Noted:
        def close(self):
            log.append("closed")
            super().close()

    plain, stream = type("Plain", (Noted, HttpResponse), {}), type("Stream", (Noted, StreamingHttpResponse), {})

    def items():
        try:
            while True:
                yield b"."
                time.sleep(0.001)
        finally:
            log.append("iterator")

    async def async_items():
        try:
            while True:
                yield b"."
                await asyncio.sleep(0.001)
        finally:
            log.append("iterator")

    made = {
        "plain": lambda request: plain("ok"),
        "sync stream": lambda request: stream(items()),
        "async stream": lambda request: stream(async_items()),
    }
    connect(request_finished, lambda **_: log.append("finished"), weak=False)
    application = site(make_view(mode, made[kind]), [])

    async def main():
        leave = asyncio.Event()

        async def send(message):
            if leave.is_set() and style == "raises":
                raise ClientDisconnected
            if kind == "plain" or message["type"] == "http.response.body":
                leave.set()
            await asyncio.sleep(0)

        await asgi.request(application, disconnect=leave, send=send)

    try:
        run(main())
    except ClientDisconnected:
        assert style == "raises"

    assert sorted(log[:-1]) == ["closed"] + ["iterator"] * (kind != "plain")
    assert log[-1] == "finished"


BOUNDARY = b"--b\r\nContent-Disposition: form-data; name=a\r\n\r\n%b\r\n--b--\r\n"
BODIES = {
    "raw": (b"text/plain", lambda size: b"x" * size),
    "form": (b"application/x-www-form-urlencoded", lambda size: b"a=" + b"x" * size),
    "multipart": (b"multipart/form-data; boundary=b", lambda size: BOUNDARY % (b"x" * size)),
}


@pytest.mark.parametrize("length", [None, b"10", b"0"], ids=["none", "ten", "zero"])
@pytest.mark.parametrize("kind", BODIES)
@modes
def test_bug_16_a_false_content_length_does_not_get_past_a_limit(site, mode, kind, length):
    """
    CVE-2026-33034 and CVE-2026-5766: a body over ``DATA_UPLOAD_MAX_MEMORY_SIZE`` whose header is missing, or lies.

    The view never sees more than the limit; without one it is answered. Stock Django answers the same.
    """

    def view(request):
        return HttpResponse(b"%d" % len(request.body if kind == "raw" else request.POST.get("a", "")))

    content_type, body_of = BODIES[kind]
    scope = {
        **asgi.scope_of(method="POST"),
        "headers": [
            (b"host", b"testserver"),
            (b"content-type", content_type),
            *([] if length is None else [(b"content-length", length)]),
        ],
    }

    def answer_of(stock, limit):
        application = site(make_view(mode, view), [], stock=stock, DATA_UPLOAD_MAX_MEMORY_SIZE=limit)
        (start, body), *_ = outcome_of(application, scope, [{"type": "http.request", "body": body_of(300)}])
        return start["status"], body["body"]

    limited, unlimited = answer_of(False, 200), answer_of(False, None)

    assert (limited, unlimited) == (answer_of(True, 200), answer_of(True, None))
    assert limited[0] in (400, 413) or limited == (200, b"0")
    assert unlimited[0] == 200


def test_bug_18_a_header_with_underscores_does_not_pass_for_another(site):
    """CVE-2026-3902: ``X_Forwarded_For`` is not what a proxy writes into ``X-Forwarded-For``."""

    def view(request):
        return HttpResponse(request.META.get("HTTP_X_FORWARDED_FOR", "nothing"))

    def answers(*names):
        headers = [(name, b"value of " + name) for name in names]
        return [asgi.get(site(view, stock=stock), headers=headers).body for stock in (False, True)]

    assert answers(b"x_forwarded_for") == [b"nothing"] * 2
    assert answers(b"x-forwarded-for", b"x_forwarded_for") == [b"value of x-forwarded-for"] * 2


@modes
def test_bug_19_a_sync_iterator_may_query_the_database(site, database, mode):
    """
    Django #33735 and #32798: an iterator over a query set, made by a sync or an async view.

    It needs no ``sync_to_async``, is advanced on one thread only, and its connection is closed behind it.
    """
    names = [f"user {number}" for number in range(5)]
    User.objects.bulk_create(User(username=name) for name in names)
    used = []

    def rows():
        for user in User.objects.order_by("pk").iterator(chunk_size=1):
            used.append((threading.get_ident(), connection.connection))
            yield f"{user.username}\n"

    application = site(make_view(mode, lambda request: StreamingHttpResponse(rows())), [])
    try:
        answer = asgi.get(application)
        assert pool.drain(5)
    finally:
        User.objects.all().delete()
        connection.close()

    assert answer.body.decode().splitlines() == names
    assert len(set(used)) == 1 and used[0][0] != threading.get_ident()
    with pytest.raises(ProgrammingError, match="closed database"):
        used[0][1].execute("SELECT 1")


@BOTH
@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
@pytest.mark.parametrize("items", ["sync", "async"])
@modes
def test_bug_21_a_stream_is_sent_then_closed_then_finished(site, connect, mode, items, stock):
    """Django #34342: the last byte is sent before anything closes, and ``request_finished`` is last."""
    log = []

    def rows():
        yield b"one"
        yield b"two"
        log.append("iterated")

    async def async_rows():
        for row in rows():
            yield row

    class Closer:
        def close(self):
            log.append("closed")

    def view(request):
        response = StreamingHttpResponse({"sync": rows, "async": async_rows}[items]())
        response._resource_closers.append(Closer().close)
        return response

    async def send(message):
        if message["type"] == "http.response.body" and not message.get("more_body"):
            log.append("sent")

    def finish(**_):
        log.append("finished")

    connect(request_finished, finish)

    assert asgi.get(site(make_view(mode, view), stock=stock), send=send).body == b"onetwo"
    assert log == ["iterated", "sent", "closed", "finished"]


@BOTH
@modes
def test_bug_22_a_file_wrapper_closes_its_response(connect, mode, stock):
    """Django #31240, #30565 and #29069: the server's ``wsgi.file_wrapper`` sends the file, and closes the response."""
    log, file, sent = [], io.BytesIO(b"content"), io.BytesIO()

    class Noted(FileResponse):
        def close(self):
            log.append("closed")
            super().close()

    class Wrapper(FileWrapper):
        def __init__(self, *arguments):
            log.append("wrapped")
            super().__init__(*arguments)

    def finish(**_):
        log.append("finished")

    connect(request_finished, finish)
    application, overridden = wsgi_application_of(make_view(mode, lambda request: Noted(file)), stock=stock)
    environ = environ_of(SERVER_PROTOCOL="HTTP/1.0")
    del environ["wsgi.file_wrapper"]
    server = SimpleHandler(io.BytesIO(), sent, io.StringIO(), environ)
    server.wsgi_file_wrapper = Wrapper
    with overridden:
        server.run(application)

    assert sent.getvalue().endswith(b"\r\n\r\ncontent")
    assert (log, file.closed) == (["wrapped", "closed", "finished"], True)
