"""No request sees the canary of another one, and none loses its own; a naive runner does both, and is caught."""

import asyncio
import contextvars
import threading

import pytest
from asgiref.sync import iscoroutinefunction
from django.utils.decorators import sync_and_async_middleware
from django.utils.deprecation import MiddlewareMixin
from rich.console import Console

from tests import asgi
from tests.leaks.__main__ import NAIVE, SHARES, STOCK, run
from tests.leaks.packages import ALL, MISSING, PRESENT
from tests.leaks.verdict import ALWAYS_OWN, ENOUGH, Verdict

REQUESTS = 400
SEED = 1


@pytest.fixture(scope="module")
def verdict():
    """Send requests to every contender, each in a process of its own, two at a time."""
    reports, failures = run(REQUESTS, 2, SEED, Console(quiet=True))
    assert failures == []
    return Verdict(reports, NAIVE)


@pytest.mark.parametrize("name", [*STOCK, *SHARES])
def test_no_request_sees_what_belongs_to_another(verdict, name):
    """In no store, at no place, in no row that a package has written."""
    report = verdict.reports[name]

    assert report["leaks"] == {}, report["examples"]


@pytest.mark.parametrize("name", [*STOCK, *SHARES])
def test_every_request_is_answered_as_its_view_says(verdict, name):
    """The oracle has not looked at requests that failed before they came anywhere."""
    assert verdict.reports[name]["odd"] == {}


@pytest.mark.parametrize("name", SHARES)
def test_nothing_is_lost_that_stock_django_keeps(verdict, name):
    """Where stock Django always saw a request's own canary, it is seen every time."""
    report = verdict.reports[name]

    assert report["lost"] == report["unsought"] == {}
    assert report["compared"] > 100


@pytest.mark.parametrize("name", NAIVE)
def test_a_naive_variant_is_caught(verdict, name):
    """The same requests to Onehop without one of its guards: the oracle sees."""
    assert verdict.reports[name]["leaks"] != {}


def test_every_kind_of_store_is_seen_to_hold_the_own_canary(verdict):
    """None of them was only ever read empty."""
    assert verdict.blind == []
    assert len(verdict.kinds) > 20


def test_every_kind_of_store_is_seen_to_leak(verdict):
    """Each is caught in at least one naive variant, but for those that a request cannot share."""
    assert verdict.uncaught == []
    assert ALWAYS_OWN.keys() <= verdict.caught.keys()


@pytest.mark.parametrize("package", [package.name for package in ALL])
def test_a_package_writes_rows_and_names_users(verdict, package):
    """Under stock Django and under Onehop."""
    if package in MISSING:
        pytest.skip(f"{package}: {MISSING[package]}")
    for name in ("stock", "onehop"):
        report = verdict.reports[name]
        assert report["rows"][f"row of {package}"] > report["canaries"][f"row of {package}"] > 0


def test_threads_are_used_again(verdict):
    """What is shown was not shown by retiring every thread; with ``THREAD_REUSE="never"``, it is."""

    def threads_per_request(name):
        return verdict.reports[name]["threads"] / verdict.reports[name]["requests"]

    assert threads_per_request("onehop") < 0.75 * threads_per_request("onehop, never")


def test_packages_that_are_missing_are_named():
    """Those that are there and those that are not are all of them."""
    assert {*PRESENT, *MISSING} == {package.name for package in ALL}


def report_of(**figures):
    empty = {"requests": ENOUGH, "canaries": {"kind": 1}, "leaks": {}, "lost": {}, "unsought": {}, "odd": {}}
    return {**empty, "examples": [], **figures}


@pytest.mark.parametrize("what", ["leaks", "lost", "unsought", "odd"])
def test_whatever_is_found_in_onehop_is_a_fault(what):
    """One leak, one loss, one answer that no view gives."""
    reports = {"onehop": report_of(**{what: {"kind": 1}}), "naive": report_of(leaks={"kind": 1})}

    assert len(Verdict(reports, ["naive"]).faults) == 1


def test_a_naive_variant_that_leaks_nothing_is_a_fault():
    """Then the oracle shows nothing."""
    reports = {"onehop": report_of(), "naive": report_of()}

    assert Verdict(reports, ["naive"]).faults == [
        "naive: not caught: no leak was seen, so the oracle does not see",
        "kind: no naive variant was caught here",
    ]


held = threading.local()


class Outer(MiddlewareMixin):
    """Sync code that leaves something for the code inside it, and for whoever comes to its thread next."""

    def process_request(self, request):
        held.name = request.GET["name"]


@sync_and_async_middleware
def hybrid(get_response):
    """Note what the thread holds, in the mode in which Django has loaded it."""
    if iscoroutinefunction(get_response):

        async def middleware(request):
            seen[request.GET["name"]] = getattr(held, "name", None)
            return await get_response(request)

    else:

        def middleware(request):
            seen[request.GET["name"]] = getattr(held, "name", None)
            return get_response(request)

    return middleware


def wrapper(get_response):
    return lambda request: get_response(request)


seen: dict = {}


@pytest.mark.parametrize(("make", "is_stock"), [(asgi.stock_application, True), (asgi.onehop_application, False)])
def test_a_hybrid_just_outside_a_sync_wrapper_finds_nothing_on_the_loop(make, is_stock):
    """Stock finds there what sync code outside it has left on the thread. Deliberate: docs/decisions.md."""
    application = make(MIDDLEWARE=[f"{__name__}.{name}" for name in ("Outer", "hybrid", "wrapper")])
    names = [str(number) for number in range(20)]

    async def all_at_once():
        for some in (names[:10], names[10:]):  # the second ten find the threads of the first
            await asyncio.gather(*(asgi.request(application, f"/sync/?name={name}") for name in some))

    seen.clear()
    contextvars.Context().run(asyncio.run, all_at_once())

    assert seen == {name: name if is_stock else None for name in names}
