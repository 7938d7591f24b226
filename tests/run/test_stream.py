"""Streaming: items reach the client when they exist, from one thread, and nothing is read ahead of it."""

# ruff: noqa: SIM115  (a response closes its file)

import asyncio
import contextvars
import gc
import io
import os
import tempfile
import threading
import time
import warnings

import pytest
from asgiref.local import Local
from asgiref.sync import async_to_sync, sync_to_async
from django.core.signals import request_finished
from django.http import FileResponse, HttpResponseNotModified, StreamingHttpResponse
from django.http.response import HttpResponseBase

from onehop.run.stream import Stream
from tests.asgi import get, request
from tests.run.drive import Gate, run, until

AHEAD_BYTES = 65536
BOTH = pytest.mark.parametrize("stock", [False, True], ids=["onehop", "stock"])


def bodies(messages):
    return [message["body"] for message in messages if message.get("body")]


def streams(iterator, **keywords):
    """Return an async view that streams what ``iterator()`` makes."""

    async def view(request):
        return StreamingHttpResponse(iterator(), **keywords)

    return view


class Recorded:
    """An iterator that notes on which thread it is advanced and closed."""

    def __init__(self, count, size=1):
        self.left, self.size = count, size
        self.threads, self.closed_on, self.running = [], [], False

    def __iter__(self):
        return self

    def __next__(self):
        assert not self.running, "advanced while it was running"
        self.running = True
        self.threads.append(threading.current_thread())
        try:
            if not self.left:
                raise StopIteration
            self.left -= 1
            return b"x" * self.size
        finally:
            self.running = False

    def close(self):
        assert not self.running, "closed while it was running"
        self.closed_on.append(threading.current_thread())


def test_first_item_is_sent_while_the_second_does_not_exist(site):
    gate, sent = Gate(), []

    def items():
        yield b"first"
        gate.wait()
        yield b"second"

    async def send(message):
        sent.append(message)
        if message.get("body") == b"first":
            gate.open()  # stock Django never gets here: it waits for the second item first

    answer = get(site(streams(items)), send=send)
    assert bodies(answer.messages) == [b"first", b"second"]


@BOTH
@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
@pytest.mark.parametrize(
    "parts",
    [[], [b""], [b"a", b"", b"b"], [b"a" * 200_000, b"b"], ["text", memoryview(b"view"), b"bytes"], [b"x"] * 1000],
    ids=["none", "one empty", "an empty one", "one of 200 kB", "types", "a thousand"],
)
def test_messages_are_those_of_stock(site, parts, stock):
    expected = [{"type": "http.response.start"}]
    for part in parts:
        part = bytes(part, "utf-8") if isinstance(part, str) else bytes(part)
        chunks = [part[at : at + 65536] for at in range(0, len(part), 65536)] or [b""]
        expected += [{"type": "http.response.body", "body": chunk, "more_body": True} for chunk in chunks]
    expected.append({"type": "http.response.body"})
    answer = get(site(streams(lambda: iter(parts)), stock=stock))
    answer.messages[0] = {"type": answer.messages[0]["type"]}
    assert answer.messages == expected


def test_bug_19_iterator_is_advanced_and_closed_on_the_request_thread(site):
    iterator = Recorded(1000, 300)
    get(site(streams(lambda: iterator)))
    assert len(iterator.threads) == 1001 and len(iterator.closed_on) == 1
    assert {*iterator.threads, *iterator.closed_on} == {iterator.threads[0]}
    assert iterator.threads[0] is not threading.main_thread()


def test_iterator_of_a_sync_view_stays_on_the_thread_of_the_view(site):
    iterator, seen = Recorded(10), []

    def view(request):
        seen.append(threading.current_thread())
        return StreamingHttpResponse(iterator)

    get(site(view))
    assert {*seen, *iterator.threads, *iterator.closed_on} == {seen[0]}


@pytest.mark.parametrize("size", [1, 1000, 70_000])
def test_no_more_than_64_kib_or_one_item_ahead(site, size):
    """What was taken from the iterator and not yet given to ``send`` never exceeds the limit by more than an item."""
    iterator, ahead, sent = Recorded(300_000 // size, size), [], 0

    async def send(message):
        nonlocal sent
        sent += len(message.get("body", b""))
        await asyncio.sleep(0)
        ahead.append(len(iterator.threads) * size - sent)

    get(site(streams(lambda: iterator)), send=send)
    assert max(ahead) <= max(AHEAD_BYTES + size, 2 * size)


def test_a_client_that_does_not_read_stops_the_iterator(site):
    iterator, blocked = Recorded(10**6, 1000), asyncio.Event()

    async def main():
        async def send(message):
            if message.get("body"):
                blocked.set()
                await asyncio.Event().wait()

        leave = asyncio.Event()
        answering = asyncio.create_task(request(application, send=send, disconnect=leave))
        await blocked.wait()
        await until(lambda: len(iterator.threads) >= AHEAD_BYTES // 1000)
        await asyncio.sleep(0.1)
        taken = len(iterator.threads)
        assert taken <= AHEAD_BYTES // 1000 + 2
        leave.set()
        await answering
        assert len(iterator.threads) == taken and len(iterator.closed_on) == 1

    application = site(streams(lambda: iterator))
    run(main())


def test_jobs_of_the_view_get_their_turn_between_items(site):
    """An endless iterator does not keep a task of the request from the thread."""
    ran = threading.Event()

    def items():
        while not ran.is_set():
            time.sleep(0.001)
            yield b"."
        yield b"ran"

    async def late():
        await asyncio.sleep(0.02)
        await sync_to_async(ran.set)()

    async def view(request):
        request.task = asyncio.create_task(late())
        return StreamingHttpResponse(items())

    assert get(site(view)).body.endswith(b"ran")


def test_iterator_may_use_the_loop(site):
    def items():
        yield str(async_to_sync(number)()).encode()
        yield b"!"

    async def number():
        return await sync_to_async(lambda: 42)()

    assert get(site(streams(items))).body == b"42!"


@pytest.mark.parametrize("late", [False, True])
def test_error_of_the_iterator_comes_after_the_items_before_it(site, late, connect):
    finished, sent = [], []
    connect(request_finished, lambda **_: finished.append(1), weak=False)

    def items():
        if late:
            yield b"one"
        raise LookupError("broken")

    async def send(message):
        sent.append(message)

    with pytest.raises(LookupError, match="broken"):
        get(site(streams(items)), send=send)
    assert bodies(sent) == [b"one"] * late
    assert finished == [1]


@BOTH
@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
def test_a_type_error_of_the_iterator_is_raised_as_it_is(site, stock):
    """Django takes one that comes out of the async side for a sign that the iterator is sync."""

    def items():
        yield b"one"
        raise TypeError("of the iterator")

    with pytest.raises(TypeError, match=r"^of the iterator$"):
        get(site(streams(items), stock=stock))


class TakesTurns:
    """A deque in whose place nothing is to be found just before the thread adds the last item and ends."""

    def __init__(self, stream, gate):
        self.stream, self.gate, self.items, self.is_late = stream, gate, [], False

    def __bool__(self):
        found = bool(self.items)
        if not found and self.stream._bytes_made and not self.is_late:
            self.is_late = True
            self.gate.open()
            while not self.stream._ended:
                time.sleep(0.001)
        return found

    def append(self, item):
        self.items.append(item)

    def popleft(self):
        return self.items.pop(0)


def test_items_made_while_the_loop_finds_none_are_sent(site, monkeypatch):
    """Between two looks of the loop the thread may add the last item and end."""
    gate, make = Gate(), Stream.__init__

    def make_one_that_takes_turns(self, iterator):
        make(self, iterator)
        self._made = TakesTurns(self, gate)

    def items():
        yield b"one "
        gate.wait()
        yield b"two"

    monkeypatch.setattr(Stream, "__init__", make_one_that_takes_turns)
    assert get(site(streams(items))).body == b"one two"


@BOTH
def test_a_response_that_iterates_in_its_own_way(site, stock):
    class Own(HttpResponseBase):
        streaming = True

        async def __aiter__(self):
            yield b"own"

    assert get(site(lambda request: Own(), stock=stock)).body == b"own"


def test_context_is_the_same_for_all_items_and_comes_back(site, connect):
    variable, local = contextvars.ContextVar("variable", default="unset"), Local()
    seen = []
    connect(request_finished, lambda **_: seen.append((variable.get(), local.value)), weak=False)

    def items():
        seen.append((variable.get(), local.value))
        for number in range(3):
            variable.set(number)
            local.value = number
            yield b"x" * AHEAD_BYTES  # a fill for each
            assert (variable.get(), local.value) == (number, number)

    async def view(request):
        variable.set("view")
        local.value = "view"
        return StreamingHttpResponse(items())

    get(site(view))
    assert seen == [("view", "view"), (2, 2)]


def test_bug_20_disconnect_while_an_item_is_being_made(site, connect):
    """The item is finished, then the iterator is closed, on the same thread; one signal."""
    gate, finished, closed = Gate(), [], []
    connect(request_finished, lambda **_: finished.append(threading.current_thread()), weak=False)

    def items():
        try:
            yield b"first"
            gate.wait()
            yield b"second"
        finally:
            closed.append(threading.current_thread())

    async def main():
        leave = asyncio.Event()
        answering = asyncio.create_task(request(application, disconnect=leave))
        await gate.reached()
        leave.set()
        await asyncio.sleep(0.05)
        assert not closed and not finished
        gate.open()
        return await answering

    application = site(streams(items))
    answer = run(main())
    assert bodies(answer.messages) == [b"first"]
    assert len(closed) == 1 and finished == closed


@pytest.mark.parametrize("error", [OSError("gone"), asyncio.CancelledError()], ids=repr)
def test_send_that_fails_closes_the_iterator_once(site, error, connect):
    iterator, finished = Recorded(10, 1000), []
    connect(request_finished, lambda **_: finished.append(1), weak=False)

    async def send(message):
        if message.get("body"):
            raise error

    with pytest.raises(type(error)):
        get(site(streams(lambda: iterator)), send=send)
    run(until(lambda: finished))
    assert len(iterator.closed_on) == 1 and finished == [1]


@pytest.mark.parametrize("where", ["in the iterator", "in send"])
def test_async_iterator_is_closed_at_disconnect(site, where, connect):
    """Its ``finally`` has run before ``request_finished``; no garbage collection is needed."""
    order, there = [], asyncio.Event()
    connect(request_finished, lambda **_: order.append("finished"), weak=False)

    async def items():
        try:
            while True:
                yield b"."
                if where == "in the iterator":
                    there.set()
                    await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            order.append("closed")

    async def main():
        async def send(message):
            if message.get("body") and where == "in send":
                there.set()
                await asyncio.Event().wait()

        leave = asyncio.Event()
        answering = asyncio.create_task(request(application, send=send, disconnect=leave))
        await there.wait()
        leave.set()
        await answering

    application = site(streams(items))
    gc.disable()
    try:
        run(main())
    finally:
        gc.enable()
    assert order == ["closed", "finished"]


def test_async_iterator_that_fails_to_close_is_reported(site, caplog):
    class Stubborn:
        def __aiter__(self):
            return self

        async def __anext__(self):
            return b"."

        async def aclose(self):
            raise LookupError("cannot be closed")

    async def send(message):
        if message.get("body"):
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        get(site(streams(Stubborn)), send=send)
    (told,) = (record for record in caplog.records if record.name == "asyncio")
    assert "raised while it was closed" in told.getMessage() and told.exc_info[0] is LookupError
    caplog.clear()


def test_bug_24_no_warning_about_a_sync_iterator(site):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert get(site(streams(lambda: iter([b"a"])))).body == b"a"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "data.bin"
    path.write_bytes(os.urandom(300_000))
    return path


@BOTH
@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_file_as_stock(site, file, stock, method):
    def view(request):
        return FileResponse(open(file, "rb"))

    answer = get(site(view, stock=stock), method=method)
    assert answer.body == file.read_bytes()
    assert [len(body) for body in bodies(answer.messages)] == [65536] * 4 + [300_000 - 4 * 65536]
    assert dict(answer.headers)[b"Content-Length"] == b"300000"


@BOTH
def test_not_modified_as_stock(site, stock):
    answer = get(site(lambda request: HttpResponseNotModified(), stock=stock))
    assert (answer.status, answer.messages[1:]) == (
        304,
        [{"type": "http.response.body", "body": b"", "more_body": False}],
    )


PATHSEND = {"extensions": {"http.response.pathsend": {}}}


def test_plain_file_is_left_to_a_server_that_offers_it(site, file):
    opened = []

    def view(request):
        opened.append(open(file, "rb"))
        return FileResponse(opened[0])

    answer = get(site(view), **PATHSEND)
    assert answer.messages[1:] == [{"type": "http.response.pathsend", "path": str(file)}]
    assert opened[0].closed


class Unlinked:
    """Ways to a file response that is not, or no longer, the whole file at its path."""

    @staticmethod
    def replaced(path):
        file = open(path, "rb")
        os.replace(path, f"{path}.old")
        path.write_bytes(b"secret of somebody else")
        return FileResponse(file)

    @staticmethod
    def unlinked(path):
        file = open(path, "rb")
        path.unlink()
        return FileResponse(file)

    @staticmethod
    def partly_read(path):
        file = open(path, "rb")
        file.seek(10)
        return FileResponse(file)

    @staticmethod
    def read_later(path):
        response = FileResponse(open(path, "rb"))
        response.file_to_stream.seek(10)
        return response

    @staticmethod
    def grown(path):
        response = FileResponse(open(path, "rb"))
        with open(path, "ab") as more:
            more.write(b"more")
        return response

    @staticmethod
    def in_memory(path):
        return FileResponse(io.BytesIO(path.read_bytes()))

    @staticmethod
    def temporary(path):
        file = tempfile.NamedTemporaryFile()
        file.write(path.read_bytes())
        file.seek(0)
        return FileResponse(file)

    @staticmethod
    def with_a_closer(path):
        response = FileResponse(open(path, "rb"))
        response._resource_closers.append(path.unlink)
        return response

    @staticmethod
    def other_content(path):
        response = FileResponse(open(path, "rb"))
        response.streaming_content = (part.hex().encode() for part in response.streaming_content)
        return response

    @staticmethod
    def subclass(path):
        return type("Mine", (FileResponse,), {})(open(path, "rb"))


@pytest.mark.parametrize("make", [each for each in vars(Unlinked) if not each.startswith("_")])
def test_other_files_are_streamed_from_the_open_file(site, file, make):
    data = file.read_bytes()
    expected = {"partly_read": data[10:], "read_later": data[10:], "grown": data + b"more"}.get(make, data)
    if make == "other_content":
        expected = data.hex().encode()
    answer = get(site(lambda request: getattr(Unlinked, make)(file)), **PATHSEND)
    assert answer.body == expected
    assert "http.response.pathsend" not in {message["type"] for message in answer.messages}
