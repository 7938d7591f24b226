"""Requests in process, as in ``tests/run``: every test ends in time and leaves no thread, greenlet or error behind."""

import itertools
import sys

import pytest

from tests.run.conftest import around, connect, nothing_unretrieved, pool, site, watchdog

numbers = itertools.count()


@pytest.fixture
def importable(monkeypatch):
    """Return a function that gives classes and functions a dotted path each, for ``MIDDLEWARE``."""

    def path_of(middleware):
        name = f"middleware_{next(numbers)}"
        monkeypatch.setattr(sys.modules[__name__], name, middleware, raising=False)
        return f"{__name__}.{name}"

    return lambda *middleware: [path_of(each) for each in middleware]
