"""How many hops a request makes, and how many threads it starts."""

import asyncio
import threading
import time

import pytest
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse

from onehop.run.threads import MAX_IDLE, pool
from tests import asgi
from tests.asgi import counting
from tests.project.settings import DEFAULT_MIDDLEWARE
from tests.project.views import async_view, sync_view
from tests.run.drive import run, until
from tests.run.stacks import HERE, S1

LOGGER = f"{HERE}.ApiLoggerMiddleware"


def is_quiet():
    return not (pool._busy or pool._closing)


def count_second_of_two(application):
    """Send two requests on one loop; return what the second one needed."""

    async def two():
        await asgi.request(application)
        await until(is_quiet)
        posts = pool.posts_total
        with counting() as counts:
            answer = await asgi.request(application)
            await until(is_quiet)
        return answer.status, counts["hops"], counts["threads"], pool.posts_total - posts

    return run(two())


def test_an_async_view_needs_no_hop_no_thread_and_no_post(site):
    """Behind the default stack, an async view is answered on the loop alone."""
    application = site(async_view)

    assert count_second_of_two(application) == (200, 0, 0, 0)


def test_a_sync_view_needs_one_hop_and_one_post(site):
    """Behind the default stack, a sync view makes one hop, to a thread that is there already."""
    application = site(sync_view)

    assert count_second_of_two(application) == (200, 1, 0, 1)


@pytest.fixture
def sync_only_django(monkeypatch):
    """Flag Django's own middleware as Django 6.2 does."""
    from django.utils.module_loading import import_string

    for path in DEFAULT_MIDDLEWARE:
        monkeypatch.setattr(import_string(path), "async_capable", False)


@pytest.mark.parametrize(
    ("view", "expected"), [(async_view, (200, 0, 0, 0)), (sync_view, (200, 1, 0, 1))], ids=["async", "sync"]
)
def test_flags_as_in_django_6_2_change_no_count(site, sync_only_django, view, expected):
    """Steps follow hooks, not the ``async_capable`` flag."""
    application = site(view)

    assert count_second_of_two(application) == expected


def test_a_declared_classic_middleware_adds_no_hop(site):
    """A classic sync middleware, declared to run anywhere, is no reason for a thread."""
    application = site(async_view, [LOGGER, *DEFAULT_MIDDLEWARE], ONEHOP={"RUNS_ANYWHERE": [LOGGER]})

    assert count_second_of_two(application) == (200, 0, 0, 0)


def test_the_stack_of_the_question_needs_no_hop_once_its_logger_is_declared(site):
    """S1's stack with its classic middleware declared: an async view stays on the loop."""
    application = site(async_view, S1, ONEHOP={"RUNS_ANYWHERE": [LOGGER]}, CORS_ALLOW_ALL_ORIGINS=True)

    assert count_second_of_two(application) == (200, 0, 0, 0)


def test_the_stack_of_the_question_as_it_is_needs_two_hops(site):
    """S1's stack with nothing declared: one hop to the logger, one from there to the async view."""
    application = site(async_view, S1, CORS_ALLOW_ALL_ORIGINS=True)

    assert count_second_of_two(application) == (200, 2, 0, 1)


@pytest.mark.parametrize("declared", [True, False])
def test_ten_requests_to_a_one_second_view_take_about_one_second(site, declared):
    """S1's complaint: with its stack, ten concurrent requests are not served one after another."""

    async def sleeping_view(request):
        await asyncio.sleep(1)
        return HttpResponse("slept")

    options = {"RUNS_ANYWHERE": [LOGGER]} if declared else {}
    application = site(sleeping_view, S1, ONEHOP=options, CORS_ALLOW_ALL_ORIGINS=True)

    async def ten():
        await asyncio.gather(*(asgi.request(application) for _ in range(10)))

    elapsed_s = []
    while not elapsed_s or (elapsed_s[-1] > 1.3 and len(elapsed_s) < 4):  # a busy machine may be slow once
        started = time.monotonic()
        run(ten())
        elapsed_s.append(time.monotonic() - started)

    assert 1 <= min(elapsed_s) <= 1.3


def raises(error):
    async def view(request):
        raise error

    return view


@pytest.mark.parametrize(
    ("error", "status"), [(Http404(), 404), (PermissionDenied(), 403), (ValueError("broken"), 500)]
)
def test_an_error_answer_of_an_async_view_needs_one_hop(site, error, status):
    """The exception hooks, the conversion and the log record share one hop."""
    application = site(raises(error))

    assert count_second_of_two(application) == (status, 1, 0, 1)


def test_a_page_that_is_not_there_needs_one_hop(site):
    """A URL that does not resolve costs one hop: conversion and log record."""
    application = site(urlpatterns=[])

    assert count_second_of_two(application) == (404, 1, 0, 1)


def test_bug_55_two_hundred_concurrent_sync_requests_need_two_hundred_threads(site):
    """Sync views that all run at once get one thread each, and no more threads are started than that."""
    everybody = threading.Barrier(200)
    peak = []

    def view(request):
        everybody.wait(20)
        peak.append(threading.active_count())
        return HttpResponse("ok")

    application = site(view)
    before = threading.active_count()

    async def all_at_once():
        return await asyncio.gather(*(asgi.request(application) for _ in range(200)))

    answers = run(all_at_once())

    assert [answer.status for answer in answers] == [200] * 200
    assert max(peak) <= before + 200


def test_bug_54_a_burst_keeps_no_more_threads_than_the_cap_on_idle_ones(site):
    """After three bursts of two hundred short requests, the kept threads were used again, and 32 are left."""
    application = site(sync_view)

    async def bursts():
        for _ in range(3):
            await asyncio.gather(*(asgi.request(application) for _ in range(200)))
            await until(is_quiet)

    with counting() as counts:
        run(bursts())

    assert counts["threads"] <= 200 + 2 * (200 - MAX_IDLE)
    assert len(pool._idle) <= MAX_IDLE


def test_a_client_that_asks_again_at_once_keeps_its_thread(site):
    """The next request waits for the thread that is only closing the last one; it starts none."""
    application = site(sync_view)

    async def again_and_again():
        for _ in range(300):
            await asgi.request(application)

    with counting() as counts:
        run(again_and_again())

    assert (counts["threads"], list(pool.retired)) == (1, [])
