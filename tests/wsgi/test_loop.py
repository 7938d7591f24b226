"""One loop for all requests: each sees only its own, and none can break it for the others."""

import asyncio
import contextvars
import gc
import os
import signal
import threading
import time
import weakref
from contextlib import asynccontextmanager

import pytest
from asgiref.local import Local
from asgiref.sync import async_to_sync, sync_to_async
from django.http import HttpResponse, JsonResponse

from onehop.errors import LoopLost
from onehop.run.background import background
from tests.asgi import counting
from tests.wsgi import drive
from tests.wsgi.drive import PATIENCE_S, Call

seen = []


@pytest.fixture(autouse=True)
def nothing_seen():
    seen.clear()


async def loop_view(request):
    seen.append(asyncio.get_running_loop())
    await sync_to_async(len)("")
    return HttpResponse("loop")


def twice_view(request):
    """Sync code that calls async code itself, again after a blocking call has come back."""
    for _ in range(2):
        async_to_sync(loop_view)(request)
    return HttpResponse("twice")


@pytest.mark.parametrize("view", [loop_view, twice_view])
def test_bug_87_91_all_requests_use_one_loop_and_start_no_thread(site, view):
    """After the first request, on whatever thread they come."""
    application = site(view, ["tests.wsgi.views.SyncOnly", "tests.wsgi.views.AsyncOnly"])
    extra = {"tests.thread": 0}
    drive.get(application, **extra)

    with counting() as counts:
        for _ in range(5):
            drive.get(application, **extra)
    Call(drive.get, application, **extra).wait()

    assert counts["threads"] == 0
    assert counts["hops"] > 0
    assert set(seen) == {background.loop.asyncio_loop}


def test_a_thread_is_left_as_it_was_found(site, thread_local):
    """Other code on the server's thread finds what asgiref had left there, or nothing."""
    tasks = []

    async def view(request):
        tasks.append(asyncio.create_task(asyncio.sleep(60)))
        return await loop_view(request)

    application = site(view)

    drive.get(application)
    assert "main_event_loop" not in thread_local and "main_event_loop_pid" not in thread_local

    closed = asyncio.new_event_loop()
    closed.close()
    for before in (closed, background.loop.asyncio_loop):
        thread_local.update(main_event_loop=before, main_event_loop_pid=os.getpid())
        drive.get(application)
        assert thread_local["main_event_loop"] is before
    assert all(task.cancelled() for task in tasks)  # also on a thread that was left in the middle of a call
    assert set(seen) == {background.loop.asyncio_loop}


def test_a_live_loop_of_somebody_else_is_used(site):
    """Below an ASGI server async code runs on the server's loop, as in stock Django."""
    application = site(loop_view)

    async def serve():
        answer = await sync_to_async(drive.get)(application)
        assert seen == [asyncio.get_running_loop()]
        return answer.body

    assert asyncio.run(serve()) == b"loop"


def test_bug_88_left_over_tasks_are_cancelled_before_the_answer_is_returned(either):
    """Their clean-up is done by then, also what it calls on the request's thread and what it starts."""

    async def clean_up():
        seen.append("started by a clean-up")
        await asyncio.sleep(60)

    async def left_over():
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            seen.append(("cleaned up on", await sync_to_async(threading.get_ident)()))
            late.append(asyncio.create_task(clean_up()))
            await asyncio.sleep(0)

    async def view(request):
        tasks.append(asyncio.create_task(left_over()))
        await asyncio.sleep(0)
        return HttpResponse("left")

    tasks, late = [], []
    application = either(view)
    drive.get(application)

    assert seen[1:] == ["started by a clean-up"]
    assert seen[0][0] == "cleaned up on"
    assert tasks[0].cancelled()
    if type(application).__module__.startswith("onehop"):
        assert seen[0][1] == threading.get_ident()  # stock Django: some other thread
        assert late[0].cancelled()  # stock Django: pending for ever
    else:
        late[0]._log_destroy_pending = False


def test_each_outermost_call_is_a_family_of_its_own(either):
    """What one call leaves over has ended before the next begins, in one request or on one server's thread."""

    async def leaves_over():
        await sync_to_async(len)("")
        seen.append(all(task.done() for task in tasks))
        tasks.append(asyncio.create_task(asyncio.sleep(60)))
        await asyncio.sleep(0)

    def view(request):
        for _ in range(3):
            async_to_sync(leaves_over)()
        return HttpResponse()

    tasks = []
    application = either(view)
    for _ in range(2):
        drive.begin(application).sent.close()  # in the context of this thread, as servers do

    assert seen == [True] * 6
    assert all(task.cancelled() for task in tasks)


def test_bug_88_async_generators_are_closed_before_the_answer_is_returned(either):
    """As at the end of ``asyncio.run``."""

    async def parts():
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            seen.append("closed")

    async def view(request):
        kept.append(parts())
        await anext(kept[0])
        return HttpResponse()

    kept = []
    drive.get(either(view))

    assert seen == ["closed"]


def test_jobs_of_the_default_executor_are_waited_for(either):
    """As at the end of ``asyncio.run``."""

    def job():
        time.sleep(0.05)
        seen.append("done")

    async def view(request):
        asyncio.get_running_loop().run_in_executor(None, job)
        return HttpResponse()

    drive.get(either(view))

    assert seen == ["done"]


def test_thread_locals_do_not_pass_between_requests_through_the_default_executor(either):
    """Whatever one request leaves on a thread of its pool, no other request finds it."""
    held = threading.local()

    def look(value):
        found, held.value = getattr(held, "value", None), value
        return found

    async def view(request):
        found = await asyncio.gather(*(asyncio.to_thread(look, request.path) for _ in range(5)))
        return JsonResponse([each for each in found if each not in (None, request.path)], safe=False)

    application = either(view)

    assert [drive.get(application, f"/{number}").body for number in range(5)] == [b"[]"] * 5


def test_bug_89_twenty_threads_see_only_their_own(site):
    """Their thread-locals, context variables and Locals, while their async views take turns on one loop."""
    held, local, variable = threading.local(), Local(), contextvars.ContextVar("held")
    barrier = threading.Barrier(20)

    def look():
        return held.value, local.value, variable.get()

    async def view(request):
        found = {(local.value, variable.get())}
        for _ in range(5):
            await asyncio.sleep(0)
            found.add((local.value, variable.get()))
            found.add(await sync_to_async(look)())
        found |= set(await asyncio.gather(*(sync_to_async(look)() for _ in range(3))))
        return JsonResponse(sorted({str(value) for each in found for value in each}), safe=False)

    application = site(view)

    def requests(number):
        barrier.wait(PATIENCE_S)
        for turn in range(3):
            held.value = local.value = name = f"{number}-{turn}"
            variable.set(name)
            answer = b"".join(drive.begin(application).sent)
            assert answer == f'["{name}"]'.encode()

    for call in [Call(contextvars.Context().run, requests, number) for number in range(20)]:
        call.wait()


@pytest.fixture
def bystander(site):
    """Return a request that is in flight, and what lets it end."""
    reached, opened = threading.Event(), threading.Event()

    async def view(request):
        reached.set()
        while not opened.is_set():
            await asyncio.sleep(0.001)
        return HttpResponse(await sync_to_async(str)("unharmed"))

    call = Call(drive.get, site(view))
    assert reached.wait(PATIENCE_S)
    yield call, opened
    opened.set()
    call._thread.join(PATIENCE_S)


async def exits(error):
    await asyncio.sleep(0)
    raise error


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("awaited", [True, False, "after the view"])
def test_bug_90_what_exits_in_a_task_exits_its_own_request_only(either, bystander, complaints, error, awaited):
    """It is raised in the request's thread; another request in flight, and the loop, go on."""

    async def left_over():
        try:
            await asyncio.sleep(60)
        finally:
            raise error

    async def view(request):
        if awaited == "after the view":
            seen.append(asyncio.create_task(left_over()))
            await asyncio.sleep(0)
            return HttpResponse("not seen")
        task = asyncio.create_task(exits(error))
        try:
            await (task if awaited else asyncio.sleep(60))
        except asyncio.CancelledError:
            seen.append(await sync_to_async(str)("clean-up"))
            raise

    application = either(view)
    with pytest.raises(type(error)):
        drive.get(application)
    call, opened = bystander
    in_flight = not call.is_over
    opened.set()

    assert call.wait().body == b"unharmed"
    assert in_flight
    if awaited != "after the view":
        assert seen == ["clean-up"]
    else:
        seen.clear()
    assert [each for each in complaints() if "shutdown" not in each] == []


def test_an_exit_that_belongs_to_no_task_is_said_and_ends_nothing(site, bystander, complaints):
    """A callback that exits cannot be traced back to its request."""

    async def view(request):
        asyncio.get_running_loop().call_soon(exit_now)
        await asyncio.sleep(0.01)
        return HttpResponse("on")

    def exit_now():
        raise SystemExit(3)

    assert drive.get(site(view)).body == b"on"
    bystander[1].set()
    assert bystander[0].wait().body == b"unharmed"
    assert complaints() == ["SystemExit(3) was raised on the background loop outside of any request's tasks."]


def test_bug_51_a_stopped_loop_goes_on(site, bystander):
    """A view that stops its loop harms nobody."""

    async def view(request):
        asyncio.get_running_loop().stop()
        await asyncio.sleep(0.001)
        return HttpResponse("on")

    before = background.loop
    assert drive.get(site(view)).body == b"on"
    bystander[1].set()
    assert bystander[0].wait().body == b"unharmed"
    assert background.loop is before


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_bug_51_90_a_loop_that_cannot_go_on_fails_its_requests_and_is_replaced(site, bystander, complaints):
    """Nobody hangs: those in flight get an error that says so, the next gets a new loop."""

    async def breaks(request):
        loop = asyncio.get_running_loop()
        loop.call_soon(loop._selector.close)
        await asyncio.sleep(60)

    before = background.loop
    with pytest.raises(LoopLost, match="The background loop broke"):
        drive.get(site(breaks, DEBUG_PROPAGATE_EXCEPTIONS=True))
    with pytest.raises(LoopLost):
        bystander[0].wait()
    answer = drive.get(site(loop_view))

    assert answer.body == b"loop"
    assert seen == [background.loop.asyncio_loop]
    assert background.loop is not before
    assert "The background loop broke. The next request starts a new one." in complaints()


class TimeLimit(BaseException):
    pass


def test_a_thread_that_gives_up_waiting_cancels_its_work(site):
    """A signal's exception (a server's time limit) ends the request; the view is cancelled, its jobs do not hang."""
    ended = threading.Event()

    async def view(request):
        try:
            await asyncio.sleep(0.05)  # the thread waits by then
            signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
            await asyncio.sleep(60)
        finally:
            try:
                await sync_to_async(len)("")
            finally:
                ended.set()

    def time_limit(*_):
        raise TimeLimit

    before = signal.signal(signal.SIGUSR1, time_limit)
    try:
        with pytest.raises(TimeLimit):
            drive.get(site(view, DEBUG_PROPAGATE_EXCEPTIONS=True))
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert ended.wait(PATIENCE_S)
    assert Call(until_empty).wait()


def until_empty():
    while background.loop.families:
        time.sleep(0.001)
    return True


def test_nothing_of_a_request_is_kept(site):
    """When a request is over, its thread's context and the loop hold nothing of it."""

    async def view(request):
        requests.append(weakref.ref(request))
        await asyncio.gather(sync_to_async(len)(""), asyncio.to_thread(len, ""))
        return HttpResponse()

    requests = []
    application = site(view)
    contextvars.copy_context().run(lambda: drive.begin(application).sent.close())
    background.loop.asyncio_loop.call_soon_threadsafe(lambda: None)
    gc.collect()
    deadline = time.monotonic() + PATIENCE_S
    while requests[0]() is not None and time.monotonic() < deadline:
        time.sleep(0.01)
        gc.collect()

    assert requests[0]() is None


def test_a_task_of_no_request_does_not_wait_for_asgirefs_shared_thread():
    """As the lifespan, for which a request waits that itself runs there."""

    async def main():
        async def blocking():
            return await sync_to_async(threading.get_ident)()

        def wait():
            orphan = asyncio.run_coroutine_threadsafe(blocking(), background.loop.asyncio_loop)
            return orphan.result(10), threading.get_ident()

        return await sync_to_async(wait)()

    theirs, shared = contextvars.Context().run(asyncio.run, main())
    assert theirs != shared


def test_what_the_lifespan_started_outlives_the_first_request(site):
    """Its tasks make further tasks, which belong to no request, although a request has waited for it."""
    from onehop.run.lifespan import Lifespan

    ticks, stopped = [], []

    @asynccontextmanager
    async def ticking():
        async def tick():
            try:
                while True:
                    await asyncio.gather(asyncio.sleep(0.001))
                    ticks.append(1)
            except BaseException as error:
                stopped.append(error)
                raise

        task = asyncio.create_task(tick())
        yield {}
        task.cancel()

    async def view(request):
        await asyncio.sleep(0.03)
        return HttpResponse()

    application = site(view)
    lifespan = application._onehop_lifespan = Lifespan(ticking)
    for _ in range(3):
        drive.begin(application).sent.close()
    seen_so_far = len(ticks)
    deadline = time.monotonic() + PATIENCE_S
    while len(ticks) < seen_so_far + 3 and not stopped and time.monotonic() < deadline:
        time.sleep(0.001)
    assert not stopped and len(ticks) >= seen_so_far + 3
    (holder,) = lifespan._holders.values()
    holder.leave_at_exit()
