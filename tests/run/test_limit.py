"""MAX_REQUEST_THREADS: so many at once, the next one waits, and is refused with status 503 after a while."""

import asyncio
import gc
import threading

import pytest
from django.core import signals
from django.http import HttpResponse

from onehop.run import threads
from onehop.run.lease import Lease
from onehop.run.threads import pool
from tests import asgi
from tests.project.views import async_view
from tests.run.drive import Gate, run, until
from tests.run.stacks import KINDS, paths

TWO = {"MAX_REQUEST_THREADS": 2}


@pytest.fixture
def short_wait(monkeypatch):
    monkeypatch.setattr(threads, "WAIT_FOR_ANY_S", 0.1)


@pytest.fixture(autouse=True)
def nothing_left_open():
    """Have a file that nobody closed complain in the test that left it."""
    yield
    gc.collect()


class Counted:
    """A sync view that waits at a gate, and how many of them do at once."""

    def __init__(self):
        self.gate = Gate()
        self.now = self.peak = 0
        self.lock = threading.Lock()

    def __call__(self, request):
        with self.lock:
            self.now += 1
            self.peak = max(self.peak, self.now)
        self.gate.wait()
        with self.lock:
            self.now -= 1
        return HttpResponse("ok")


def start(application, path="/", **keywords):
    return asyncio.create_task(asgi.request(application, path, **keywords))


def test_two_run_at_once_and_the_third_waits(site):
    """With a limit of two, six requests are all answered, never more than two at once."""
    view = Counted()
    application = site(view, ONEHOP=TWO)

    async def six():
        requests = [start(application) for _ in range(6)]
        await until(lambda: view.now == 2)
        await until(lambda: len(pool._waiting) == 4)
        view.gate.open()
        return [answer.status for answer in await asyncio.gather(*requests)]

    assert run(six()) == [200] * 6
    assert view.peak == 2


def test_a_request_is_refused_after_the_bound_and_the_next_one_is_not(site, short_wait):
    """The third is answered with 503 and a text that says what to do; once a thread is free, all is well again."""
    view = Counted()
    application = site(view, ONEHOP=TWO)

    async def refused():
        holders = [start(application), start(application)]
        await until(lambda: view.now == 2)
        third = await start(application)
        view.gate.open()
        statuses = [answer.status for answer in await asyncio.gather(*holders)]
        await until(lambda: not (pool._busy or pool._closing))
        return third, statuses, (await start(application)).status

    third, statuses, afterwards = run(refused())

    assert (third.status, statuses, afterwards) == (503, [200, 200], 200)
    assert third.body.decode() == (
        "All 2 request threads were busy for 0.1 s. Raise ONEHOP['MAX_REQUEST_THREADS'], "
        "or find what keeps them busy.\n"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_refusal_takes_no_longer_behind_middleware(site, monkeypatch, kind):
    """Whatever stands around the view, a refused request waits for one bound, and is answered with 503."""
    monkeypatch.setattr(threads, "WAIT_FOR_ANY_S", 0.5)
    view = Counted()
    application = site(view, paths(kind), ONEHOP=TWO)

    async def refused():
        loop = asyncio.get_running_loop()
        holders = [start(application), start(application)]
        await until(lambda: view.now == 2)
        before = loop.time()
        third = await start(application)
        took = loop.time() - before
        view.gate.open()
        await asyncio.gather(*holders)
        return third.status, took < 0.9

    assert run(refused()) == (503, True)


def test_a_request_refused_before_it_began_is_answered_too(site, short_wait, connect):
    """The thread was needed for a ``request_started`` receiver already: 503 all the same."""
    connect(signals.request_started, lambda **_: None, weak=False)
    view = Counted()
    application = site(view, ONEHOP=TWO)

    async def refused():
        holders = [start(application), start(application)]
        await until(lambda: view.now == 2)
        try:
            return (await start(application)).status
        finally:
            view.gate.open()
            await asyncio.gather(*holders)

    assert run(refused()) == 503


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_refused_request_is_finished_once(site, short_wait, connect, kind):
    """Foreign ``request_finished`` receivers hear of a refused request too."""
    finished = []

    def receiver(**_):
        finished.append("finished")

    async def async_receiver(**_):
        finished.append("finished")

    connect(signals.request_finished, {"sync": receiver, "async": async_receiver}[kind])
    view = Counted()
    application = site(view, ONEHOP=TWO)

    async def refused():
        holders = [start(application), start(application)]
        await until(lambda: view.now == 2)
        third = start(application)
        await asyncio.wait([third])
        view.gate.open()
        await asyncio.gather(*holders)
        return (await third).status

    assert run(refused()) == 503
    assert finished == ["finished"] * 3


def test_the_body_file_of_a_refused_request_is_closed(site, short_wait):
    """A refused request whose body is on disk: the file is closed, and ``request_finished`` is sent."""
    view, bodies = Counted(), []
    application = site(view, ONEHOP=TWO)
    read_body = application.read_body

    async def remembering(receive):
        bodies.append(await read_body(receive))
        return bodies[-1]

    application.read_body = remembering

    async def refused():
        holders = [start(application), start(application)]
        await until(lambda: view.now == 2)
        third = await start(application, body=b"x" * 3_000_000, method="POST")
        await asyncio.sleep(0.2)
        view.gate.open()
        await asyncio.gather(*holders)
        await until(lambda: not (pool._busy or pool._closing))
        return third.status

    status = run(refused())
    closed = [body.closed for body in bodies]
    for body in bodies:
        body.close()

    assert (status, closed) == (503, [True] * 3)


def test_async_views_are_answered_while_all_threads_are_busy(site, short_wait):
    """A request that needs no thread is not held up by the limit."""
    view = Counted()
    application = site(view, ONEHOP=TWO)

    async def others():
        holders = [start(application), start(application)]
        await until(lambda: view.now == 2)
        statuses = [(await start(site(async_view, ONEHOP=TWO))).status for _ in range(5)]
        view.gate.open()
        await asyncio.gather(*holders)
        return statuses

    assert run(others()) == [200] * 5


@pytest.mark.parametrize("ending", ["disconnect", "cancel"])
def test_a_request_that_is_given_up_while_it_waits_takes_no_thread(site, ending):
    """The client of a waiting request leaves: nothing of it runs later, and its place goes to the next."""
    view = Counted()
    paths_seen = []

    def noting(request):
        paths_seen.append(request.path)
        return view(request)

    application = site(noting, ONEHOP=TWO)

    async def give_up():
        holders = [start(application, "/holder"), start(application, "/holder")]
        await until(lambda: view.now == 2)
        gone = asyncio.Event()
        waiting = start(application, "/gone", disconnect=gone)
        await until(lambda: len(pool._waiting) == 1)
        gone.set() if ending == "disconnect" else waiting.cancel()
        await asyncio.wait([waiting])
        fourth = start(application, "/fourth")
        view.gate.open()
        await asyncio.gather(*holders)
        return (await fourth).status

    assert run(give_up()) == 200
    assert sorted(paths_seen) == ["/fourth", "/holder", "/holder"]


def test_never_and_a_limit_go_together(site):
    """With ``THREAD_REUSE="never"`` and a limit of two, twenty requests run on twenty threads, two at once."""
    view, seen = Counted(), []
    view.gate.open()

    def noting(request):
        seen.append(threading.current_thread())
        return view(request)

    application = site(noting, ONEHOP={**TWO, "THREAD_REUSE": "never"})

    async def twenty():
        return [answer.status for answer in await asyncio.gather(*(start(application) for _ in range(20)))]

    assert run(twenty()) == [200] * 20
    assert (len({id(thread) for thread in seen}), view.peak <= 2) == (20, True)


def test_a_system_without_threads_answers_and_recovers(site, monkeypatch):
    """No thread can be started: the request ends with that error, nothing hangs, and the next one is answered."""
    view = Counted()
    view.gate.open()
    application = site(view)

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    async def main():
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError, match="can't start new thread"):
                await start(application)
        return (await start(application)).status

    assert run(main()) == 200
    assert pool.drain(5)


class Lessee:
    """A lease of its own, for a thread that somebody else keeps busy."""

    def __init__(self):
        self.lease = Lease()
        self.gate = Gate()

    def use(self):
        self.lease.submit(self.gate.wait)

    async def close_slowly(self):
        """Come to the point where only the closing is left, which takes as long as the gate is shut."""
        await asyncio.wrap_future(self.lease.submit(int))
        self.lease.post(self.gate.wait)
        self.lease.end()


def test_a_lease_that_waited_for_a_closing_thread_waits_on(site, monkeypatch):
    """After the short wait for a thread that is closing, the long one begins; it is not refused at once."""
    monkeypatch.setattr(threads, "WAIT_FOR_CLOSING_S", 0.01)
    site(async_view, ONEHOP=TWO)

    async def wait():
        closing, busy, waiting = Lessee(), Lessee(), Lessee()
        await closing.close_slowly()
        answer = waiting.lease.submit(str.upper, "done")
        busy.use()
        await asyncio.sleep(0.1)
        assert not answer.done()
        closing.gate.open()
        found = await asyncio.wrap_future(answer)
        busy.gate.open()
        for lessee in (busy, waiting):
            lessee.lease.end()
        return found

    assert run(wait()) == "DONE"


def test_closing_a_request_is_never_refused(site, monkeypatch, connect):
    """``request_finished`` is sent though its lease waited for a thread that was closing, and all are busy now."""
    monkeypatch.setattr(threads, "WAIT_FOR_CLOSING_S", 0.01)
    finished = []
    connect(signals.request_finished, lambda **_: finished.append(True), weak=False)
    application = site(async_view, [], ONEHOP=TWO)

    async def close():
        closing, busy = Lessee(), Lessee()
        await closing.close_slowly()
        request = start(application)
        await asyncio.sleep(0)
        await until(lambda: pool._waiting)
        busy.use()
        answer = await request
        for lessee in (closing, busy):
            lessee.gate.open()
        busy.lease.end()
        return answer.status

    assert (run(close()), finished) == (200, [True])


def test_idle_threads_are_no_way_around_the_limit(site):
    """A thread that has come back is not handed out while as many as allowed are in use."""
    site(async_view, ONEHOP={"MAX_REQUEST_THREADS": 1})

    async def use():
        first, second, third = Lessee(), Lessee(), Lessee()
        pool.limit = None
        for lessee in (first, second):
            lessee.use()
        first.gate.open()
        first.lease.end()
        await until(lambda: pool._idle)
        pool.limit = 1
        third.use()
        waits = not third.lease._thread
        second.gate.open()
        second.lease.end()
        third.gate.open()
        third.lease.end()
        await until(lambda: not pool._busy)
        return waits

    assert run(use())
