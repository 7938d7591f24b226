"""asgiref, threads and cancellation: the bugs 43 to 48 that no test elsewhere is named after."""

import asyncio

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.http import HttpResponse

from tests import asgi
from tests.run.drive import Gate, run, until
from tests.run.stacks import paths
from tests.run.test_messages import modes

DEPTH, AT_ONCE = 4, 20


async def in_task(inner):
    return await asyncio.create_task(inner())


async def in_time(inner):
    return await asyncio.wait_for(inner(), 5)


async def together(inner):
    return (await asyncio.gather(inner(), inner()))[0]


async def shielded(inner):
    return await asyncio.shield(asyncio.create_task(inner()))


ON_THREAD = "sync_to_async"
ASYNC_WAYS = {"task": in_task, "wait_for": in_time, "gather": together, "shield": shielded}


def nestings(mode, depth):
    """Return all ways to call on from code of a mode: from sync code over the bridge, from async code in each way."""
    if depth == 0:
        return [()]
    if mode == "sync":
        return [("async_to_sync", *inner) for inner in nestings("async", depth - 1)]
    over = [(ON_THREAD, *inner) for inner in nestings("sync", depth - 1)]
    return over + [(way, *inner) for way in ASYNC_WAYS for inner in nestings("async", depth - 1)]


def call(way, mode):
    """Return a function, or a coroutine function, that calls on in each of the ways in turn, and returns "done"."""
    first, *rest = way or [None]

    def sync_call():
        return "done" if first is None else async_to_sync(call(rest, "async"))()

    async def async_call():
        if first is None:
            return "done"
        if first == ON_THREAD:
            return await sync_to_async(call(rest, "sync"))()
        return await ASYNC_WAYS[first](call(rest, "async"))

    return {"sync": sync_call, "async": async_call}[mode]


def view_of(mode):
    """Return a view that calls in the way that its query names."""

    def sync_view(request):
        return HttpResponse(call(request.GET.getlist("way"), "sync")())

    async def async_view(request):
        return HttpResponse(await call(request.GET.getlist("way"), "async")())

    return {"sync": sync_view, "async": async_view}[mode]


@pytest.mark.parametrize("kind", [None, "Classic", "DeclaredClassic", "Async", "Hooks"])
@modes
def test_bug_43_44_45_every_nesting_of_bridges_and_tasks_ends(site, mode, kind):
    """
    asgiref #348, #249, #282, #492, #494, #323 and #275: ``sync_to_async``, ``async_to_sync``, tasks, ``gather``,
    ``wait_for`` and ``shield``, four deep in every order: no deadlock, and none that asgiref only fears.
    """
    application = site(view_of(mode), paths(*filter(None, [kind])))
    queries = ["&".join(f"way={each}" for each in way) for way in nestings(mode, DEPTH)]

    async def all_of_them():
        for start in range(0, len(queries), AT_ONCE):
            some = queries[start : start + AT_ONCE]
            answers = await asyncio.gather(*(asgi.request(application, f"/?{query}") for query in some))
            assert [answer.body for answer in answers] == [b"done"] * len(some)

    run(asyncio.wait_for(all_of_them(), 25))


@pytest.mark.parametrize(
    ("ending", "stock"), [("disconnect", False), ("cancel", False), ("disconnect", True)], ids=["left", "stop", "stock"]
)
@pytest.mark.parametrize(
    "stack", [["Classic"], ["Async"], ["Classic", "Async"], ["Async", "Classic"], ["DeclaredClassic"]], ids="-".join
)
def test_bug_46_a_shielded_task_survives_the_request(site, stack, ending, stock):
    """
    asgiref #434 and #435: the request ends while its view waits for a shielded task.

    The view is told, may wait for the task nevertheless, and both end. Stock Django 5.2 and 6.0 does not tell it
    when the server gives up.
    """
    gate, log = Gate(), []

    async def work():
        await gate.stand()
        log.append("worked")

    async def view(request):
        task = asyncio.create_task(work())
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            log.append("told")
            await task
            log.append("ended")
            raise

    application = site(view, paths(*stack), stock=stock)

    async def main():
        leave = asyncio.Event()
        request = asyncio.create_task(asgi.request(application, disconnect=leave))
        await gate.reached()
        leave.set() if ending == "disconnect" else request.cancel()
        await until(lambda: log)
        gate.open()
        await asyncio.wait([request], timeout=10)
        await until(lambda: len(log) == 3)
        return request.done()

    assert run(main()) is True
    assert log == ["told", "worked", "ended"]
