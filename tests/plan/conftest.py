"""Run something on a running event loop, and see whether it does there what blocks a loop."""

import asyncio
import contextvars
import sys
import threading

import pytest
from blockbuster import blockbuster_ctx
from django.test import override_settings

FORBIDDEN = (
    "open",
    "import",
    "os.",
    "shutil.",
    "tempfile.",
    "socket.",
    "sqlite3.",
    "subprocess.",
    "time.sleep",
)
"""Audit events of Python itself. An import is one only when the module was not there yet."""


class Watch(threading.local):
    """What this thread did while it was watched; None when it is not."""

    seen = None


watch = Watch()


def note(event, arguments, watch=watch, forbidden=FORBIDDEN):
    if watch.seen is not None and event.startswith(forbidden):
        watch.seen.append((event, *arguments))


sys.addaudithook(note)


@pytest.fixture
def on_loop():
    """Return a function that calls another one on a loop, and fails where that blocks the loop."""

    def call_on_loop(function, *arguments):
        async def main():
            with blockbuster_ctx():
                watch.seen = seen = []
                try:
                    return function(*arguments), seen
                finally:
                    watch.seen = None

        outcome, seen = contextvars.Context().run(asyncio.run, main())
        assert seen == []
        return outcome

    return call_on_loop


@pytest.fixture
def in_thread():
    """Return a function that calls another one on a thread of its own, and closes its connections."""
    from django.db import connections

    def call_in_thread(function, *arguments):
        outcomes = []

        def run():
            try:
                outcomes.append(function(*arguments))
            finally:
                connections.close_all()

        thread = threading.Thread(target=contextvars.Context().run, args=(run,))
        thread.start()
        thread.join()
        return outcomes.pop()

    return call_in_thread


@pytest.fixture
def scene_of(monkeypatch, in_thread, tables, tmp_path):
    """Return a function that makes a case's scene; its settings hold until the test is over."""
    enabled = []

    def make(case):
        enabled.append(override_settings(**case.settings))
        enabled[-1].enable()
        from tests.plan.scene import Scene

        scene = Scene(case.path, monkeypatch, in_thread, tmp_path)
        scene.guard(case.hook)
        return scene

    yield make
    monkeypatch.undo()
    for settings in enabled:
        settings.disable()


@pytest.fixture(scope="session")
def tables():
    """Make the tables once, on a thread of its own: this one's connections stay as they are."""
    from django.core.management import call_command
    from django.db import connections

    def migrate():
        call_command("migrate", verbosity=0, interactive=False)
        connections.close_all()

    thread = threading.Thread(target=migrate)
    thread.start()
    thread.join()
