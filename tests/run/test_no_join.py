"""The loop never waits for a thread, and a view may call its own server."""

import asyncio
import threading
import urllib.request
from contextlib import contextmanager

import pytest
import uvicorn
from asgiref.sync import async_to_sync
from django.core import signals
from django.http import HttpResponse

from onehop.run import threads
from onehop.run.threads import pool
from tests import asgi
from tests.run.drive import Gate, run, until
from tests.run.stacks import KINDS, paths

STACKS = [[], *([kind] for kind in KINDS), ["hybrid", "Classic", "Async", "DeclaredClassic", "Hooks"]]
every_stack = pytest.mark.parametrize("stack", STACKS, ids="-".join)


class Heart:
    """A task that ticks as long as the loop runs."""

    def __init__(self):
        self.ticks = 0

    async def beat(self):
        while True:
            self.ticks += 1
            await asyncio.sleep(0)

    async def beats_on(self):
        """Wait for a hundred ticks more."""
        goal = self.ticks + 100
        await until(lambda: self.ticks >= goal)


async def with_heart(main):
    heart = Heart()
    task = asyncio.create_task(heart.beat())
    try:
        return await main(heart)
    finally:
        task.cancel()


@every_stack
@pytest.mark.parametrize("ending", ["disconnect", "cancel"])
def test_bug_47_the_loop_runs_on_while_a_lost_view_blocks_its_thread(site, stack, ending):
    """The client or the server gives up; the view goes on blocking, and the loop goes on ticking."""
    gate = Gate()

    def view(request):
        gate.wait()
        return HttpResponse("late")

    application = site(view, paths(*stack))

    async def main(heart):
        disconnect = asyncio.Event()
        request = asyncio.create_task(asgi.request(application, disconnect=disconnect))
        await gate.reached()
        disconnect.set() if ending == "disconnect" else request.cancel()
        await heart.beats_on()
        gate.open()
        await asyncio.wait([request], timeout=10)
        return request.done()

    assert run(with_heart(main)) is True


@every_stack
@pytest.mark.parametrize("ending", ["disconnect", "cancel"])
def test_bug_12_47_a_view_that_waits_for_the_loop_while_its_request_is_cancelled_ends(site, stack, ending):
    """asgiref#535: the thread waits for a coroutine on the loop, and the loop does not wait for the thread."""
    gate, results = Gate(), []

    def view(request):
        loop = loops[0]
        gate.wait()
        results.append(asyncio.run_coroutine_threadsafe(asyncio.sleep(0.01, "from the loop"), loop).result(5))
        return HttpResponse("late")

    application = site(view, paths(*stack))
    loops = []

    async def main(heart):
        loops.append(asyncio.get_running_loop())
        disconnect = asyncio.Event()
        request = asyncio.create_task(asgi.request(application, disconnect=disconnect))
        await gate.reached()
        disconnect.set() if ending == "disconnect" else request.cancel()
        gate.open()
        await heart.beats_on()
        await asyncio.wait([request], timeout=10)
        await until(lambda: results)
        return request.done()

    assert run(with_heart(main)) is True
    assert results == ["from the loop"]


@pytest.mark.parametrize("ending", ["disconnect", "cancel"])
def test_a_foreign_receiver_that_blocks_does_not_stop_the_loop(site, connect, ending):
    """The application waits for a slow ``request_finished`` receiver; the loop does not."""
    gate, closing = Gate(), Gate()

    def view(request):
        gate.wait()
        return HttpResponse("late")

    connect(signals.request_finished, lambda **_: closing.wait(), weak=False)
    application = site(view)

    async def main(heart):
        disconnect = asyncio.Event()
        request = asyncio.create_task(asgi.request(application, disconnect=disconnect))
        await gate.reached()
        disconnect.set() if ending == "disconnect" else request.cancel()
        gate.open()
        await closing.reached()
        await heart.beats_on()
        closing.open()
        await asyncio.wait([request], timeout=10)
        return request.done()

    assert run(with_heart(main)) is True


@every_stack
@pytest.mark.parametrize("count", [1, 20])
def test_a_sync_view_may_call_its_own_application(site, stack, count):
    """In process, through ``async_to_sync``, once and twenty times at once."""

    def view(request):
        if request.path == "/outer":
            inner = async_to_sync(asgi.request)(application, "/inner")
            return HttpResponse(b"outer " + inner.body)
        return HttpResponse("inner")

    application = site(view, paths(*stack))

    async def main():
        requests = [asyncio.create_task(asgi.request(application, "/outer")) for _ in range(count)]
        return [answer.body for answer in await asyncio.gather(*requests)]

    assert run(main()) == [b"outer inner"] * count


@every_stack
@pytest.mark.parametrize("count", [1, 20])
def test_an_async_view_may_call_its_own_application(site, stack, count):
    """The same from an async view, the inner requests in its own task and in tasks of their own."""

    async def view(request):
        if request.path == "/outer":
            inner = await asgi.request(application, "/inner")
            other = await asyncio.create_task(asgi.request(application, "/inner"))
            return HttpResponse(b"outer " + inner.body + other.body)
        return HttpResponse("inner")

    application = site(view, paths(*stack))

    async def main():
        requests = [asyncio.create_task(asgi.request(application, "/outer")) for _ in range(count)]
        return [answer.body for answer in await asyncio.gather(*requests)]

    assert run(main()) == [b"outer innerinner"] * count


@contextmanager
def served(application):
    """Serve an application on a loopback socket, on a loop in a thread of its own; return its address."""
    server = uvicorn.Server(uvicorn.Config(application, port=0, lifespan="off", log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            threading.Event().wait(0.01)
        host, port = server.servers[0].sockets[0].getsockname()
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        thread.join(10)
    assert not thread.is_alive()


def fetch(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read()


@pytest.mark.parametrize("count", [1, 20])
def test_bug_58_a_sync_view_may_call_its_own_server(site, count):
    """Over a socket, with urllib, which blocks the thread meanwhile; once and twenty times at once."""

    def view(request):
        if request.path == "/outer":
            return HttpResponse(b"outer " + fetch(f"{addresses[0]}/inner"))
        return HttpResponse("inner")

    addresses, bodies = [], []
    with served(site(view)) as address:
        addresses.append(address)
        clients = [threading.Thread(target=lambda: bodies.append(fetch(f"{address}/outer"))) for _ in range(count)]
        for client in clients:
            client.start()
        for client in clients:
            client.join(15)

    assert bodies == [b"outer inner"] * count


def test_bug_58_with_a_limit_on_threads_a_self_call_ends_in_bounded_time(site, monkeypatch):
    """All threads wait for requests that get none: those are refused after the bound, and everything goes on."""
    monkeypatch.setattr(threads, "WAIT_FOR_ANY_S", 0.2)
    everybody = threading.Barrier(2)

    def view(request):
        if request.path == "/outer":
            everybody.wait(5)
            try:
                return HttpResponse(b"outer " + fetch(f"{addresses[0]}/inner"))
            except urllib.error.HTTPError as error:
                error.close()
                return HttpResponse(b"outer %d" % error.code)
        return HttpResponse("inner")

    addresses, bodies = [], []
    with served(site(view, ONEHOP={"MAX_REQUEST_THREADS": 2})) as address:
        addresses.append(address)
        clients = [threading.Thread(target=lambda: bodies.append(fetch(f"{address}/outer"))) for _ in range(2)]
        for client in clients:
            client.start()
        for client in clients:
            client.join(15)
        pool.drain(5)
        afterwards = fetch(f"{address}/inner")

    # When the first has given up, its thread may answer the second's request in time.
    assert b"outer 503" in bodies and set(bodies) <= {b"outer 503", b"outer inner"} and len(bodies) == 2
    assert afterwards == b"inner"
