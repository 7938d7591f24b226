"""A fixture for tests that could hang: import it into a ``conftest``, and every test there ends in time."""

import faulthandler
import signal
import sys

import pytest

TEST_TIMEOUT_S = 30


@pytest.fixture(autouse=True)
def watchdog():
    """Fail a test that hangs, and show where every thread stands; end the process if even that is impossible."""

    def bark(*_):
        faulthandler.dump_traceback(file=sys.__stderr__)
        pytest.fail(f"still running after {TEST_TIMEOUT_S} s")

    before = signal.signal(signal.SIGALRM, bark)
    signal.setitimer(signal.ITIMER_REAL, TEST_TIMEOUT_S)
    faulthandler.dump_traceback_later(2 * TEST_TIMEOUT_S, exit=True, file=sys.__stderr__)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
    faulthandler.cancel_dump_traceback_later()
