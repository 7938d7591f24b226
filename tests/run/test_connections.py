"""Database connections on request threads: closed or kept as CONN_MAX_AGE says, and never left in a transaction."""

import asyncio
import sqlite3
import time

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, connections, transaction
from django.http import HttpResponse

from onehop.run.threads import pool
from tests import asgi
from tests.run.drive import run, until

pytestmark = pytest.mark.usefixtures("database")


def in_turn(application, *requests):
    """Send requests one after another, each when the thread of the one before is at rest."""

    async def send_all():
        answers = []
        for path in requests:
            if callable(path):
                path()
                continue
            answers.append(await asyncio.create_task(asgi.request(application, path)))
            await until(lambda: not (pool._busy or pool._closing))
        return [answer.body.decode() if answer.status == 200 else answer.status for answer in answers]

    return run(send_all())


def is_closed(raw):
    """Tell whether a connection of the sqlite3 module is closed."""
    try:
        raw.execute("SELECT 1")
    except sqlite3.ProgrammingError:
        return True
    return False


@pytest.fixture
def max_age(monkeypatch):
    return lambda value, **more: [
        monkeypatch.setitem(connections.settings["default"], key, each)
        for key, each in {"CONN_MAX_AGE": value, **more}.items()
    ]


@pytest.fixture
def used():
    """Collect, request by request, the wrapper and the connection inside it that a query used."""
    return []


@pytest.fixture
def querying(site, used):
    """Return a site whose view makes a query and notes the connection."""

    def view(request):
        before = connection.health_check_done
        User.objects.count()
        used.append((connections["default"], connection.connection, before))
        return HttpResponse("ok")

    return lambda: site(view)


def leave_open(request):
    """Write a row, and leave the transaction open when asked to."""
    if "leave" in request.GET:
        transaction.atomic().__enter__()
    User.objects.filter(username="nobody").delete()
    return HttpResponse(str(User.objects.count()))


@pytest.mark.parametrize("age", [0, 60, None])
def test_bug_59_a_transaction_left_open_harms_no_later_request(site, max_age, age):
    """A view leaves ``atomic()`` open: its thread is retired, and the five requests after it are answered."""
    max_age(age)
    application = site(leave_open)

    answers = in_turn(application, "/?leave=1", *["/"] * 5)

    assert answers == ["0"] * 6
    assert list(pool.retired) == ["database 'default': a transaction was left open"]


def test_bug_59_autocommit_switched_off_harms_no_later_request(site, max_age):
    """A view leaves autocommit off: the connection is not kept."""
    max_age(60)

    def view(request):
        found = connection.get_autocommit()
        if "leave" in request.GET:
            transaction.set_autocommit(False)
            User.objects.count()
        return HttpResponse(str(found))

    assert in_turn(site(view), "/?leave=1", "/", "/") == ["True"] * 3


def test_bug_61_connections_are_closed_after_each_request_by_default(querying, used):
    """With CONN_MAX_AGE 0 each request has a wrapper and a connection of its own, and closes it."""
    in_turn(querying(), "/", "/")

    (first, first_raw, _), (second, second_raw, _) = used
    assert first is not second
    assert [is_closed(first_raw), is_closed(second_raw)] == [True, True]
    assert list(pool.retired) == []


@pytest.mark.parametrize("age", [60, None])
def test_bug_61_connections_are_kept_as_conn_max_age_says(querying, used, max_age, age):
    """With CONN_MAX_AGE 60 or None the thread's next request finds the connection open."""
    max_age(age)

    in_turn(querying(), "/", "/")

    (_, first, _), (_, second, _) = used
    assert first is second
    assert not is_closed(first)


def test_a_kept_connection_that_has_become_too_old_is_closed_at_its_next_use(querying, used, max_age):
    """The age is looked at again when the thread is taken, as ``request_started`` does under WSGI."""
    max_age(60)

    def grow_old():
        used[0][0].close_at = time.monotonic() - 1

    in_turn(querying(), "/", grow_old, "/")

    (_, first, _), (_, second, _) = used
    assert first is not second
    assert [is_closed(first), is_closed(second)] == [True, False]


def test_bug_61_a_kept_connection_is_checked_once_in_each_request(querying, used, max_age):
    """With CONN_HEALTH_CHECKS a connection that broke while its thread was idle is replaced at its next use."""
    max_age(60, CONN_HEALTH_CHECKS=True)

    def break_it():
        used[-1][0].is_usable = lambda: False

    in_turn(querying(), "/", "/", break_it, "/")

    assert [before for _, _, before in used] == [False] * 3
    assert [used[0][1] is used[1][1], used[1][1] is used[2][1]] == [True, False]


@pytest.mark.parametrize("age", [0, 60])
def test_the_query_log_of_another_request_is_not_seen(site, max_age, age):
    """With DEBUG each request begins with an empty ``connection.queries``."""
    max_age(age)

    def view(request):
        found = len(connection.queries)
        User.objects.count()
        return HttpResponse(str(found))

    assert in_turn(site(view, DEBUG=True), "/", "/", "/") == ["0"] * 3


def test_bug_59_nothing_that_was_put_on_a_wrapper_is_seen_by_the_next_request(site):
    """Tenants, execute wrappers and the like, left on a closed connection's wrapper, are gone with it."""

    def view(request):
        User.objects.count()
        found = (
            getattr(connection, "tenant", None),
            len(connection.execute_wrappers),
            len(connection.run_on_commit),
        )
        connection.tenant = "alice"
        connection.execute_wrappers.append(lambda execute, *arguments: execute(*arguments))
        return HttpResponse(repr(found))

    assert in_turn(site(view), "/", "/") == ["(None, 0, 0)"] * 2


def test_bug_60_error_handlers_leave_no_connection_open(site, used):
    """Forty concurrent 404 answers whose handler makes a query: all their connections are closed afterwards."""

    def handler404(request, exception):
        User.objects.count()
        used.append(connection.connection)
        return HttpResponse("gone", status=404)

    application = site(urlpatterns=[])
    settings.ROOT_URLCONF.handler404 = handler404

    async def forty():
        answers = await asyncio.gather(*(asgi.request(application) for _ in range(40)))
        await until(lambda: not (pool._busy or pool._closing))
        return {(answer.status, answer.body) for answer in answers}

    assert run(forty()) == {(404, b"gone")}
    assert [is_closed(raw) for raw in used] == [True] * 40


def test_the_orm_of_an_async_view_uses_the_request_thread(site, used):
    """An async view's queries and those of a sync hook share a connection, which is closed at the end."""

    async def view(request):
        await User.objects.acount()
        used.append(await sync_to_async(lambda: (connections["default"], connection.connection))())
        await User.objects.acount()
        used.append(await sync_to_async(lambda: (connections["default"], connection.connection))())
        return HttpResponse("ok")

    in_turn(site(view), "/")

    assert used[0] == used[1]
    assert is_closed(used[0][1])


def test_never_closes_the_connections_of_its_threads(querying, used, max_age):
    """With ``THREAD_REUSE="never"`` a connection ends with its thread, whatever CONN_MAX_AGE says."""
    max_age(None)
    application = querying()
    pool.reuse = False
    in_turn(application, "/", "/")
    run(until(lambda: all(is_closed(raw) for _, raw, _ in used)))

    assert len({id(raw) for _, raw, _ in used}) == 2
