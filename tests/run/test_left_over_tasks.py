"""Tasks that a view leaves behind live on, and never run on a thread that is somebody else's by then."""

import asyncio
import threading

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.http import HttpResponse

from onehop.run.threads import pool
from tests import asgi
from tests.run.drive import Gate, run, until
from tests.run.stacks import KINDS, paths


def make_view(mode, body):
    """Return a view that runs ``body``, a coroutine function, in either mode."""

    def sync_view(request):
        return async_to_sync(body)(request)

    return {"sync": sync_view, "async": body}[mode]


def outcome_of_task(application, gate, left):
    """Send a request, let its task go on after the response; return how many threads that used, or its error."""

    async def outlive():
        assert (await asyncio.create_task(asgi.request(application))).status == 200
        gate.open()
        try:
            threads = await left.pop()
        except RuntimeError as error:
            return str(error)
        return len(set(threads)), threading.get_ident() in threads

    return run(outlive())


@pytest.mark.parametrize("middleware", [[], *([kind] for kind in KINDS)], ids="-".join)
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_bug_56_a_task_works_after_the_response_as_in_django(site, mode, middleware):
    """Its calls run on one thread; below an ``async_to_sync`` that has ended, asgiref refuses them, in stock too."""
    left = []

    async def task(gate):
        await gate.stand()
        return [await sync_to_async(threading.get_ident)() for _ in range(3)]

    async def body(request):
        left.append(asyncio.ensure_future(task(gates[-1])))
        return HttpResponse("ok")

    gates, outcomes = [], []
    for stock in (True, False):
        gates.append(Gate())
        application = site(make_view(mode, body), paths(*middleware), stock=stock)
        outcomes.append(outcome_of_task(application, gates[-1], left))

    refused = mode == "sync" or middleware == ["Classic"]
    assert outcomes[1] == ("CurrentThreadExecutor already quit or is broken" if refused else (1, False))
    assert outcomes[1] == outcomes[0] or middleware == ["DeclaredClassic"]  # works, where stock Django refuses


def test_bug_56_a_task_never_runs_on_the_thread_of_somebody_else(site):
    """While a second request holds the thread of the first, the first one's task runs elsewhere."""
    gate, left, held = Gate(), [], Gate()
    threads = {}

    async def task():
        await gate.stand()
        return await sync_to_async(threading.get_ident)()

    async def first(request):
        threads["first"] = await sync_to_async(threading.get_ident)()
        left.append(asyncio.ensure_future(task()))
        return HttpResponse("ok")

    def second(request):
        threads["second"] = threading.get_ident()
        held.wait()
        return HttpResponse("ok")

    first_application = site(first, [])

    async def outlive():
        await asyncio.create_task(asgi.request(first_application))
        await until(lambda: not (pool._busy or pool._closing))
        other = asyncio.create_task(asgi.request(site(second, [])))
        await held.reached()
        gate.open()
        threads["task"] = await left[0]
        held.open()
        return (await other).status

    assert run(outlive()) == 200
    assert threads["first"] == threads["second"] != threads["task"]


def test_bug_48_a_job_that_runs_when_the_request_ends_keeps_its_thread(site):
    """The thread stays with the request until the last job of its tasks has returned."""
    gate, seen = Gate(), []
    left = []

    def job():
        seen.append(threading.get_ident())
        gate.wait()

    async def view(request):
        left.append(asyncio.ensure_future(sync_to_async(job)()))
        await gate.reached()
        return HttpResponse("ok")

    first = site(view, [])

    async def outlive():
        await asyncio.create_task(asgi.request(first))
        second = site(lambda request: HttpResponse(str(threading.get_ident())), [])
        others = [(await asyncio.create_task(asgi.request(second))).body.decode() for _ in range(5)]
        gate.open()
        await left[0]
        return others

    others = run(outlive())

    assert str(seen[0]) not in others


def test_bug_13_a_task_is_not_cancelled_when_the_client_leaves(site):
    """A task that a view has made is not the request's: it runs on after a disconnect."""
    gate, left = Gate(), []

    async def task():
        await gate.stand()
        return "done"

    async def view(request):
        left.append(asyncio.ensure_future(task()))
        await asyncio.Event().wait()

    application = site(view, [])

    async def outlive():
        disconnect = asyncio.Event()
        request = asyncio.create_task(asgi.request(application, disconnect=disconnect))
        await until(lambda: left)
        disconnect.set()
        await request
        gate.open()
        return await left[0]

    assert run(outlive()) == "done"


def test_bug_56_a_hundred_tasks_of_a_hundred_requests_run_apart(site):
    """Each task's calls go to a thread that no request uses at that moment."""
    left, busy, clashes = [], set(), []
    lock = threading.Lock()

    def exclusively():
        mine = threading.get_ident()
        with lock:
            if mine in busy:
                clashes.append(mine)
            busy.add(mine)
        with lock:
            busy.discard(mine)

    async def task():
        for _ in range(5):
            await asyncio.sleep(0)
            await sync_to_async(exclusively)()

    async def body(request):
        left.append(asyncio.ensure_future(task()))
        await sync_to_async(exclusively)()
        return HttpResponse("ok")

    application = site(body, [])

    async def many():
        answers = await asyncio.gather(*(asyncio.create_task(asgi.request(application)) for _ in range(100)))
        await asyncio.gather(*left)
        return [answer.status for answer in answers]

    assert run(many()) == [200] * 100
    assert clashes == []
