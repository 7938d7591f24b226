"""Django's test environment and a database in memory, as a test runner sets them up; every test ends in time."""

import faulthandler
import signal
import sys

import pytest
from django.db import connection, connections, transaction
from django.test import override_settings
from django.test.utils import setup_databases, setup_test_environment, teardown_databases, teardown_test_environment

TEST_TIMEOUT_S = 30


@pytest.fixture(autouse=True)
def watchdog():
    """Fail a test that hangs; end the process if even that is impossible."""

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


@pytest.fixture(scope="package", autouse=True)
def environment():
    """Do what a test runner does."""
    setup_test_environment()
    databases = setup_databases(verbosity=0, interactive=False)
    assert "memory" in str(connection.settings_dict["NAME"])
    with override_settings(
        ROOT_URLCONF="tests.testing.site",
        ALLOWED_HOSTS=["*"],
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    ):
        yield
    teardown_databases(databases, verbosity=0)
    connections.close_all()  # one to a database in memory stays open until then
    teardown_test_environment()


@pytest.fixture
def rollback():
    """Run a test in a transaction, as ``TestCase`` does."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)
