"""No test hangs for ever. With the fixture, which a ``conftest`` imports, every test there ends in a minute."""

import faulthandler
import signal
import sys

import pytest

TEST_TIMEOUT_S = 60
LAST_RESORTS = 5
"""How many times as long until the process of a test is ended that not even this ends."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol():
    """End the process of any test that hangs, as nothing else may end it, and show where every thread stands."""
    end_in_time()
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


def end_in_time():
    faulthandler.dump_traceback_later(LAST_RESORTS * TEST_TIMEOUT_S, exit=True, file=sys.__stderr__)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(call):
    """Keep quiet while pytest reports: it would be pytest that is failed."""
    if call.when == "call":
        signal.setitimer(signal.ITIMER_REAL, 0)


@pytest.fixture(autouse=True)
def watchdog():
    """Fail a test that hangs, and show where every thread stands."""

    def bark(*_):
        faulthandler.dump_traceback(file=sys.__stderr__)
        pytest.fail(f"still running after {TEST_TIMEOUT_S} s")

    before = signal.signal(signal.SIGALRM, bark)
    signal.setitimer(signal.ITIMER_REAL, TEST_TIMEOUT_S)
    end_in_time()
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
