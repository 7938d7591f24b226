"""Every test here ends in time, on clean threads, and leaves nothing unretrieved."""

import logging
import threading
from contextlib import ExitStack

import pytest
from django.test import override_settings
from django.urls import re_path

from onehop.handler import OnehopASGIHandler
from onehop.run import leftovers, threads
from tests import asgi
from tests.project.settings import DEFAULT_MIDDLEWARE
from tests.run.stacks import Around
from tests.watchdog import watchdog


@pytest.fixture(autouse=True)
def pool(watchdog, monkeypatch):
    """
    Give every test an empty pool that may search at once; at the end no thread is busy, and all idle ones end.

    However busy the machine is, a lease waits for a thread that is only closing: how many are started is no chance.
    """
    monkeypatch.setattr(leftovers, "SEARCH_INTERVAL_S", 0)
    monkeypatch.setattr(threads, "WAIT_FOR_CLOSING_S", 2)
    retire_idle()
    threads.pool.__init__()
    yield threads.pool
    drained = threads.pool.drain(10) and not (threads.pool._busy or threads.pool._closing)
    retire_idle()
    threads.pool.__init__()
    assert drained, "a request thread is still busy"


def retire_idle():
    """End all idle request threads, and wait until they have."""
    while threads.pool._idle:
        thread = threads.pool._idle.pop()
        threads.pool._threads.discard(thread)
        thread.end()
    for thread in threading.enumerate():
        if thread.name.startswith("onehop-request"):
            thread.join(5)


@pytest.fixture(autouse=True)
def nothing_unretrieved(caplog):
    """Fail a test after which asyncio or the lease has logged an error that nobody took."""
    caplog.set_level(logging.WARNING)
    yield
    noise = [each.getMessage() for each in caplog.records if each.name in ("asyncio", "onehop")]
    assert [each for each in noise if "ASGIHandler.handle.<locals>" not in each] == []  # stock Django 5.2's and 6.0's


class Urls(type):
    """Classes serve as ROOT_URLCONF: anything hashable with ``urlpatterns`` does."""


@pytest.fixture
def site(request):
    """
    Return a function that makes an application: one view at every path, and a stack of middleware.

    The settings hold until the end of the test.
    """
    stack = ExitStack()
    request.addfinalizer(stack.close)

    def make(view=None, middleware=DEFAULT_MIDDLEWARE, *, stock=False, urlpatterns=None, **settings):
        if view is not None:
            urlpatterns = [re_path("", view)]
        if urlpatterns is not None:
            settings["ROOT_URLCONF"] = Urls("Site", (), {"urlpatterns": urlpatterns})
        settings["MIDDLEWARE"] = list(middleware)
        stack.enter_context(override_settings(**settings))
        return asgi.stock_application() if stock else OnehopASGIHandler()

    return make


@pytest.fixture
def around(monkeypatch):
    """Return a function that says what the middleware of ``stacks`` does before and after."""

    def set_them(before=None, after=None):
        monkeypatch.setattr(Around, "before", staticmethod(before or (lambda *_: None)))
        monkeypatch.setattr(Around, "after", staticmethod(after or (lambda *_: None)))

    return set_them


@pytest.fixture
def connect():
    """Connect receivers until the end of the test."""
    connected = []

    def connect_one(signal, receiver, **keywords):
        signal.connect(receiver, **keywords)
        connected.append((signal, receiver, keywords))

    yield connect_one
    for sent, receiver, keywords in connected:
        sent.disconnect(receiver, sender=keywords.get("sender"))
