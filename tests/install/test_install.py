"""``onehop.install()`` in a settings module: a project's own tests run through the plan, and all still hold."""

import os
import subprocess
import sys

import pytest


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.install.settings", **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("install", ["yes", "no"])
def test_bug_62_a_projects_tests_hold(install):
    done = run("-W", "error::RuntimeWarning", "-m", "django", "test", "tests.install.cases", INSTALL=install)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Ran 17 tests" in done.stderr


def test_stock_django_stays_where_it_is_asked_for():
    script = (
        "import django; from django.core.handlers.base import BaseHandler as B; before = B.load_middleware;"
        "import onehop; print(onehop.install(), B.load_middleware is before)"
    )
    done = run("-c", script, INSTALL="no", ONEHOP_DISABLE="1")
    assert done.stdout == "False True\n", done.stderr


def test_a_handle_that_an_agent_has_replaced_stays_whole():
    script = (
        "from django.core.handlers.asgi import ASGIHandler; import inspect, onehop; stock = ASGIHandler.handle\n"
        "async def handle(self, scope, receive, send): await stock(self, scope, receive, send)\n"
        "ASGIHandler.handle = handle; onehop.install()\n"
        "print(ASGIHandler.handle is handle, inspect.signature(handle))"
    )
    done = run("-c", script, INSTALL="no")
    assert done.stdout == "True (self, scope, receive, send)\n", done.stderr


def test_wrappers_of_agents_are_kept():
    """One put around Django's methods before ``install()``, and one after: both are called, and the plan is used."""
    script = """if True:
        import django, asyncio
        from django.core.handlers.asgi import ASGIHandler
        from django.core.handlers.base import BaseHandler
        import onehop
        seen = []
        def wrap(owner, name, word):
            inner = getattr(owner, name)
            def wrapper(self, *a, **k):
                seen.append(f"{word} {name}")
                return inner(self, *a, **k)
            setattr(owner, name, wrapper)
        METHODS = [(BaseHandler, "get_response_async"), (ASGIHandler, "__call__"), (BaseHandler, "load_middleware")]
        for owner, name in METHODS:
            wrap(owner, name, "early")
        assert onehop.install()
        for owner, name in METHODS:
            wrap(owner, name, "late")
        django.setup()
        from tests.asgi import counting, get
        application = ASGIHandler()
        get(application, "/quiet/")
        del seen[2:]
        with counting() as counts:
            assert get(application, "/quiet/").body == b"quiet"
        print(seen, dict(counts))
    """
    done = run("-c", script, INSTALL="no")
    words = [
        f"{word} {name}" for name in ("load_middleware", "__call__", "get_response_async") for word in ("late", "early")
    ]
    assert done.stdout == f"{words} {{}}\n", done.stdout + done.stderr
