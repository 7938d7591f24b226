"""Entries 49-63: the request threads, and what asgiref does with them. Most are shown in tests/run."""

import asyncio
import ctypes
import gc
import random
import sqlite3
import sys
import threading
import time

import pytest
from asgiref.sync import async_to_sync, markcoroutinefunction, sync_to_async
from django.contrib.auth.models import User
from django.core import signals
from django.db import connections
from django.http import HttpResponse, StreamingHttpResponse

from onehop.run.threads import MAX_IDLE, Job, RequestThread
from tests import asgi
from tests.run.drive import Gate, run, until
from tests.run.stacks import paths
from tests.run.test_exits import is_quiet

HERE = __name__
SEED = 49


async def sleep_on_the_loop(request):
    await asyncio.sleep(0.001)
    return HttpResponse("ok")


async def sleep_on_the_thread(request):
    await sync_to_async(time.sleep)(0.001)
    return HttpResponse("ok")


async def gather_on_the_thread(request):
    await asyncio.gather(*(sync_to_async(time.sleep)(0.0003) for _ in range(3)))
    return HttpResponse("ok")


def sleep_in_a_sync_view(request):
    time.sleep(0.001)
    return HttpResponse("ok")


def sleep_on_the_loop_from_a_sync_view(request):
    async_to_sync(asyncio.sleep)(0.001)
    return HttpResponse("ok")


@pytest.mark.parametrize(
    "view",
    [
        sleep_on_the_loop,
        sleep_on_the_thread,
        gather_on_the_thread,
        sleep_in_a_sync_view,
        sleep_on_the_loop_from_a_sync_view,
    ],
)
def test_bug_49_disconnects_at_any_moment_log_nothing(site, caplog, view):
    """
    asgiref #247: after a cancelled call, asyncio logs an exception of a future that nobody waits for.

    Two hundred clients leave at random moments of a request (a thousand for all views): no logger says anything.
    """
    application, chance = site(view, paths("Hooks", "Async", "Classic")), random.Random(SEED)

    async def leave():
        disconnect = asyncio.Event()
        request = asyncio.create_task(asgi.request(application, disconnect=disconnect))
        await asyncio.sleep(chance.uniform(0, 0.004))
        disconnect.set()
        await request

    async def two_hundred():
        for _ in range(10):
            await asyncio.gather(*(leave() for _ in range(20)))
        await until(is_quiet)

    run(two_hundred())
    gc.collect()

    assert [record.getMessage() for record in caplog.records] == []


@pytest.mark.parametrize("ending", ["disconnect", "cancel"])
def test_bug_49_a_cancelled_view_may_still_call_its_thread(site, ending):
    """asgiref #247: calls failed after a ``CancelledError``. A view's clean-up may block, on its request's thread."""
    gate, threads = Gate(), []

    async def view(request):
        threads.append(await sync_to_async(threading.get_ident)())
        try:
            await gate.stand()
        finally:
            threads.append(await sync_to_async(threading.get_ident)())

    application = site(view, [])

    async def leave():
        disconnect = asyncio.Event()
        request = asyncio.create_task(asgi.request(application, disconnect=disconnect))
        await gate.reached()
        disconnect.set() if ending == "disconnect" else request.cancel()
        await asyncio.wait([request])
        await until(lambda: len(threads) == 2)

    run(leave())

    assert len(set(threads)) == 1


@pytest.mark.parametrize("wrappers", [[], ["Classic"], ["Async", "Classic", "hybrid"], ["DeclaredClassic", "Hooks"]])
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_bug_50_all_that_blocks_in_a_request_shares_one_thread(site, around, connect, mode, wrappers):
    """
    asgiref #482: nested bridges used more executors than there should be, and waited for each other.

    Hooks, view, calls and calls inside calls, an iterator, closers and receivers: one thread is started, for all.
    """
    places = {}

    def note(place, *_, **__):
        places.setdefault(place, set()).add(threading.get_ident())

    def call_inside_a_call():
        note("call")
        async_to_sync(sync_to_async(note))("call in a call")
        async_to_sync(in_a_task)()

    async def in_a_task():
        await asyncio.create_task(sync_to_async(note)("call of a task in a call"))

    def items():
        note("iterator")
        yield b"item"
        note("iterator")

    async def async_view(request):
        await sync_to_async(call_inside_a_call)()
        await asyncio.gather(*(sync_to_async(note)("gather") for _ in range(3)))
        return StreamingHttpResponse(items())

    def sync_view(request):
        note("view")
        return async_to_sync(async_view)(request)

    def started(**_):
        note("started")

    def finished(**_):
        note("finished")

    around(
        lambda name, request: name in ("Hooks", "Classic") and note(name),
        lambda name, request, response: response._resource_closers.append(lambda: note("closer")),
    )
    connect(signals.request_started, started)
    connect(signals.request_finished, finished)
    application = site({"sync": sync_view, "async": async_view}[mode], paths("Hooks", *wrappers))

    with asgi.counting() as counts:
        answer = asgi.get(application)

    assert answer.body == b"item"
    assert {"call in a call", "call of a task in a call", "gather", "iterator", "closer", "finished"} <= places.keys()
    assert len(set.union(*places.values())) == 1 and {threading.get_ident()} not in places.values()
    assert counts["threads"] == 1


class Odd:
    """A callable with attributes under names that bridges, tasks and decorators use, which mean nothing here."""

    NAMES = (
        *("args", "context", "cr_running", "done", "executor", "executors", "func", "future", "get_loop", "gr_context"),
        *("keywords", "loop", "method", "parent", "run", "send", "send_robust", "submit", "thread_sensitive", "throw"),
        *("_is_coroutine", "_thread_sensitive", "__wrapped__"),
    )

    def __init__(self, function):
        self.function = function
        for name in self.NAMES:
            setattr(self, name, object())

    def __call__(self, *arguments, **keywords):
        return self.function(*arguments, **keywords)


class OddAsync(Odd):
    """The same, for code that asks whether to await it."""

    def __init__(self, function):
        super().__init__(function)
        markcoroutinefunction(self)


class OddHooks:
    """Middleware whose hooks, and which itself, are odd callables."""

    sync_capable, async_capable = True, False

    def __new__(cls, get_response):
        odd = Odd(get_response)
        odd.process_view = Odd(lambda request, *_: None)
        odd.process_exception = Odd(lambda request, error: HttpResponse(f"odd {error}"))
        odd.process_template_response = Odd(lambda request, response: response)
        return odd


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("fails", [False, True])
def test_bug_53_attributes_of_a_callable_mean_nothing(site, connect, mode, fails):
    """asgiref #537: a callable that happened to have an attribute ``context`` was not called. All kinds, as stock."""
    called = []

    def answer(request):
        if fails:
            raise ValueError("of the view")
        response = HttpResponse("ok")
        response._resource_closers.append(Odd(lambda: called.append("closer")))
        return response

    async def async_answer(request):
        called.append(await sync_to_async(Odd(lambda: "call"))())
        return answer(request)

    for signal in (signals.request_started, signals.request_finished):
        connect(signal, Odd(lambda **_: called.append("receiver")), weak=False)
        connect(signal, OddAsync(async_receiver(called)), weak=False)
    view = {"sync": Odd(answer), "async": OddAsync(async_answer)}[mode]
    outcomes = []
    for stock in (True, False):
        sent = asgi.get(site(view, [f"{HERE}.OddHooks"], stock=stock))
        outcomes.append((sent.status, sent.body, sorted(called)))
        called.clear()

    assert outcomes[0] == outcomes[1]
    assert outcomes[0][:2] == (200, b"odd of the view" if fails else b"ok")


def async_receiver(called):
    async def receive(**_):
        called.append("async receiver")

    return receive


class Counted(sqlite3.Connection):
    """A connection that says how many of its kind are open."""

    opened = 0
    are_open: set = set()

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        type(self).opened += 1
        self.are_open.add(id(self))

    def close(self):
        super().close()
        self.are_open.discard(id(self))


def test_bug_61_there_are_never_more_connections_than_request_threads(site, database, pool, monkeypatch):
    """
    Django #33497, penn-clubs #879: kept connections beside a new thread for each request add up until none is left.

    After bursts of sixty with CONN_MAX_AGE None: as many connections are open as threads are kept.
    """
    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", None)
    monkeypatch.setitem(connections.settings["default"]["OPTIONS"], "factory", Counted)
    monkeypatch.setattr(Counted, "opened", 0)
    monkeypatch.setattr(Counted, "are_open", set())
    everybody, kept = threading.Barrier(60), []

    def view(request):
        everybody.wait(20)
        return HttpResponse(str(User.objects.count()))

    application = site(view)

    async def bursts():
        for _ in range(3):
            await asyncio.gather(*(asgi.request(application) for _ in range(60)))
            await until(is_quiet)
            await until(lambda: len(Counted.are_open) <= len(pool._idle))
            kept.append((len(Counted.are_open), len(pool._idle)))

    run(bursts())

    assert kept == [(MAX_IDLE, MAX_IDLE)] * 3
    assert Counted.opened == 60 + 2 * (60 - MAX_IDLE)  # kept ones were used again


class Dies(BaseException):
    """What ends a thread: like SystemExit, which would end the loop as well."""


@pytest.mark.parametrize("where", ["view", "call"])
@pytest.mark.parametrize("error", [Dies, SystemExit, KeyboardInterrupt])
def test_bug_63_what_would_end_a_thread_ends_one_request(site, pool, where, error):
    """The request gets the error; its thread, or another, serves the next five."""

    def view(request):
        if request.path == "/fail":
            raise error
        return HttpResponse("ok")

    async def call(request):
        return await sync_to_async(view)(request)

    application = site({"view": view, "call": call}[where], [])

    with pytest.raises(error):
        asgi.get(application, "/fail")
    answers = [asgi.get(application).body for _ in range(5)]

    assert answers == [b"ok"] * 5
    assert pool.drain(5) and is_quiet()


def throw_into(thread, error):
    """Have a thread raise an exception at its next step; return whether there was such a thread."""
    return ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(error)) == 1


@pytest.mark.parametrize("line", range(1, 14))
def test_bug_63_what_comes_too_late_loses_no_job(caplog, line):
    """Wherever behind a job's function its thread is hit, that job is settled, and the next one is done."""
    calls, hit = [], []

    def strike(frame, event, argument):
        """Raise at one of the lines that are run behind the job's function."""
        if frame.f_code in (Job.run.__code__, RequestThread._do_next.__code__) and calls and not hit:
            if event == "line":
                strike.lines += 1
                if strike.lines == line:
                    hit.append(frame.f_lineno)
                    raise Dies
            return strike
        return strike if not calls else None

    strike.lines = 0
    thread = RequestThread()
    thread.do(Job(sys.settrace, (strike,)))
    thread.do(traced := Job(lambda: None))
    traced.future.result(10)
    first, second = Job(lambda: calls.append("called") or "first"), Job(lambda: "second")
    thread.do(first)
    thread.do(second)

    assert (first.future.result(10), second.future.result(10)) == ("first", "second")
    assert calls == ["called"] and len(hit) == 1
    assert ["too late" in record.getMessage() for record in caplog.records] == [True]
    caplog.clear()
    thread.end()


def test_bug_63_a_time_limit_that_comes_too_late_harms_no_other_request(site, caplog):
    """A view's time limit is thrown into its thread after the view has ended: the next request is answered."""
    threads = []

    def view(request):
        threads.append(threading.get_ident())
        return HttpResponse("ok")

    application = site(view, [])

    async def two():
        await asyncio.create_task(asgi.request(application))
        await until(is_quiet)
        throw_into(threads[0], Dies)
        async with asyncio.timeout(10):
            return (await asyncio.create_task(asgi.request(application))).body

    assert run(two()) == b"ok"
    assert ["too late" in record.getMessage() for record in caplog.records] == [True]
    caplog.clear()
