"""Receivers of ``request_started`` and ``request_finished``: where they run, in whose name, how they come and go."""

import asyncio
import contextvars
import gc
import threading
import weakref

import django
import pytest
from django import db
from django.core import signals
from django.core.handlers.asgi import ASGIHandler
from django.dispatch import Signal
from django.http import HttpResponse

from onehop.handler import OnehopASGIHandler
from onehop.run.threads import pool
from tests import asgi
from tests.project.views import async_view, sync_view
from tests.run.drive import run

STARTED, FINISHED = signals.request_started, signals.request_finished


def where():
    return "loop" if threading.current_thread() is threading.main_thread() else threading.get_ident()


def requests_of(application, count=1):
    """Send requests, each in a task of its own, and wait until they are closed."""

    async def send_all():
        return [(await asyncio.create_task(asgi.request(application))).status for _ in range(count)]

    statuses = run(send_all())
    assert pool.drain(5), "a request thread is still busy"
    return statuses


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_sync_receivers_run_on_the_request_thread(site, connect, mode):
    """A sync receiver is started and finished on one thread, never the loop's, which is a sync view's thread too."""
    seen = []

    def view(request):
        seen.append(where())
        return HttpResponse("ok")

    async def view_on_loop(request):
        return HttpResponse("ok")

    def receiver(**_):
        seen.append(where())

    connect(STARTED, receiver)
    connect(FINISHED, receiver)
    application = site({"sync": view, "async": view_on_loop}[mode])

    requests_of(application)

    assert len(seen) == {"sync": 3, "async": 2}[mode]
    assert len(set(seen)) == 1 and seen[0] != "loop"


def test_async_receivers_are_awaited_on_the_loop(site, connect, events):
    """An async receiver has run to its end before the view begins, and before the application ends."""

    async def receiver(signal, **_):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        events.append(("started" if signal is STARTED else "finished", where()))

    def view(request):
        events.append("view")
        return HttpResponse("ok")

    connect(STARTED, receiver)
    connect(FINISHED, receiver)
    application = site(view)

    requests_of(application)

    assert events == [("started", "loop"), "view", ("finished", "loop")]


def test_bug_75_receivers_are_called_as_by_django(site, connect, events):
    """Sync ones in the order of connection, then the async ones; the arguments are Django's own."""

    def first(signal, sender, scope, **more):
        events.append(("first", signal is STARTED, sender, scope["path"], more))

    async def second(signal, sender, scope, **more):
        events.append(("second", signal is STARTED, sender, scope["path"], more))

    def third(signal, sender, scope, **more):
        events.append(("third", signal is STARTED, sender, scope["path"], more))

    def last(signal, sender, **more):
        events.append(("last", signal is FINISHED, sender, more))

    for receiver in (first, second, third):
        connect(STARTED, receiver)
    connect(FINISHED, last)
    runs = []
    for stock in (True, False):
        application = site(sync_view, stock=stock)
        requests_of(application)
        runs.append(list(events))
        events.clear()

    if django.VERSION < (6, 1):  # There stock Django runs the async receivers beside the sync ones.
        runs[0].sort(key=lambda event: (event[0] == "last", event[0] == "second"))
    assert runs[0] == runs[1]
    assert [event[0] for event in runs[1]] == ["first", "third", "second", "last"]
    assert [event[2] for event in runs[1]] == [ASGIHandler] * 4


@pytest.mark.parametrize("view", [sync_view, async_view])
def test_a_subclass_of_the_users_sends_in_its_own_name(site, connect, view):
    """The sender is ``ASGIHandler`` for our handler, and the concrete class for a subclass of it."""
    senders = []
    site(view)

    class Mine(OnehopASGIHandler):
        pass

    def receiver(sender, **_):
        senders.append(sender)

    connect(STARTED, receiver)
    connect(FINISHED, receiver)

    requests_of(OnehopASGIHandler())
    requests_of(Mine())

    assert senders == [ASGIHandler, ASGIHandler, Mine, Mine]


@pytest.mark.parametrize("view", [sync_view, async_view])
def test_bug_77_receivers_come_and_go_between_requests(site, connect, view):
    """A receiver is called from the request after its connection to the one before its disconnection."""
    received = []

    def receiver(signal, **_):
        received.append("started" if signal is STARTED else "finished")

    application = site(view)
    requests_of(application, 2)
    pool.drain(5)
    for signal in (STARTED, FINISHED):
        signal.connect(receiver)
    try:
        requests_of(application, 2)
    finally:
        for signal in (STARTED, FINISHED):
            signal.disconnect(receiver)
    requests_of(application, 2)

    assert received == ["started", "finished"] * 2


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_bug_77_a_receiver_connected_by_the_view_hears_of_its_end(site, connect, mode):
    """What is connected while a request runs is called when that request finishes."""
    received = []

    def receiver(**_):
        received.append(where())

    def view(request):
        connect(FINISHED, receiver)
        return HttpResponse("ok")

    async def view_on_loop(request):
        return view(request)

    requests_of(site({"sync": view, "async": view_on_loop}[mode]))

    assert len(received) == 1
    assert received != ["loop"]


@pytest.mark.parametrize("view", [sync_view, async_view])
def test_bug_76_weak_receivers_are_not_kept_alive(site, view):
    """A receiver that nobody else holds is gone at once, and is not called again."""
    received = []

    def make():
        def receiver(**_):
            received.append("called")

        STARTED.connect(receiver)
        FINISHED.connect(receiver)
        return receiver

    application = site(view)
    receiver = make()
    requests_of(application)
    alive = weakref.ref(receiver)
    del receiver
    gc.collect()

    requests_of(application)

    assert alive() is None
    assert received == ["called", "called"]


def test_a_failing_finished_receiver_raises_as_in_django(site, connect):
    """What a foreign receiver raises while a request is closed comes out of the application."""
    connect(FINISHED, lambda **_: 1 / 0, weak=False)

    for stock in (True, False):
        with pytest.raises(ZeroDivisionError):
            requests_of(site(sync_view, stock=stock))


def test_receivers_see_the_context_of_the_request(site, connect):
    """A sync receiver sees the context variables of the view, at the end, on the thread."""
    variable = contextvars.ContextVar("variable")
    seen = []

    async def view(request):
        variable.set("view's")
        return HttpResponse("ok")

    connect(FINISHED, lambda **_: seen.append(variable.get(None)), weak=False)

    requests_of(site(view))

    assert seen == ["view's"]


@pytest.mark.parametrize("view", [sync_view, async_view])
def test_a_replaced_receiver_of_django_is_called(site, view):
    """Django's ``close_old_connections``, wrapped by somebody, is a receiver like any other."""
    called = []
    original = db.close_old_connections

    def wrapped(**keywords):
        called.append(where())
        original(**keywords)

    for signal in (STARTED, FINISHED):
        signal.disconnect(original)
        signal.connect(wrapped)
    try:
        requests_of(site(view))
    finally:
        for signal in (STARTED, FINISHED):
            signal.disconnect(wrapped)
            signal.connect(original)

    assert len(called) == 2
    assert len(set(called)) == 1 and called[0] != "loop"


@pytest.mark.parametrize("on", [Signal, STARTED], ids=["class", "instance"])
def test_an_agent_that_replaces_asend_is_called(site, monkeypatch, on):
    """What was put in the place of ``Signal.asend`` is called for ``request_started``, as in stock Django."""
    sent = []

    async def asend(*_, **named):
        sent.append(sorted(named))
        return []

    monkeypatch.setattr(on, "asend", asend)
    runs = []
    for stock in (True, False):
        requests_of(site(async_view, [], stock=stock))
        runs.append(list(sent))
        sent.clear()

    assert runs[0] == runs[1] != []


def test_an_agent_that_replaces_send_of_one_signal_is_called(site, monkeypatch):
    """What was put in the place of ``request_finished.send`` is called, as in stock Django."""
    sent = []
    monkeypatch.setattr(FINISHED, "send", lambda **named: sent.append(sorted(named)), raising=False)
    runs = []
    for stock in (True, False):
        requests_of(site(async_view, [], stock=stock))
        runs.append(list(sent))
        sent.clear()

    assert runs[0] == runs[1] != []
