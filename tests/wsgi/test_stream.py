"""An async iterator is served item by item, in one task, and closed once."""

import asyncio
import contextvars
import gc
import threading
import time

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.core import signals
from django.http import StreamingHttpResponse

from onehop.run.background import background
from tests.wsgi import drive
from tests.wsgi.drive import PATIENCE_S, Call

events = []
variable = contextvars.ContextVar("stream", default="")


@pytest.fixture(autouse=True)
def recorded():
    events.clear()

    def finished(**_):
        events.append("finished")

    signals.request_finished.connect(finished)
    yield
    signals.request_finished.disconnect(finished)


async def parts(clean_up=None):
    """Yield three numbers, and note what happens."""
    task = asyncio.current_task()
    variable.set("begun")
    try:
        async with asyncio.timeout(PATIENCE_S):
            for number in range(3):
                events.append(number)
                yield str(number)
                assert variable.get() == "begun"
    finally:
        await asyncio.sleep(0)
        events.append("closed in its task" if asyncio.current_task() is task else "closed elsewhere")
        await sync_to_async(events.append)("closed")


def streaming(iterator_of, response_class=StreamingHttpResponse):
    """Return a view that streams, whose response has a closer."""

    async def view(request):
        response = response_class(iterator_of())
        response._resource_closers.append(lambda: events.append("closer"))
        return response

    return view


CLOSED = ["closed in its task", "closed"]
ENDED = ["closer", "finished"]


def test_bug_19_nothing_is_read_ahead(site):
    """One item for each that the server asks for; the iterator's end comes before the response's."""
    sent = drive.begin(site(streaming(parts))).sent
    assert events == []

    for number in range(3):
        assert next(sent) == str(number).encode()
        assert events == list(range(number + 1))
    assert list(sent) == []
    assert events == [0, 1, 2, *CLOSED]
    sent.close()

    assert events == [0, 1, 2, *CLOSED, *ENDED]
    assert list(sent) == []


@pytest.mark.parametrize("read", [0, 1, 3])
def test_a_stream_that_is_closed_early(site, read):
    """The client is gone: what has begun is closed, once, in its own task, before closers and ``request_finished``."""
    sent = drive.begin(site(streaming(parts))).sent
    for _ in range(read):
        next(sent)

    sent.close()

    assert events == [*range(read), *(CLOSED if read else []), *ENDED]
    assert not read or list(sent) == []


def test_generators_inside_generators_are_closed_in_the_same_task(site):
    """The outer one first, as middleware wraps them."""

    async def outer():
        task = asyncio.current_task()
        try:
            async for part in inner:
                yield part
        finally:
            events.append(asyncio.current_task() is task)

    inner = parts()
    sent = drive.begin(site(streaming(outer))).sent
    next(sent)
    sent.close()

    assert events == [0, True, *CLOSED, *ENDED]


def test_an_iterator_that_is_no_generator(site):
    """Anything with ``__aiter__`` and ``__anext__``."""

    class Counter:
        number = 0

        def __aiter__(self):
            return self

        async def __anext__(self):
            self.number += 1
            if self.number > 2:
                raise StopAsyncIteration
            return await sync_to_async(str)(self.number)

    assert drive.get(site(streaming(Counter))).body == b"12"


def test_a_subclass_has_its_say(site):
    """``streaming_content`` is what is read."""

    class Loud(StreamingHttpResponse):
        @property
        def streaming_content(self):
            async def louder():
                async for part in self._iterator:
                    yield part.encode() + b"!"

            return louder()

        @streaming_content.setter
        def streaming_content(self, value):
            self._set_streaming_content(value)

    assert drive.get(site(streaming(parts, Loud))).body == b"0!1!2!"


def test_blocking_calls_run_on_the_thread_that_waits(site):
    """Also when every item is asked for on another thread, and closing happens on a third; nested calls work."""

    async def threads():
        try:
            while True:
                yield str(await sync_to_async(nested)())
        finally:
            events.append(await sync_to_async(threading.get_ident)())

    def nested():
        return async_to_sync(sync_to_async(threading.get_ident))()

    sent = drive.begin(site(streaming(threads))).sent

    def one():
        return int(next(sent)), threading.get_ident()

    for call in [Call(one) for _ in range(3)]:
        used, own = call.wait()
        assert used == own
    used, own = one()
    assert used == own

    def close():
        sent.close()
        return threading.get_ident()

    assert events == [] and Call(close).wait() == events[0]


def test_a_thread_is_left_as_it_was_found(site, thread_local):
    """Between two items, too."""
    sent = drive.begin(site(streaming(parts))).sent
    for _ in sent:
        assert "main_event_loop" not in thread_local
    sent.close()

    assert "main_event_loop" not in thread_local


def test_an_error_reaches_the_server_after_the_clean_up(site):
    """And the stream is over."""

    async def broken():
        try:
            yield "one"
            raise ValueError("of the stream")
        finally:
            await asyncio.sleep(0.01)
            events.append("cleaned up")

    sent = drive.begin(site(streaming(broken))).sent
    assert next(sent) == b"one"
    with pytest.raises(ValueError, match="of the stream"):
        next(sent)
    assert events == ["cleaned up"]
    assert list(sent) == []
    sent.close()

    assert events == ["cleaned up", *ENDED]


def test_an_error_while_closing_is_logged(site, complaints):
    """The response is closed all the same."""

    async def broken():
        try:
            yield "one"
        finally:
            raise ValueError("while closing")

    sent = drive.begin(site(streaming(broken))).sent
    next(sent)
    sent.close()

    assert events == ENDED
    assert complaints() == [each for each in complaints() if "An async generator failed while it was closed" in each]
    assert complaints()


def test_an_exit_in_a_task_of_the_stream(site):
    """It reaches the server, between two items as well, and never hangs."""

    async def exits():
        raise SystemExit(3)

    async def spawning():
        task = asyncio.create_task(exits())
        yield "one"
        await task
        yield "never"

    sent = drive.begin(site(streaming(spawning))).sent
    assert next(sent) == b"one"
    with pytest.raises(SystemExit):
        Call(next, sent).wait()
    sent.close()

    assert events == ENDED


def test_left_over_tasks_of_a_stream_are_cancelled(site):
    """They live as long as the iteration."""

    async def spawning():
        tasks.append(asyncio.create_task(asyncio.sleep(60)))
        yield "one"
        events.append(tasks[0].done())
        yield "two"

    tasks = []
    answer = drive.get(site(streaming(spawning)))

    assert answer.body == b"onetwo"
    assert events == [False, *ENDED]
    assert tasks[0].cancelled()


def test_a_stream_that_is_dropped_is_closed(site):
    """A server that forgets ``close()``: the generator ends, nothing hangs."""
    sent = drive.begin(site(streaming(parts))).sent
    next(sent)
    del sent
    gc.collect()
    deadline = time.monotonic() + PATIENCE_S
    while background.loop.families and time.monotonic() < deadline:
        time.sleep(0.005)

    assert events == [0, *CLOSED]


def test_a_slow_reader_holds_nobody_up(site):
    """While one stream waits for its reader, others are served."""
    application = site(streaming(parts))
    slow = drive.begin(application).sent
    next(slow)

    assert drive.get(application).body == b"012"
    assert b"".join(slow) == b"12"
    slow.close()


def test_the_context_of_the_stream_reaches_closers(site):
    """As in stock Django: what the iterator has set is seen by what the server's thread does after it."""

    def whole():
        sent = drive.begin(site(streaming(parts))).sent
        for _ in sent:
            pass
        sent.close()
        return variable.get()

    assert contextvars.Context().run(whole) == "begun"


def test_a_long_stream_keeps_nothing_of_its_items(site):
    async def items():
        for number in range(500):
            yield b"%d" % number

    async def view(request):
        return StreamingHttpResponse(items())

    stream = drive.begin(site(view)).sent
    parts = [next(stream) for _ in range(499)]
    assert len(parts) == 499 and len(stream._pump._family.done._callbacks) == 1
    stream.close()
