"""However a request ends: one ``request_finished``, its response closed once, its body file closed last."""

import asyncio
import io
import sys
import threading
from types import SimpleNamespace

import pytest
from asgiref.sync import markcoroutinefunction, sync_to_async
from django.core import signals
from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.dispatch import Signal
from django.http import HttpResponse, StreamingHttpResponse
from django.utils.decorators import async_only_middleware, sync_only_middleware
from django.utils.deprecation import MiddlewareMixin

from onehop import runs_anywhere
from onehop.run.threads import pool
from tests import asgi
from tests.run.drive import Gate, run, until
from tests.run.stacks import paths


class Abandoned(BaseException):
    """Like KeyboardInterrupt: nothing that ``except Exception`` catches."""


class Closing(HttpResponse):
    """A response that notes each time it is closed, and whether its request's body was open then."""

    def close(self):
        self.scene.log.append("close")
        super().close()


class Scene:
    """One request, what its view does, and all that is noted about it."""

    def __init__(self):
        self.gate = Gate()
        self.log = []
        self.body = None
        self.threads = []
        self.counts = {"started": 0, "finished": 0}
        self.error = None  # what the view raises, if anything
        self.response_class = HttpResponse
        self.responses = []
        self.disconnect = asyncio.Event()

    def respond(self, request):
        if self.error is not None:
            raise self.error
        response = self.response_class("ok")
        response.scene = self
        self.responses.append(response)
        return response

    def sync_view(self, request):
        self.body = request._stream
        self.threads.append(threading.get_ident())
        self.gate.wait()
        self.log.append(("view read", request.read()))
        return self.respond(request)

    async def async_view(self, request):
        self.body = request._stream
        try:
            await self.gate.stand()
        except asyncio.CancelledError:
            self.log.append("view cancelled")
            raise
        self.log.append(("view read", request.read()))
        return self.respond(request)

    def start(self, **keywords):
        keywords = {"body": b"payload", "method": "POST", "disconnect": self.disconnect, **keywords}
        self.task = asyncio.create_task(asgi.request(self.application, **keywords))
        return self.task

    async def in_view(self, **keywords):
        self.start(**keywords)
        await self.gate.reached()

    async def outcome(self):
        """Wait for the request; return what it raised, if anything."""
        await asyncio.wait([self.task], timeout=10)
        assert self.task.done(), "the request never ended"
        if self.task.cancelled():
            return asyncio.CancelledError
        return type(self.task.exception()) if self.task.exception() else None


def is_quiet():
    return not (pool._busy or pool._closing)


async def settle():
    """Let everything happen on the loop that can happen without the gate."""
    for _ in range(10):
        await asyncio.sleep(0)


async def a_normal_end(scene):
    scene.gate.open()
    scene.start()
    return await scene.outcome()


async def a_failing_view(scene):
    scene.error = ValueError("of the view")
    return await a_normal_end(scene)


async def a_disconnect_in_the_view(scene):
    await scene.in_view()
    scene.disconnect.set()
    await settle()
    scene.gate.open()
    return await scene.outcome()


async def a_disconnect_while_sending(scene):
    sending = asyncio.Event()

    async def send(message):
        if message["type"] == "http.response.body":
            sending.set()
            await asyncio.Event().wait()

    scene.gate.open()
    scene.start(send=send)
    await sending.wait()
    scene.disconnect.set()
    return await scene.outcome()


def an_error_of_send(failing):
    async def drive(scene):
        async def send(message):
            if message["type"] == f"http.response.{failing}":
                raise OSError("the socket is gone")

        scene.gate.open()
        scene.start(send=send)
        return await scene.outcome()

    drive.__name__ = f"an_error_of_send_at_{failing}"
    return drive


async def a_cancellation_in_the_view(scene):
    await scene.in_view()
    scene.task.cancel()
    raised = await scene.outcome()
    scene.gate.open()
    return raised


async def two_cancellations_in_the_view(scene):
    await scene.in_view()
    scene.task.cancel()
    await asyncio.sleep(0)
    scene.task.cancel()
    raised = await scene.outcome()
    scene.gate.open()
    return raised


async def a_cancellation_while_sending(scene):
    sending = asyncio.Event()

    async def send(message):
        sending.set()
        await asyncio.Event().wait()

    scene.gate.open()
    scene.start(send=send)
    await sending.wait()
    scene.task.cancel()
    return await scene.outcome()


async def a_base_exception_of_the_view(scene):
    scene.error = Abandoned()
    return await a_normal_end(scene)


async def a_system_exit_of_the_view(scene):
    scene.error = SystemExit(3)
    scene.gate.open()
    scene.start()
    await asyncio.Event().wait()  # SystemExit ends the loop


async def a_cancelled_error_of_the_view(scene):
    scene.error = asyncio.CancelledError()
    return await a_normal_end(scene)


CLOSED, NO_RESPONSE = [True], []
READ, CANCELLED = [("view read", b"payload")], ["view cancelled"]
an_error_of_send_at_start, an_error_of_send_at_body = an_error_of_send("start"), an_error_of_send("body")

EXITS = [
    # exit, what comes out of the application, what a sync view does, what an async view does (log, responses)
    (a_normal_end, None, (READ, CLOSED), (READ, CLOSED)),
    (a_failing_view, None, (READ, NO_RESPONSE), (READ, NO_RESPONSE)),
    (a_disconnect_in_the_view, None, (READ, CLOSED), (CANCELLED, NO_RESPONSE)),
    (a_disconnect_while_sending, None, (READ, CLOSED), (READ, CLOSED)),
    (an_error_of_send_at_start, OSError, (READ, CLOSED), (READ, CLOSED)),
    (an_error_of_send_at_body, OSError, (READ, CLOSED), (READ, CLOSED)),
    (a_cancellation_in_the_view, asyncio.CancelledError, (READ, CLOSED), (CANCELLED, NO_RESPONSE)),
    (two_cancellations_in_the_view, asyncio.CancelledError, (READ, CLOSED), (CANCELLED, NO_RESPONSE)),
    (a_cancellation_while_sending, asyncio.CancelledError, (READ, CLOSED), (READ, CLOSED)),
    (a_base_exception_of_the_view, Abandoned, (READ, NO_RESPONSE), (READ, NO_RESPONSE)),
    (a_system_exit_of_the_view, SystemExit, (READ, NO_RESPONSE), (READ, NO_RESPONSE)),
    (a_cancelled_error_of_the_view, asyncio.CancelledError, (READ, NO_RESPONSE), (READ, NO_RESPONSE)),
]


@pytest.fixture
def unwatched():
    """Return a scene that changes nothing: what has to be done only for receivers may be left out."""
    return Scene()


@pytest.fixture
def scene(unwatched, monkeypatch):
    """Return a scene that counts signals as they are sent, as an agent does, without connecting a receiver."""

    def counting(method, watched, key):
        original = getattr(Signal, method)

        def counted(signal, *arguments, **keywords):
            if signal is watched:
                unwatched.counts[key] += 1
                if key == "finished":
                    unwatched.log.append("finished")
            return original(signal, *arguments, **keywords)

        monkeypatch.setattr(Signal, method, counted)

    counting("_live_receivers", signals.request_started, "started")
    counting("send", signals.request_finished, "finished")
    return unwatched


@pytest.fixture
def receivers(request, connect):
    """Connect no receiver, sync ones or async ones, and return what they have received."""
    received = []

    def sync_started(sender, **_):
        received.append("started")

    def sync_finished(sender, **_):
        received.append("finished")

    async def async_started(sender, **_):
        await asyncio.sleep(0)
        received.append("started")

    async def async_finished(sender, **_):
        await asyncio.sleep(0)
        received.append("finished")

    by_kind = {
        "django's": (),
        "sync": (sync_started, sync_finished),
        "async": (async_started, async_finished),
    }
    for signal, receiver in zip(
        (signals.request_started, signals.request_finished), by_kind[request.param], strict=False
    ):
        connect(signal, receiver)
    return SimpleNamespace(kind=request.param, received=received)


def play(scene, drive):
    """Run a scene until its thread is at rest; return what came out of the application."""

    async def whole():
        raised = await drive(scene)
        scene.gate.open()
        await until(is_quiet)
        return raised

    try:
        raised = run(whole())
    except SystemExit:
        raised = SystemExit
    finally:
        scene.gate.open()
    task = getattr(scene, "task", None)
    if task is not None and task.done() and not task.cancelled():
        task.exception()  # what has ended the loop is known: raised says it
    assert pool.drain(5), "a request thread is still busy"
    return raised


ALL_KINDS = pytest.mark.parametrize("receivers", ["django's", "sync", "async"], indirect=True)
ALL_EXITS = pytest.mark.parametrize(
    ("drive", "expected", "in_sync", "in_async"), EXITS, ids=[each[0].__name__ for each in EXITS]
)


@pytest.mark.parametrize("mode", ["sync", "async"])
@ALL_EXITS
def test_every_request_is_closed_when_nobody_watches(
    site, unwatched, monkeypatch, mode, drive, expected, in_sync, in_async
):
    """With Django's receivers alone: the response is closed once, the URLconf forgotten, the body file closed last."""
    scene = unwatched
    scene.application = site(getattr(scene, f"{mode}_view"), [])
    log, closed = in_sync if mode == "sync" else in_async
    closed_requests = []
    close = ASGIRequest.close
    monkeypatch.setattr(ASGIRequest, "close", lambda request: (closed_requests.append(request), close(request))[1])

    raised = play(scene, drive)

    assert raised is expected
    assert scene.log == log
    assert [response.closed for response in scene.responses] == closed
    assert len(closed_requests) <= 1
    assert scene.body.closed


@ALL_KINDS
@pytest.mark.parametrize("mode", ["sync", "async"])
@ALL_EXITS
def test_bug_1_2_3_14_92_every_request_is_finished_and_closed_once(
    site, scene, receivers, mode, drive, expected, in_sync, in_async
):
    """After any end: started and finished once, the response closed, and the body file closed behind the view."""
    scene.application = site(getattr(scene, f"{mode}_view"), [])
    log, closed = in_sync if mode == "sync" else in_async

    raised = play(scene, drive)

    assert raised is expected
    assert scene.log == [*log, "finished"]
    assert [response.closed for response in scene.responses] == closed
    assert scene.counts == {"started": 1, "finished": 1}
    assert scene.body.closed
    assert receivers.received == ([] if receivers.kind == "django's" else ["started", "finished"])


@ALL_KINDS
@pytest.mark.parametrize("mode", ["sync", "async"])
@ALL_EXITS
def test_a_response_with_a_close_of_its_own_is_closed_once(
    site, scene, receivers, mode, drive, expected, in_sync, in_async
):
    """A response class that overrides ``close`` has it called once, after the view and before ``request_finished``."""
    scene.response_class = Closing
    scene.application = site(getattr(scene, f"{mode}_view"), [])
    log, closed = in_sync if mode == "sync" else in_async

    raised = play(scene, drive)

    assert raised is expected
    assert scene.log == [*log, *["close"] * len(closed), "finished"]
    assert scene.counts == {"started": 1, "finished": 1}
    assert scene.body.closed


@ALL_KINDS
def test_bug_26_a_bad_request_is_finished_once(site, scene, receivers):
    """A query that is no UTF-8 is answered with 400; its response is closed, and nothing else happens."""
    application = site(scene.sync_view, [])

    async def bad(scene):
        return (await asgi.request(application, query_string=b"\xff")).status

    assert play(scene, bad) == 400
    assert (scene.log, scene.counts) == (["finished"], {"started": 1, "finished": 1})
    assert receivers.received == ([] if receivers.kind == "django's" else ["started", "finished"])


def test_bug_26_a_request_that_was_too_big_is_finished_once(site, scene):
    """From Django 6.1 on a request that is refused while it is made is closed like any other."""
    application = site(scene.sync_view, [])

    async def refused(scene):
        class TooBig(application.request_class):
            def __init__(self, scope, body_file):
                scene.body = body_file
                raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "too big")

        application.request_class = TooBig
        return (await asgi.request(application, body=b"x" * 4_000_000, method="POST")).status

    assert play(scene, refused) == 400
    assert (scene.log, scene.body.closed) == (["finished"], True)


@ALL_KINDS
def test_a_disconnect_before_the_body_has_ended_starts_nothing(site, scene, receivers):
    """Without a whole body there is no request: neither signal is sent."""
    application = site(scene.sync_view, [])

    async def early(scene):
        incoming = [{"type": "http.request", "body": b"pay", "more_body": True}, {"type": "http.disconnect"}]

        async def receive():
            return incoming.pop(0)

        sent = []
        await application(asgi.scope_of(method="POST"), receive, sent.append)
        return sent

    assert play(scene, early) == []
    assert (scene.log, scene.counts, receivers.received) == ([], {"started": 0, "finished": 0}, [])


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_failing_started_receiver_ends_the_request(site, scene, connect, mode):
    """Its exception comes out of the application, and the request is finished all the same."""

    def sync_receiver(**_):
        raise LookupError("of the receiver")

    async def async_receiver(**_):
        raise LookupError("of the receiver")

    connect(signals.request_started, {"sync": sync_receiver, "async": async_receiver}[mode])
    scene.application = site(scene.sync_view, [])

    assert play(scene, a_normal_end) is LookupError
    assert (scene.log, scene.counts) == (["finished"], {"started": 1, "finished": 1})


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_cancellation_while_closing_closes_once(site, scene, connect, mode):
    """The server cancels while the application waits for a slow ``request_finished`` receiver."""
    closing = Gate()

    def slow(**_):
        closing.wait()

    connect(signals.request_finished, slow)
    scene.response_class = Closing
    scene.application = site(getattr(scene, f"{mode}_view"), [])

    async def cancel(scene):
        scene.gate.open()
        scene.start()
        await closing.reached()
        scene.task.cancel()
        raised = await scene.outcome()
        closing.open()
        return raised

    assert play(scene, cancel) is asyncio.CancelledError
    assert scene.log == [*READ, "close", "finished"]
    assert scene.body.closed


def test_a_cancellation_before_closing_has_begun_closes_once(site, scene, connect):
    """The same while the closing still waits for the view's thread, on which somebody else's job runs."""
    busy = Gate()
    connect(signals.request_finished, lambda **_: None, weak=False, dispatch_uid="foreign")
    scene.response_class = Closing

    async def view(request):
        scene.body = request._stream
        scene.left = asyncio.create_task(sync_to_async(busy.wait)())
        await busy.reached()
        return scene.respond(request)

    scene.application = site(view, [])

    async def cancel(scene):
        sent = asyncio.Event()

        async def send(message):
            if message["type"] == "http.response.body":
                sent.set()

        scene.start(send=send)
        await sent.wait()
        await settle()
        scene.task.cancel()
        raised = await scene.outcome()
        busy.open()
        await scene.left
        return raised

    try:
        assert play(scene, cancel) is asyncio.CancelledError
    finally:
        signals.request_finished.disconnect(dispatch_uid="foreign")
    assert scene.log == ["close", "finished"]
    assert scene.body.closed


def test_closing_ends_although_the_loop_has_stopped(site, scene, connect):
    """The server cancels a request and stops its loop; an async receiver is awaited all the same, in the end."""
    received = []

    async def receiver(**_):
        await asyncio.sleep(0)
        received.append("finished")

    connect(signals.request_finished, receiver)
    scene.application = site(scene.sync_view, [])
    loop = asyncio.new_event_loop()
    loop.run_until_complete(scene.in_view())
    scene.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(scene.task)
    try:
        scene.gate.open()
        done = pool.drain(3)
    finally:
        loop.run_until_complete(asyncio.sleep(0.1))
        loop.close()

    assert (done, received) == (True, ["finished"])


@pytest.mark.parametrize("drive", [a_disconnect_in_the_view, a_cancellation_in_the_view])
@pytest.mark.parametrize("fails", [False, True], ids=["returns", "raises"])
@pytest.mark.parametrize("kind", [None, "Hooks", "DeclaredHooks", "hybrid", "Async", "DeclaredClassic"])
def test_nothing_of_the_request_runs_after_a_late_sync_view(site, scene, around, kind, fails, drive):
    """The client is gone: the view runs to its end, but no hook, exception hook, handler or log record follows."""
    around(after=lambda name, *_: scene.log.append(f"{name} after"))
    scene.error = ValueError("too late") if fails else None
    LateHooks.log = scene.log
    scene.application = site(scene.sync_view, [*paths(*filter(None, [kind])), f"{__name__}.LateHooks"])

    play(scene, drive)

    assert scene.log == [*READ, "finished"]
    assert [response.closed for response in scene.responses] == ([] if fails else [True])


class LateHooks(MiddlewareMixin):
    """Notes hooks that run after the view."""

    log: list = []

    def process_exception(self, request, exception):
        self.log.append("process_exception")

    def process_response(self, request, response):
        self.log.append("process_response")
        return response


@pytest.mark.parametrize("drive", [a_disconnect_in_the_view, a_cancellation_in_the_view])
@pytest.mark.parametrize("kind", ["Classic", "DeclaredClassic"])
def test_a_wrapper_around_a_late_sync_view_is_unwound(site, scene, kind, drive):
    """Its ``get_response`` raises ``CancelledError``, so its ``finally`` runs, its ``except Exception`` not."""
    Unwound.log = scene.log
    scene.application = site(scene.sync_view, [f"{__name__}.Unwound{kind}"])

    play(scene, drive)

    assert sorted(map(str, scene.log)) == sorted(map(str, [*READ, "finally CancelledError", "finished"]))


class Unwound:
    log: list = []

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        try:
            return self.get_response(request)
        except Exception:
            Unwound.log.append("except Exception")
            raise
        finally:
            Unwound.log.append(f"finally {getattr(sys.exc_info()[0], '__name__', None)}")


UnwoundClassic = type("UnwoundClassic", (Unwound,), {})
UnwoundDeclaredClassic = runs_anywhere(type("UnwoundDeclaredClassic", (Unwound,), {}))


@pytest.mark.parametrize("drive", [exit_[0] for exit_ in EXITS], ids=[exit_[0].__name__ for exit_ in EXITS])
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_receivers_of_django_s_handler_hear_of_every_end(site, scene, connect, mode, drive):
    """Both signals come in the name of ``ASGIHandler``, also when the response came too late."""
    received = []
    connect(signals.request_started, lambda **_: received.append("started"), sender=ASGIHandler, weak=False)
    connect(signals.request_finished, lambda **_: received.append("finished"), sender=ASGIHandler, weak=False)
    scene.application = site(getattr(scene, f"{mode}_view"), [])

    play(scene, drive)

    assert received == ["started", "finished"]


@pytest.mark.parametrize("ends", ["disconnect", "cancel"])
def test_a_receiver_connected_after_the_call_hears_nothing_of_it(site, unwatched, connect, ends):
    """The ASGI call is over while its sync view still runs; ``request_finished`` was sent to who was there then."""
    scene, received = unwatched, []
    scene.application = site(scene.sync_view, [])

    async def connect_afterwards(scene):
        await scene.in_view()
        scene.disconnect.set() if ends == "disconnect" else scene.task.cancel()
        await scene.outcome()
        assert not scene.body.closed
        connect(signals.request_finished, lambda **_: received.append("finished"), weak=False)

    play(scene, connect_afterwards)

    assert (received, scene.log, scene.body.closed) == ([], READ, True)
    assert [response.closed for response in scene.responses] == CLOSED


@pytest.mark.parametrize("drive", ["disconnect", "cancel"])
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_response_on_its_way_out_is_closed(site, scene, mode, drive):
    """The client leaves while async middleware, outside the view, still holds the response back."""
    Holding.gate = Gate()
    scene.gate.open()
    scene.response_class = Closing
    scene.application = site(getattr(scene, f"{mode}_view"), [f"{__name__}.Holding"])

    async def end_on_the_way_out(scene):
        scene.start()
        await Holding.gate.reached()
        scene.disconnect.set() if drive == "disconnect" else scene.task.cancel()
        return await scene.outcome()

    assert play(scene, end_on_the_way_out) is (None if drive == "disconnect" else asyncio.CancelledError)
    assert scene.log == [*READ, "close", "finished"]


class Holding:
    """Async middleware that waits at a gate with the response in its hands."""

    async_capable, sync_capable = True, False

    def __init__(self, get_response):
        self.get_response = get_response
        markcoroutinefunction(self)

    async def __call__(self, request):
        response = await self.get_response(request)
        await self.gate.stand()
        return response


def test_bug_48_a_thread_with_a_late_view_serves_nobody_else(site, scene):
    """Twenty requests are answered, on other threads, while the view of a lost client still runs on its own."""
    seen = []

    def view(request):
        seen.append(threading.get_ident())
        if request.method == "POST":
            scene.sync_view(request)
        return HttpResponse("ok")

    scene.application = site(view, [])

    async def others_meanwhile(scene):
        await scene.in_view()
        scene.disconnect.set()
        await scene.outcome()
        statuses = [(await asgi.request(scene.application)).status for _ in range(20)]
        late = scene.threads[0]
        assert not scene.body.closed
        scene.gate.open()
        return statuses, late in seen[1:]

    assert play(scene, others_meanwhile) == ([200] * 20, False)


def test_bug_6_a_late_disconnect_skips_nothing(site, scene):
    """A ``receive()`` that swallows its cancellation and reports a disconnect after the response changes nothing."""
    scene.gate.open()
    application = site(scene.async_view, [])

    async def late(scene):
        incoming = [{"type": "http.request"}]

        async def receive():
            if incoming:
                return incoming.pop()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                scene.log.append("swallowed")
            return {"type": "http.disconnect"}

        async def send(message):
            await asyncio.sleep(0)

        await application(asgi.scope_of(), receive, send)
        await settle()

    play(scene, late)

    assert sorted(map(str, scene.log)) == ["('view read', b'')", "finished", "swallowed"]


def test_a_view_that_ignores_its_cancellation_is_answered_to_nobody(site, scene):
    """An async view that catches ``CancelledError`` and returns: its response is closed, nothing is raised."""
    scene.response_class = Closing

    async def stubborn(request):
        scene.body = request._stream
        try:
            await scene.gate.stand()
        except asyncio.CancelledError:
            return scene.respond(request)

    scene.application = site(stubborn, [])

    assert play(scene, a_disconnect_in_the_view) is None
    assert (scene.log, scene.counts["finished"], scene.body.closed) == (["close", "finished"], 1, True)


def test_bug_11_a_message_after_the_body_is_an_error_as_in_django(site, scene):
    """A second ``http.request`` raises Django's AssertionError, and the request is closed."""
    scene.application = site(scene.async_view, [])

    async def invalid(scene):
        incoming = [{"type": "http.request"}, {"type": "http.request"}]

        async def receive():
            return incoming.pop()

        async def send(message):
            raise AssertionError("nothing is sent")

        with pytest.raises(AssertionError) as caught:
            await scene.application(asgi.scope_of(), receive, send)
        return str(caught.value)

    assert play(scene, invalid) == "Invalid ASGI message after request body: http.request"
    assert (scene.log, scene.counts["finished"], scene.body.closed) == (
        ["view cancelled", "finished"],
        1,
        True,
    )


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_bug_23_every_closer_runs_and_the_signal_is_last(site, scene, mode):
    """Three closers of which the second fails: as in stock Django, all run, then ``request_finished`` is sent."""

    class Closer:
        def __init__(self, name):
            self.name = name

        def close(self):
            scene.log.append(self.name)
            if self.name == "second":
                raise OSError("of a closer")

    def view(request):
        response = HttpResponse("ok")
        response._resource_closers += [Closer(name).close for name in ("first", "second", "third")]
        return response

    async def async_view(request):
        return view(request)

    scene.application = site({"sync": view, "async": async_view}[mode], [])

    assert play(scene, a_normal_end) is None
    assert scene.log == ["first", "second", "third", "finished"]


@pytest.mark.parametrize("view_class", ["sync", "async"])
def test_bug_4_a_stream_is_closed_when_its_reader_leaves(site, scene, view_class):
    """The client leaves in the middle of an endless stream: the generator is closed, then the response."""

    async def endless():
        try:
            while True:
                yield b"chunk"
                await asyncio.sleep(0)
        finally:
            scene.log.append("generator closed")

    def view(request):
        return StreamingHttpResponse(endless())

    async def async_view(request):
        return StreamingHttpResponse(endless())

    scene.application = site({"sync": view, "async": async_view}[view_class], [])

    async def leave(scene):
        chunks = []

        async def send(message):
            chunks.append(message)
            if len(chunks) == 5:
                scene.disconnect.set()

        scene.start(send=send)
        return await scene.outcome()

    assert play(scene, leave) is None
    assert (scene.log, scene.counts["finished"]) == (["generator closed", "finished"], 1)


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_bug_4_completion_and_disconnect_at_the_same_moment_are_silent(site, scene, mode):
    """The view ends while the disconnect arrives, a hundred times at slightly different moments."""

    async def view(request):
        for _ in range(request.method.count("x")):
            await asyncio.sleep(0)
        return HttpResponse("ok")

    def sync_view(request):
        return HttpResponse("ok")

    application = site({"sync": sync_view, "async": view}[mode], [])

    async def race(scene):
        for number in range(100):
            disconnect = asyncio.Event()
            task = asyncio.create_task(asgi.request(application, disconnect=disconnect, method="x" * (number % 10)))
            for _ in range(number // 10):
                await asyncio.sleep(0)
            disconnect.set()
            await task

    assert play(scene, race) is None
    assert scene.counts == {"started": 100, "finished": 100}


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_cancelling_at_every_moment_finishes_every_request(site, scene, mode):
    """The server cancels after each number of loop turns that a request may take: always one finished."""

    async def view(request):
        await asyncio.sleep(0)
        return HttpResponse("ok")

    def sync_view(request):
        return HttpResponse("ok")

    application = site({"sync": sync_view, "async": view}[mode], paths("hybrid", "DeclaredClassic", "Hooks"))
    started = []

    async def cancel_everywhere(scene):
        for number in range(60):
            task = asyncio.create_task(asgi.request(application, body=b"payload", method="POST"))
            for _ in range(number // 3):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            started.append(not task.cancelled())

    play(scene, cancel_everywhere)

    assert scene.counts["finished"] == scene.counts["started"]
    assert scene.counts["started"] > 30


def test_a_close_of_the_response_itself_is_called(site):
    """A ``close`` that was put on one response is not passed over."""
    closed = []

    async def view(request):
        response = HttpResponse("ok")
        response.close = lambda: closed.append("instance")
        return response

    runs = []
    for stock in (True, False):
        asgi.get(site(view, stock=stock))
        runs.append(list(closed))
        closed.clear()

    assert runs == [["instance"]] * 2


def test_a_listener_that_ends_by_itself_ends_no_request(site, monkeypatch):
    """A handler may listen in a way of its own, as under stock Django 6.1."""

    async def ends(self, receive):
        return None

    async def view(request):
        await asyncio.sleep(0.01)
        return HttpResponse("ok")

    monkeypatch.setattr(ASGIHandler, "listen_for_disconnect", ends)

    assert asgi.get(site(view)).status == 200


def test_a_body_file_of_ones_own_is_closed(site, connect, monkeypatch):
    """``read_body`` may return any file."""
    finished = []
    connect(signals.request_finished, lambda **_: finished.append(True), weak=False)
    body = io.BytesIO(b"mine")

    async def read_body(self, receive):
        await receive()
        return body

    async def view(request):
        return HttpResponse(request.body)

    monkeypatch.setattr(ASGIHandler, "read_body", read_body)

    assert asgi.get(site(view)).body == b"mine"
    assert (body.closed, finished) == (True, [True])


@async_only_middleware
def give_up(get_response):
    """Answer with status 504 when the rest takes too long."""

    async def middleware(request):
        try:
            return await asyncio.wait_for(get_response(request), 0.05)
        except TimeoutError:
            given_up.append("given up")
            return HttpResponse(status=504)

    return middleware


given_up = []


class Inner(MiddlewareMixin):
    def process_response(self, request, response):
        given_up.append("process_response")
        return response


@sync_only_middleware
def around(get_response):
    def middleware(request):
        response = get_response(request)
        given_up.append("wrapper")
        return response

    return middleware


@pytest.mark.parametrize("stock", [True, False])
@pytest.mark.parametrize("inner", [["Inner"], ["Inner", "around", "Inner"]], ids=["hooks", "wrapper"])
def test_no_hook_runs_after_middleware_has_given_up(site, inner, stock):
    """The view runs to its end on its thread; what would follow there does not, as in stock Django."""
    given_up.clear()
    gate = Gate()

    def view(request):
        gate.wait()
        given_up.append("view")
        return HttpResponse("ok")

    application = site(view, [f"{__name__}.{name}" for name in ["give_up", *inner]], stock=stock)

    async def play():
        request = asyncio.create_task(asgi.request(application))
        if inner == ["Inner"]:
            await until(lambda: given_up)
        else:
            await gate.reached()
            await asyncio.sleep(0.1)
        gate.open()
        answer = await request
        await until(lambda: "view" in given_up)
        await asyncio.sleep(0.05)
        return answer.status

    assert run(play()) == 504
    assert sorted(given_up) == ["given up", "view"]
