"""Entries 78-86: wrappers in greenlets. Contexts, lanes, locks and cancellation are shown in tests/run."""

import asyncio
import gc
import itertools
import os
import threading

import pytest
from django.http import HttpResponse, JsonResponse
from greenlet import getcurrent
from sqlalchemy import text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.util import await_only, greenlet_spawn

from onehop import runs_anywhere
from onehop.run.greenlets import await_in_parent, call_in_greenlet
from tests import asgi
from tests.run.drive import run
from tests.run.stacks import paths

HERE = __name__
BRIDGES = 1_000_000 if "ONEHOP_LONG" in os.environ else 30_000
SLACK_BYTES = 4_000_000


def resident_bytes():
    """Return how much memory this process holds. Linux only."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="only Linux tells a process what memory it holds")
def test_bug_79_bridges_take_no_memory_that_they_do_not_give_back():
    """greenlet #328: each greenlet that had run Python code leaked its frames, 10 MB in a second."""

    def wrapper(number):
        return await_in_parent(inner(number)) + 1

    async def inner(number):
        return number

    async def bridges(count):
        for number in range(count):
            assert await call_in_greenlet(wrapper, number) == number + 1

    run(bridges(2_000))
    gc.collect()
    before = resident_bytes()
    run(bridges(BRIDGES))
    gc.collect()

    assert resident_bytes() - before < SLACK_BYTES


@runs_anywhere
class Bridged:
    """A declared wrapper: a greenlet on the loop."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        bridge = getcurrent()
        response = self.get_response(request)
        assert getcurrent() is bridge
        response["X-Number"] = request.GET["number"]
        return response


@pytest.fixture
def sessions(tmp_path):
    """Return what makes SQLAlchemy's async sessions, and what ends them."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'bridged.sqlite3'}")
    return async_sessionmaker(engine), engine.dispose


@pytest.mark.parametrize("depth", [1, 3])
def test_bug_81_sqlalchemys_greenlets_and_ours_do_not_mix(site, sessions, depth):
    """
    greenback #22: two greenlet bridges in one thread took each other's messages.

    Twenty interleaved requests in declared wrappers make queries through SQLAlchemy's own bridge: each gets its own.
    """
    make_session, dispose = sessions

    def sync_code(number):
        """Sync code of SQLAlchemy's kind, which awaits in the middle."""
        inside = getcurrent()
        await_only(asyncio.sleep(0))
        assert getcurrent() is inside
        return number * 2

    async def view(request):
        number = int(request.GET["number"])
        async with make_session() as session:
            found = (await session.execute(text("SELECT :number"), {"number": number})).scalar()
            await asyncio.sleep(0)
            in_sync = await session.run_sync(lambda plain: plain.execute(text(f"SELECT {number} + 1")).scalar())
        doubled = await greenlet_spawn(sync_code, number)
        together = await asyncio.gather(*(greenlet_spawn(sync_code, number + more) for more in range(3)))
        return JsonResponse([found, in_sync, doubled, *together], safe=False)

    application = site(view, [f"{HERE}.Bridged"] * depth)

    async def twenty():
        try:
            requests = (asyncio.create_task(asgi.request(application, f"/?number={number}")) for number in range(20))
            return await asyncio.gather(*requests)
        finally:
            await dispose()

    for number, answer in enumerate(run(twenty())):
        expected = [number, number + 1, 2 * number, *(2 * (number + more) for more in range(3))]
        assert answer.status == 200
        assert JsonResponse(expected, safe=False).content == answer.body
        assert dict(answer.headers)[b"X-Number"] == b"%d" % number


def test_bug_82_a_bridge_is_resumed_on_the_thread_that_made_it(site, around):
    """
    gevent #1437: a greenlet switched to from another thread fails, "cannot switch to a different thread".

    Between a bridge's halves the request goes to its thread, and to the bridges of other loops: none is resumed there.
    """
    halves = []

    def place():
        return threading.get_ident(), getcurrent()

    def before(name, request):
        request.places = [*getattr(request, "places", ()), place()]

    def after(name, request, response):
        halves.append((name, request.places.pop() == place()))

    def view(request):
        return HttpResponse("ok")

    around(before, after)
    application = site(view, paths("DeclaredClassic", "Async", "DeclaredClassic"))
    answers = []

    def serve():
        async def ten():
            return await asyncio.gather(*(asgi.request(application) for _ in range(10)))

        answers.extend(answer.status for answer in run(ten()))

    loops = [threading.Thread(target=serve) for _ in range(3)]
    for loop in loops:
        loop.start()
    for loop in loops:
        loop.join(20)

    assert answers == [200] * 30
    assert [right for name, right in halves if name == "DeclaredClassic"] == [True] * 60


def test_bug_85_what_a_thread_local_tells_inside_a_bridge_is_why_they_are_declared(site, around, events):
    """
    Measured: a ``threading.local`` is shared by all greenlets of a thread, and shows one user's name to another.

    So an undeclared wrapper, which may use one, never runs on the loop: each request reads what it has written.
    """
    held = threading.local()
    numbers = itertools.count()

    def before(name, request):
        held.number = request.number = next(numbers)

    def after(name, request, response):
        events.append(held.number == request.number)

    async def view(request):
        await asyncio.sleep(0.001)
        return HttpResponse("ok")

    async def twenty(application):
        await asyncio.gather(*(asgi.request(application) for _ in range(20)))

    around(before, after)
    run(twenty(site(view, paths("Classic"))))
    undeclared = list(events)
    events.clear()
    run(twenty(site(view, paths("DeclaredClassic"))))

    assert undeclared == [True] * 20
    assert events.count(False) == 19  # what a false declaration does
