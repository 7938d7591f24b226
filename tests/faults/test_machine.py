"""What fails around a request: databases, caches, child processes, threads that are killed. As in stock Django."""

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import sqlite3
import threading
import time
import warnings

import pytest
from django.core.cache import caches
from django.core.handlers.asgi import ASGIHandler
from django.db import connections
from django.http import HttpResponse
from django.test import override_settings

from onehop.handler import OnehopASGIHandler
from onehop.run.threads import pool
from tests import asgi
from tests.faults.inputs import UNSAVED, Input, Site, async_view_of, scope, sync_view_of, whole
from tests.faults.judge import tried
from tests.faults.scene import PATIENCE_S, run
from tests.run.conftest import retire_idle
from tests.run.drive import until

SESSIONS = "django.contrib.sessions.backends."


@pytest.fixture(scope="module")
def closed_port():
    """A port of this machine at which nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture
def database_of():
    """Return a function that adds a database with the alias ``down`` until the end of the test."""
    from django.conf import settings

    def add(**given):
        wanted = {**settings.DATABASES, "down": {**given, "TIME_ZONE": None}}
        connections.settings["down"] = connections.configure_settings(wanted)["down"]

    yield add
    connections.settings.pop("down", None)


def ask_the_database(request):
    with connections["down"].cursor() as cursor:
        cursor.execute("select name from sqlite_master")
        return HttpResponse(str(cursor.fetchall()))


def ask_the_cache(request):
    caches["default"].set("key", "value", 10)
    return HttpResponse(str(caches["default"].get("key")))


def keep_in_session(request):
    request.session["seen"] = request.session.get("seen", 0) + 1
    return HttpResponse(str(request.session["seen"]))


def on_a_thread(function):
    """An async view that calls a sync function as Django's documentation says."""
    from asgiref.sync import sync_to_async

    async def async_view(request):
        return await sync_to_async(function)(request)

    return async_view


MODES = {"sync": sync_view_of, "async": on_a_thread}


def compare(view, cookies=(), name="fails", **settings):
    """Play one request on both; return what was seen on Onehop."""
    given = Input("machine", name, view, scope(headers=list(cookies)), whole(), settings)
    tried(given)
    return given.play(OnehopASGIHandler)


def status_of(seen):
    return seen["messages"][0]["status"]


@pytest.mark.parametrize("mode", MODES)
def test_a_database_that_refuses_connections(mode, closed_port, database_of):
    """PostgreSQL's client finds a closed port: the error page of stock Django, and its log."""
    pytest.importorskip("psycopg")
    database_of(
        ENGINE="django.db.backends.postgresql", HOST="127.0.0.1", PORT=str(closed_port), NAME="none", USER="nobody"
    )
    seen = compare(MODES[mode](ask_the_database))

    assert status_of(seen) == 500
    assert seen["logs"] == [("django.request", "ERROR", "Internal Server Error: /", "OperationalError")]


@pytest.mark.parametrize("mode", MODES)
def test_a_database_whose_folder_is_gone(mode, tmp_path, database_of):
    """SQLite cannot open its file."""
    database_of(ENGINE="django.db.backends.sqlite3", NAME=str(tmp_path / "gone" / "db.sqlite3"))

    assert status_of(compare(MODES[mode](ask_the_database))) == 500


@pytest.mark.parametrize("mode", MODES)
def test_a_database_that_is_locked(mode, tmp_path, database_of):
    """SQLite gives up after its timeout; the request is answered with the error page."""
    name = str(tmp_path / "db.sqlite3")
    database_of(ENGINE="django.db.backends.sqlite3", NAME=name, OPTIONS={"timeout": 0.05})
    with contextlib.closing(sqlite3.connect(name)) as holder:
        holder.execute("begin exclusive")
        seen = compare(MODES[mode](ask_the_database))

    assert status_of(seen) == 500


@pytest.mark.parametrize("mode", MODES)
def test_a_database_that_is_slow(mode, tmp_path, database_of):
    """Nothing times out, and the loop goes on meanwhile."""

    def slow(request):
        with connections["down"].cursor() as cursor:
            connections["down"].connection.create_function("nap", 0, lambda: time.sleep(0.2))
            cursor.execute("select nap()")
        return HttpResponse("slept")

    database_of(ENGINE="django.db.backends.sqlite3", NAME=str(tmp_path / "db.sqlite3"))

    assert status_of(compare(MODES[mode](slow))) == 200


def cache_settings(backend, port):
    return {"CACHES": {"default": {"BACKEND": f"django.core.cache.backends.{backend}", "LOCATION": at(backend, port)}}}


def at(backend, port):
    return f"redis://127.0.0.1:{port}" if backend.startswith("redis") else f"127.0.0.1:{port}"


CACHES = {"redis.RedisCache": "redis", "memcached.PyMemcacheCache": "pymemcache"}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("backend", CACHES)
def test_a_cache_that_refuses_connections(backend, mode, closed_port):
    """The real client finds a closed port."""
    pytest.importorskip(CACHES[backend])
    seen = compare(MODES[mode](ask_the_cache), **cache_settings(backend, closed_port))

    assert status_of(seen) == 500


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("engine", ["cache", "cached_db"])
@pytest.mark.parametrize("backend", CACHES)
def test_sessions_in_a_cache_that_is_down(backend, engine, mode, closed_port):
    """The session is loaded in the view and saved in a response hook; both fail as in stock Django."""
    pytest.importorskip(CACHES[backend])
    cookie = [(b"cookie", b"sessionid=" + b"a" * 32)]
    settings = {"SESSION_ENGINE": SESSIONS + engine, **cache_settings(backend, closed_port)}
    seen = compare(MODES[mode](keep_in_session), cookie, UNSAVED, **settings)

    assert seen["messages"]


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("start", ["fork", "multiprocessing"])
def test_a_child_process_of_a_view_answers_requests(mode, start):
    """A view forks: its child, which has none of the threads, serves a request; then the parent goes on."""
    if not hasattr(os, "fork"):
        pytest.skip("no fork here")
    forked = []

    def fork(request):
        if request.path == "/next":
            return HttpResponse("next")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            forked.append(CHILDREN[start](request.handler))
        return HttpResponse("parent")

    outcomes = []
    for make_handler in (ASGIHandler, OnehopASGIHandler):
        view = sync_view_of(fork) if mode == "sync" else async_view_of(fork)
        with override_settings(**Site(view).settings):
            handler = make_handler()
            handler.request_class = type("Request", (handler.request_class,), {"handler": handler})
            outcomes.append([run(asgi.request(handler, path)).status for path in ("/", "/", "/next")])

    assert outcomes == [[200, 200, 200]] * 2
    assert forked == [0, 0] * 2


def serve_in_child(handler):
    """What a child does: exit code 0 if it can answer a request."""
    signal.alarm(PATIENCE_S)
    try:
        answered = threading.Thread(target=lambda: codes.append(run(asgi.request(handler, "/next")).status))
        codes = []
        answered.start()
        answered.join()
        return 0 if codes == [200] else 1
    except BaseException:
        return 2


def fork_by_hand(handler):
    child = os.fork()
    if child == 0:
        os._exit(serve_in_child(handler))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def fork_by_multiprocessing(handler):
    import multiprocessing

    child = multiprocessing.get_context("fork").Process(target=lambda: os._exit(serve_in_child(handler)))
    child.start()
    child.join(PATIENCE_S + 5)
    return child.exitcode


CHILDREN = {"fork": fork_by_hand, "multiprocessing": fork_by_multiprocessing}


@pytest.mark.parametrize("make_handler", [ASGIHandler, OnehopASGIHandler])
def test_a_thread_that_is_killed_between_two_requests_loses_none(make_handler):
    """
    An exception is thrown into the thread of a view after the view has ended, as a late timeout does.

    Stock Django's next request has a thread of its own.
    """
    idents = []

    def view(request):
        idents.append(threading.get_ident())
        return HttpResponse("hello")

    async def whole_scene(handler):
        statuses = [(await asgi.request(handler, "/")).status]
        await until(lambda: not (pool._busy or pool._closing))
        thrown = ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(idents[0]), ctypes.py_object(SystemExit))
        assert thrown == 1 or make_handler is ASGIHandler  # whose thread is gone
        for _ in range(2):
            statuses.append((await asyncio.wait_for(asgi.request(handler, "/"), 2)).status)
        return statuses

    retire_idle()
    with override_settings(**Site(sync_view_of(view)).settings):
        assert run(whole_scene(make_handler())) == [200, 200, 200]
