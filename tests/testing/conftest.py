"""Django's test environment and a database in memory, as a test runner sets them up; every test ends in time."""

import pytest
from django.db import connection, connections, transaction
from django.test import override_settings
from django.test.utils import setup_databases, setup_test_environment, teardown_databases, teardown_test_environment

from tests.watchdog import watchdog


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
