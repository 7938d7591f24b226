"""Set Django up once; every test gets a fresh recorder and leaves no task, thread or warning behind."""

import os
import signal

import pytest

from tests.watchdog import pytest_runtest_makereport, pytest_runtest_protocol

__all__ = ["pytest_runtest_makereport", "pytest_runtest_protocol"]

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.project.settings")


def pytest_configure(config):
    import django

    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a job of a shell's background
        signal.signal(signal.SIGINT, signal.default_int_handler)

    django.setup(set_prefix=False)


@pytest.fixture(scope="session")
def database():
    """Make the tables once, in a database file that all threads see."""
    from django.core.management import call_command
    from django.db import connections

    call_command("migrate", verbosity=0, interactive=False)
    yield
    connections.close_all()


@pytest.fixture
def events():
    from tests.project.recorder import record

    record.clear()
    yield record
    record.clear()
