"""Entries 92-96: what ends a request in an odd way. The matrix of exceptions under ASGI is shown in tests/run."""

import asyncio
import random
import socket
import threading
import time

import pytest
from asgiref.sync import sync_to_async
from django.conf.urls.i18n import i18n_patterns
from django.core import signals
from django.http import HttpResponse
from django.urls import path, re_path

from tests import asgi
from tests.process import wait_until
from tests.run.drive import run, until
from tests.run.stacks import KINDS, paths
from tests.run.test_exits import is_quiet
from tests.run.test_messages import ERRORS, make_view, modes, outcome_of
from tests.wsgi import drive

SEED = 94


@modes
@pytest.mark.parametrize("name", [*ERRORS, "StopIteration", "GeneratorExit"])
def test_bug_92_what_a_view_raises_under_wsgi_ends_as_in_stock_django(connect, mode, name):
    """Measured: exits and cancellations go to the server, other errors are answered; the signals are the same."""
    more = {"StopIteration": lambda: StopIteration("stop"), "GeneratorExit": lambda: GeneratorExit("exit")}

    def fail(request):
        raise {**ERRORS, **more}[name]()

    heard, outcomes = [], []
    connect(signals.request_started, lambda **_: heard.append("started"), weak=False)
    connect(signals.request_finished, lambda **_: heard.append("finished"), weak=False)
    for stock in (True, False):
        application, overridden = drive.application_of(make_view(mode, fail), stock=stock)
        with overridden:
            try:
                outcomes.append((drive.get(application).status, list(heard)))
            except BaseException as error:
                outcomes.append((type(error), str(error), list(heard)))
        heard.clear()

    assert outcomes[1] == outcomes[0]


@modes
@pytest.mark.parametrize("name", ERRORS)
def test_bug_92_what_a_view_raises_finishes_its_request_once(site, connect, mode, name):
    """Measured: stock Django never finishes a request whose view raises what is no ``Exception``."""
    heard = []

    def fail(request):
        raise ERRORS[name]()

    connect(signals.request_started, lambda **_: heard.append("started"), weak=False)
    connect(signals.request_finished, lambda **_: heard.append("finished"), weak=False)
    application = site(make_view(mode, fail), [])
    outcome_of(application, asgi.scope_of(), [{"type": "http.request"}])

    wait_until(lambda: len(heard) == 2, "the end of the request")
    assert heard == ["started", "finished"]


@pytest.mark.parametrize("waits", [True, False], ids=["view waits", "view has ended"])
def test_bug_93_an_exit_in_a_task_of_a_view_ends_the_loop_as_in_stock_django(site, connect, waits):
    """Measured: it reaches the server through the loop. The view's request is finished, and the next loop serves."""
    heard, outcomes = [], []

    async def exits():
        await asyncio.sleep(0.001)
        raise SystemExit(3)

    async def view(request):
        if request.path == "/exit":
            tasks.append(asyncio.ensure_future(exits()))
            await asyncio.sleep(60 if waits else 0)
        return HttpResponse("ok")

    async def serve(application):
        await asgi.request(application, "/exit")
        await asyncio.sleep(60)

    tasks = []
    connect(signals.request_finished, lambda **_: heard.append("finished"), weak=False)
    for stock in (True, False):
        application = site(view, [], stock=stock)
        with pytest.raises(SystemExit) as raised:
            run(serve(application))
        assert tasks.pop().exception() is raised.value
        if not stock:
            wait_until(lambda: heard, "the end of the request")
            assert heard == ["finished"]
        outcomes.append((raised.value.code, asgi.get(application).body))
        heard.clear()

    assert outcomes == [(3, b"ok")] * 2


class Store:
    """A slow server with one answer to each line, and a client of it that keeps its connections for the next use."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.idle, self.threads = [], []
        self._accept = threading.Thread(target=self._serve, daemon=True)
        self._accept.start()

    def _serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.threads.append(threading.Thread(target=self._answer, args=[connection], daemon=True))
            self.threads[-1].start()

    @staticmethod
    def _answer(connection):
        chance = random.Random(SEED)
        with connection, connection.makefile("rwb", buffering=0) as stream:
            for line in stream:
                time.sleep(chance.uniform(0, 0.003))
                stream.write(b"value of " + line)

    def get(self, key):
        """Ask for a key, on a connection that may have been used before, as redis-py's pools did."""
        connection = self.idle.pop() if self.idle else socket.create_connection(self.listener.getsockname())
        try:
            connection.sendall(f"{key}\n".encode())
            return connection.makefile().readline().strip()
        finally:
            self.idle.append(connection)

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.idle:
            connection.close()
        for thread in (self._accept, *self.threads):
            thread.join(5)


@pytest.fixture
def store():
    store = Store()
    yield store
    store.close()


@pytest.mark.parametrize("ending", ["disconnect", "cancel"])
@pytest.mark.parametrize("use", ["sync view", "call of an async view", "Hooks", "Classic"])
def test_bug_94_nobody_reads_the_reply_to_somebody_elses_question(site, around, store, use, ending):
    """
    redis-py #2624, CVE-2023-28858: a cancelled request left its reply on the connection, for the next user to read.

    Requests are given up at random moments while their thread waits for a reply: blocking code is never interrupted.
    """
    wrong, asked, chance = [], set(), random.Random(SEED)

    def ask(request):
        key = request.GET["key"]
        asked.add(key)
        value = store.get(key)
        if value != f"value of {key}":
            wrong.append((key, value))

    def sync_view(request):
        ask(request)
        return HttpResponse("ok")

    async def async_view(request):
        if use.startswith("call"):
            await sync_to_async(ask)(request)
        return HttpResponse("ok")

    around(lambda name, request: ask(request), lambda name, request, response: ask(request))
    stack = paths(use) if use in KINDS else []
    application = site(sync_view if use == "sync view" else async_view, stack)

    async def give_up(key):
        disconnect = asyncio.Event()
        request = asyncio.create_task(asgi.request(application, f"/?key={key}", disconnect=disconnect))
        await until(lambda: key in asked)
        await asyncio.sleep(chance.uniform(0, 0.004))
        disconnect.set() if ending == "disconnect" else request.cancel()
        await asyncio.wait([request])

    async def client(number):
        for turn in range(10):
            await give_up(f"{number}-{turn}")

    async def clients():
        await asyncio.gather(*(client(number) for number in range(8)))
        await until(is_quiet)

    run(clients())

    assert (wrong, len(asked)) == ([], 80)


@modes
@pytest.mark.parametrize("engine", ["db", "cached_db", "cache", "file"])
def test_bug_95_a_session_that_was_deleted_meanwhile_stays_deleted(site, database, tmp_path, mode, engine):
    """
    Django #21608: a request that was still running saved the session of a user who had logged out, back into life.

    Now it is answered with 400, and there is no session, in stock Django and here.
    """

    def begin(request):
        request.session["user"] = "ada"
        return HttpResponse("ok")

    def log_out_elsewhere(request):
        assert request.session["user"] == "ada"
        elsewhere = type(request.session)(request.session.session_key)
        elsewhere.delete()
        sessions.append(elsewhere)
        request.session["late"] = True
        return HttpResponse("ok")

    async def async_log_out(request):
        return await sync_to_async(log_out_elsewhere)(request)

    late = {"sync": log_out_elsewhere, "async": async_log_out}[mode]
    settings = {"SESSION_ENGINE": f"django.contrib.sessions.backends.{engine}", "SESSION_FILE_PATH": str(tmp_path)}
    sessions, statuses = [], []
    for stock in (True, False):
        application = site(urlpatterns=[path("begin", begin), path("late", late)], stock=stock, **settings)
        cookie = dict(asgi.get(application, "/begin").headers)[b"Set-Cookie"].split(b";")[0]
        statuses.append(asgi.get(application, "/late", headers=[(b"cookie", cookie)]).status)

    assert statuses == [400, 400]
    assert [session.exists(session.session_key) for session in sessions] == [False, False]


LONG = "x" * 501
LANGUAGES = {
    "header": {"headers": [(b"accept-language", LONG.encode())]},
    "header of many": {"headers": [(b"accept-language", b",".join([b"en-%s;q=0.5" % LONG.encode()] * 300))]},
    "header with dashes": {"headers": [(b"accept-language", b"-".join([b"ab"] * 400))]},
    "cookie": {"headers": [(b"cookie", f"django_language={LONG}".encode())]},
    "path": {"path": f"/{LONG}/"},
    "path with dashes": {"path": f"/{'de-' * 300}x/page/"},
    "path without end": {"path": f"/{LONG}"},
}


@modes
@pytest.mark.parametrize("name", LANGUAGES)
def test_bug_96_a_language_of_any_length_is_answered(site, mode, name):
    """Django #35627: a language of more than 500 characters made ``LocaleMiddleware`` fail. The same as in stock."""
    view = make_view(mode, lambda request: HttpResponse(request.LANGUAGE_CODE))
    urlpatterns = [*i18n_patterns(path("page/", view), prefix_default_language=False), re_path("^$", view)]
    middleware = ["django.middleware.locale.LocaleMiddleware", "django.middleware.common.CommonMiddleware"]
    answers = []
    for stock in (True, False):
        application = site(middleware=middleware, urlpatterns=urlpatterns, stock=stock)
        answer = asgi.get(application, **LANGUAGES[name])
        answers.append((answer.status, sorted(answer.headers), answer.body))

    assert answers[1] == answers[0]
    assert answers[1][0] in (200, 404)
