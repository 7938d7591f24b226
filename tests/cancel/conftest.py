"""The net: every request of a test is noted, with all that it opens, and what Python and asyncio complain of."""

import gc
import logging
import os
import sqlite3
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from asgiref.current_thread_executor import CurrentThreadExecutor
from django.core import signals
from django.core.handlers.asgi import ASGIRequest
from django.db import connections
from django.dispatch import Signal
from django.http.response import HttpResponseBase
from django.urls import re_path

from onehop.run import greenlets, threads
from tests import watchdog as watching
from tests.cancel import points
from tests.cancel.laws import KINDS, NotedConnection
from tests.cancel.points import present
from tests.run.conftest import connect, pool, site
from tests.watchdog import watchdog

LONG = os.environ.get("ONEHOP_LONG") == "1"
LONG_TIMEOUT_S = 600


@pytest.fixture(scope="module", autouse=True)
def quick_collections():
    """Let each collection look only at what a test has made."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module", autouse=True)
def patience():
    """Give each test of a long run more time before the watchdog barks."""
    before = watching.TEST_TIMEOUT_S
    watching.TEST_TIMEOUT_S = LONG_TIMEOUT_S if LONG else before
    yield
    watching.TEST_TIMEOUT_S = before


@pytest.fixture
def net(pool, database, monkeypatch):
    """Have the present run note what it makes, closes, leaves and logs."""

    def note(owner, name, what):
        original = getattr(owner, name)

        def noting(self, *arguments, **keywords):
            if present.run is not None:
                what(self)
            return original(self, *arguments, **keywords)

        monkeypatch.setattr(owner, name, noting)

    submit, wait_for_loop = ThreadPoolExecutor.submit, CurrentThreadExecutor.run_until_future

    def noted_submit(*arguments, **keywords):
        job = submit(*arguments, **keywords)
        if present.run is not None:
            present.jobs.append(job)
        return job

    def noted_wait(executor, call):
        if present.run is not None:
            present.calls.append(call)
        wait_for_loop(executor, call)

    monkeypatch.setattr(ThreadPoolExecutor, "submit", noted_submit)
    monkeypatch.setattr(CurrentThreadExecutor, "run_until_future", noted_wait)
    note(HttpResponseBase, "__init__", lambda response: present.responses.append(response))
    note(ASGIRequest, "close", lambda request: present.requests.append(request))

    class NotedFile(tempfile.SpooledTemporaryFile):
        def __init__(self, *arguments, **keywords):
            super().__init__(*arguments, **keywords)
            if present.run is not None:
                present.files.append(self)

        def rollover(self):
            if present.run is not None:
                present.mark("the body goes to the disk")
            super().rollover()

    class NotedGreenlet(greenlets.WrapperGreenlet):
        def __init__(self, *arguments, **keywords):
            super().__init__(*arguments, **keywords)
            present.greenlets.append(self)

    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", NotedFile)
    monkeypatch.setattr(greenlets, "WrapperGreenlet", NotedGreenlet)
    monkeypatch.setattr(sqlite3.dbapi2, "connect", partial(sqlite3.connect, factory=NotedConnection))
    monkeypatch.setattr(threads.Job, "run", points.stopping(threads.Job.run))

    class Complaints(logging.Handler):
        def emit(self, record):
            if present.run is not None:
                present.complaints.append(f"{record.name}: {record.getMessage()}")

    complaints = Complaints(logging.WARNING)
    loggers = [logging.getLogger(name) for name in ("asyncio", "onehop", "concurrent.futures")]
    for logger in loggers:
        logger.addHandler(complaints)
    monkeypatch.setattr(sys, "unraisablehook", lambda it: present.complaints.append(f"{it.err_msg}: {it.exc_value!r}"))
    yield
    for logger in loggers:
        logger.removeHandler(complaints)


class Urls(type):
    """Classes serve as ROOT_URLCONF."""


@pytest.fixture
def stage(net, site, connect, monkeypatch):
    """Return a function that sets the stage for a scenario."""
    from tests.cancel.scenarios import RECEIVERS, canary, error_handler  # Django's models: not before its set-up
    from tests.cancel.stage import Stage

    counted = []

    def set_stage(scenario, *, stock=False):
        if scenario.atomic:
            monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)
        monkeypatch.setattr(threads, "WAIT_FOR_ANY_S", 0.01)
        if scenario.watch != "nobody":
            for signal, method, heard in (
                (signals.request_started, "_live_receivers", "started"),
                (signals.request_finished, "send", "finished"),
            ):
                count_sends(signal, method, heard)
        if scenario.watch in RECEIVERS:
            for signal, receiver in zip(
                (signals.request_started, signals.request_finished), RECEIVERS[scenario.watch], strict=True
            ):
                connect(signal, receiver)
        patterns = [re_path("^canary/", canary), re_path("", scenario.view)]
        urls = Urls("Site", (), {"urlpatterns": patterns, "handler404": error_handler, "handler500": error_handler})
        gc.collect()  # What stock Django has left behind complains now, to nobody.
        application = site(middleware=scenario.middleware, stock=stock, ROOT_URLCONF=urls, **scenario.settings)
        played = Stage(scenario, application, stock=stock)
        assert stock or not played.calm.problems, [*played.calm.problems, played.calm.story()]
        return played

    def count_sends(watched, method, name):
        if watched in counted:
            return  # for the same scenario under the other handler
        counted.append(watched)
        original = getattr(Signal, method)

        def counting(signal, *arguments, **keywords):
            if signal is watched:
                setattr(present.run, name, getattr(present.run, name) + 1)
            return original(signal, *arguments, **keywords)

        monkeypatch.setattr(Signal, method, counting)

    yield set_stage
    present.run = None


def pytest_sessionfinish(session):
    """Hand what a process of pytest-xdist has counted to the one that tells it."""
    if hasattr(session.config, "workeroutput"):
        from tests.cancel.stage import found, points_of, runs_with

        session.config.workeroutput["cancel"] = [dict(counted) for counted in (points_of, runs_with, found)]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    from tests.cancel.stage import found, points_of, runs_with

    counted = getattr(node, "workeroutput", {}).get("cancel")  # none of one that has crashed
    for total, part in zip((points_of, runs_with, found), counted or (), strict=False):
        total.update(part)


def pytest_terminal_summary(terminalreporter):
    """Say how much was tried, and what was found."""
    from tests.cancel.stage import found, points_of, runs_with

    if points_of:
        write = terminalreporter.write_line
        write(f"{len(points_of)} scenarios with {sum(points_of.values()):,} points; {runs_with.total():,} runs:")
        write("  " + ", ".join(f"{name} {runs:,}" for name, runs in runs_with.items()))
        write("  " + ", ".join(f"{kind} {found[kind]:,}" for kind in (*KINDS, "other problems")))
