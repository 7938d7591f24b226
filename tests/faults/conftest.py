"""Every test here ends in time, and the garbage collector sees only what a test has made."""

import gc

import pytest

from tests.watchdog import watchdog


@pytest.fixture(scope="package")
def frozen():
    """Collecting after each request takes a millisecond, not a hundred."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def bounded(watchdog, frozen, database):
    """For all tests here."""
