"""Every test here ends in time, leaves no family on the loop and nothing unretrieved."""

import gc
import logging
from contextlib import ExitStack

import pytest

from onehop._django import asgiref_thread_local
from onehop.run.background import background
from tests.watchdog import watchdog
from tests.wsgi import drive


@pytest.fixture(autouse=True)
def thread_local():
    """Begin on a thread on which asgiref has found no loop yet."""
    asgiref_thread_local.__dict__.clear()
    yield asgiref_thread_local.__dict__
    asgiref_thread_local.__dict__.clear()


@pytest.fixture
def complaints(caplog):
    """Return what asyncio and Onehop have logged so far, after a collection."""
    caplog.set_level(logging.WARNING)

    def said():
        gc.collect()
        return [each.getMessage() for each in caplog.records if each.name in ("asyncio", "onehop")]

    return said


@pytest.fixture(autouse=True)
def nothing_left(watchdog):
    """No family may be left on the loop."""
    yield
    assert not background.loop.families


@pytest.fixture
def site(request):
    """Return a function that makes an application: one view at every path, and a stack of middleware."""
    stack = ExitStack()
    request.addfinalizer(stack.close)

    def make(*arguments, **keywords):
        application, overridden = drive.application_of(*arguments, **keywords)
        stack.enter_context(overridden)
        return application

    return make


@pytest.fixture(params=["stock", "onehop"])
def either(request, site):
    """Make applications on stock Django, then on Onehop: what is true of one must be true of the other."""
    return lambda *arguments, **keywords: site(*arguments, stock=request.param == "stock", **keywords)
