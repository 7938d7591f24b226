"""A body that rolls over to a file is written and parsed off the loop, by Django's own code."""

import asyncio
import threading
from tempfile import SpooledTemporaryFile

import pytest
from django.core.files.uploadhandler import TemporaryFileUploadHandler
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpResponse
from django.views.decorators.csrf import csrf_exempt

from onehop.run import threads
from onehop.run.lease import Lease
from tests.asgi import counting, scope_of
from tests.project.settings import DEFAULT_MIDDLEWARE
from tests.run.drive import Gate, run

LIMIT = 1000
BOTH = pytest.mark.parametrize("stock", [False, True], ids=["onehop", "stock"])


async def post(app, chunks, headers=(), **last):
    """Send a body in pieces; return the messages of the answer."""
    sent = []
    incoming = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    incoming[-1:] = [{**incoming[-1], "more_body": False, **last}] if incoming else [{"type": "http.request"}]

    async def receive():
        if incoming:
            await asyncio.sleep(0)
            return incoming.pop(0)
        return await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    await app(scope_of("/", "POST", headers=headers), receive, send)
    return sent


@pytest.fixture
def writes(monkeypatch):
    """The threads on which a body was written while it was, or became, a file on disk."""
    threads = []
    write, rollover = SpooledTemporaryFile.write, SpooledTemporaryFile.rollover

    def noted_write(self, data):
        if self._rolled:
            threads.append(threading.current_thread())
        return write(self, data)

    def noted_rollover(self):
        threads.append(threading.current_thread())
        rollover(self)

    monkeypatch.setattr(SpooledTemporaryFile, "write", noted_write)
    monkeypatch.setattr(SpooledTemporaryFile, "rollover", noted_rollover)
    return threads


async def echo(request):
    return HttpResponse(request.body)


@pytest.mark.parametrize(
    "chunks",
    [
        [],
        [b""],
        [b"x" * LIMIT],
        [b"x" * (LIMIT + 1)],
        [b"x" * LIMIT, b"y"],
        [b"x" * LIMIT, b"", b"y", b"z" * 3 * LIMIT, b""],
        [b"x" * 7] * LIMIT,
    ],
    ids=["none", "empty", "limit", "over", "over by one", "far over", "a thousand"],
)
@BOTH
def test_body_is_read_as_in_stock(site, stock, chunks):
    messages = run(post(site(echo, [], stock=stock, FILE_UPLOAD_MAX_MEMORY_SIZE=LIMIT), chunks))
    assert messages[0]["status"] == 200
    assert b"".join(message["body"] for message in messages[1:]) == b"".join(chunks)


@pytest.mark.parametrize("chunks", [[b"x" * (LIMIT + 1)], [b"x" * LIMIT, b"y", b"z", b"z"]], ids=["at once", "later"])
def test_bug_15_a_file_is_never_written_on_the_loop(site, writes, chunks):
    run(post(site(echo, [], FILE_UPLOAD_MAX_MEMORY_SIZE=LIMIT), chunks))
    assert writes and threading.main_thread() not in writes


def test_a_body_in_memory_needs_no_thread(site, writes):
    application = site(echo, [], FILE_UPLOAD_MAX_MEMORY_SIZE=LIMIT)
    with counting() as counts:
        run(post(application, [b"x" * 300] * 3))
    assert not counts and not writes


@pytest.mark.parametrize("limit", [0, None, 10**6])
def test_a_limit_that_is_never_reached_needs_no_thread(site, writes, limit):
    application = site(echo, [], FILE_UPLOAD_MAX_MEMORY_SIZE=limit)
    with counting() as counts:
        run(post(application, [b"x" * 3000] * 3))
    assert not counts and not writes


BOUNDARY = b"----form"
FORM = (
    b"--" + BOUNDARY + b'\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n'
    b"Content-Type: text/plain\r\n\r\n" + b"data" * LIMIT + b"\r\n--" + BOUNDARY + b"--\r\n"
)
MULTIPART = [
    (b"content-type", b"multipart/form-data; boundary=" + BOUNDARY),
    (b"content-length", str(len(FORM)).encode()),
]


class Noted(TemporaryFileUploadHandler):
    threads = []

    def receive_data_chunk(self, raw_data, start):
        self.threads.append(threading.current_thread())
        return super().receive_data_chunk(raw_data, start)


def test_a_form_is_parsed_off_the_loop(site, writes, monkeypatch):
    """The default stack reads the form: its CSRF hook asks for the token."""
    monkeypatch.setattr(Noted, "threads", [])

    @csrf_exempt
    def sync_view(request):
        return HttpResponse(request.FILES["file"].read())

    application = site(
        sync_view, DEFAULT_MIDDLEWARE, FILE_UPLOAD_MAX_MEMORY_SIZE=LIMIT, FILE_UPLOAD_HANDLERS=[f"{__name__}.Noted"]
    )
    messages = run(post(application, [FORM[:500], FORM[500:2000], FORM[2000:]], MULTIPART))
    assert messages[1]["body"] == b"data" * LIMIT
    assert Noted.threads and threading.main_thread() not in {*Noted.threads, *writes}


def test_a_form_is_parsed_off_the_loop_for_csrf_before_an_async_view(site, monkeypatch):
    monkeypatch.setattr(Noted, "threads", [])
    application = site(
        echo, DEFAULT_MIDDLEWARE, FILE_UPLOAD_MAX_MEMORY_SIZE=LIMIT, FILE_UPLOAD_HANDLERS=[f"{__name__}.Noted"]
    )
    cookie = (b"cookie", b"csrftoken=" + b"a" * 32)
    messages = run(post(application, [FORM], [*MULTIPART, cookie]))
    assert messages[0]["status"] == 403
    assert Noted.threads and threading.main_thread() not in Noted.threads


def test_a_disconnect_in_the_middle_answers_nothing(site, writes):
    application = site(echo, [], FILE_UPLOAD_MAX_MEMORY_SIZE=LIMIT)
    for before in (0, 1, 3):
        assert run(post(application, [b"x" * LIMIT] * before + [b""], type="http.disconnect", body=None)) == []


@pytest.mark.parametrize("at", [1, 2, 3])
def test_an_error_of_the_server_comes_through(site, at):
    application = site(echo, [], FILE_UPLOAD_MAX_MEMORY_SIZE=LIMIT)

    async def receive():
        nonlocal at
        at -= 1
        if not at:
            raise LookupError("the server failed")
        return {"type": "http.request", "body": b"x" * LIMIT, "more_body": True}

    with pytest.raises(LookupError, match="the server failed"):
        run(application(scope_of("/", "POST"), receive, None))


def test_own_read_body_is_called(site):
    """A handler that reads the body in its own way is not driven by hand."""
    from onehop.handler import OnehopASGIHandler

    class Mine(OnehopASGIHandler):
        async def read_body(self, receive):
            return await ASGIHandler.read_body(self, receive)

    site(echo, [], FILE_UPLOAD_MAX_MEMORY_SIZE=LIMIT)
    messages = run(post(Mine(), [b"x" * LIMIT, b"y"]))
    assert messages[1]["body"] == b"x" * LIMIT + b"y"


def test_an_upload_for_which_no_thread_comes_free_is_refused(site, monkeypatch, pool):
    """With status 503, and its file is closed."""
    monkeypatch.setattr(threads, "WAIT_FOR_ANY_S", 0.05)
    application = site(echo, [], FILE_UPLOAD_MAX_MEMORY_SIZE=LIMIT, ONEHOP={"MAX_REQUEST_THREADS": 1})
    gate = Gate()

    async def main():
        lease = Lease()
        held = asyncio.wrap_future(lease.submit(gate.wait))
        await gate.reached()
        try:
            return await post(application, [b"x" * LIMIT, b"y", b"z"])
        finally:
            gate.open()
            await held
            lease.end()

    assert run(main())[0]["status"] == 503
