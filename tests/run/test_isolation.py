"""No request sees what another one has left on a thread, in a ``Local`` or in a context variable."""

import _threading_local
import asyncio
import contextvars
import gc
import random
import sys
import threading
import types
import uuid

import pytest
from asgiref.local import Local
from crum import get_current_request
from django.db import connections
from django.http import HttpResponse

from onehop import chain
from onehop._django import connection_storage
from onehop.run import leftovers
from onehop.run.threads import Job, pool
from tests import asgi
from tests.project.views import sync_view
from tests.run.drive import run, until

CRUM = "crum.CurrentRequestUserMiddleware"
HERE = __name__

thread_local = threading.local()
frozen = threading.local()
local = Local()
variable = contextvars.ContextVar("variable")


class WithInit(threading.local):
    """A thread-local that gives every thread something to begin with."""

    def __init__(self):
        self.count = 0
        self.found = []


with_init = WithInit()
lazy = types.SimpleNamespace(client=None)  # a loaded module that makes its thread-local at the first use


def everything_seen():
    """Return what this place finds in every kind of store."""
    if lazy.client is None:
        lazy.client = threading.local()
    return {
        "thread_local": getattr(thread_local, "name", None),
        "with_init": (with_init.count, list(with_init.found)),
        "lazy": getattr(lazy.client, "name", None),
        "Local": getattr(local, "name", None),
        "variable": variable.get(None),
    }


def leave_everything(name):
    """Put a name into every kind of store, and never clear it."""
    thread_local.name = name
    with_init.count += 1
    with_init.found.append(name)
    lazy.client.name = name
    local.name = name
    variable.set(name)


CLEAN = {"thread_local": None, "with_init": (0, []), "lazy": None, "Local": None, "variable": None}


class Dirty:
    """A classic middleware that finds and leaves something in every store, on the thread."""

    seen: list = []

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        name = request.GET.get("name")
        self.seen.append(everything_seen())
        if name:
            leave_everything(name)
        response = self.get_response(request)
        self.seen.append((name, thread_local.__dict__.get("name"), getattr(local, "name", None), variable.get(None)))
        return response


@pytest.fixture
def fresh(monkeypatch):
    """Begin without anything known of the lazily made thread-local."""
    monkeypatch.setattr(Dirty, "seen", [])
    monkeypatch.setattr(lazy, "client", None)


async def noop_async(request):
    await asyncio.sleep(0)
    return HttpResponse("ok")


def interleaved(application, names, concurrency=20):
    """Send a request for each name (None: one that sets nothing), a number of them at once, as a server does."""

    async def send_all():
        waiting = list(names)
        answers = []

        async def client():
            while waiting:
                name = waiting.pop()
                path = f"/?name={name}" if name else "/"
                answers.append(await asyncio.create_task(asgi.request(application, path)))

        await asyncio.gather(*(client() for _ in range(concurrency)))
        return answers

    return run(send_all())


def some_names(count):
    """Return names, every second of them None, in a mixed order."""
    names = [f"user{number}" if number % 2 else None for number in range(count)]
    random.Random(count).shuffle(names)
    return names


@pytest.mark.parametrize("view", [sync_view, noop_async])
@pytest.mark.parametrize("reuse", ["clean", "never"])
def test_bug_64_four_hundred_interleaved_requests_never_meet(site, fresh, view, reuse):
    """Each finds every store empty, and on its way out what it has put there itself."""
    application = site(view, [f"{HERE}.Dirty"], ONEHOP={"THREAD_REUSE": reuse})

    interleaved(application, some_names(400))

    found = [each for each in Dirty.seen if isinstance(each, dict)]
    left = [each for each in Dirty.seen if isinstance(each, tuple)]
    assert [each for each in found if each != CLEAN] == []
    assert [each for each in left if len(set(each)) != 1] == []
    assert (len(found), len(left)) == (400, 400)


def test_threads_that_are_left_clean_are_used_again(site, fresh):
    """The oracle above is not met by throwing every thread away."""
    application = site(sync_view, [f"{HERE}.Dirty"])
    with asgi.counting() as counts:
        interleaved(application, [None] * 100, concurrency=1)

    assert counts["threads"] <= 3, pool.retired
    assert [each for each in Dirty.seen if isinstance(each, dict) and each != CLEAN] == []


def remember(request):
    """Keep a name in a thread-local that the first request makes; answer with the name that was there."""
    if lazy.client is None:
        lazy.client = threading.local()
    found = getattr(lazy.client, "name", None)
    if "name" in request.GET:
        lazy.client.name = request.GET["name"]
    return HttpResponse(str(found))


def collect_often():
    for generation in (0, 1, 0, 2, 0):
        gc.collect(generation)


@pytest.fixture
def gc_disabled():
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def gc_unfrozen():
    yield
    gc.unfreeze()


def two_requests(application, between=lambda: None):
    """Send a request that leaves its name, then one that looks for it; return what that found."""

    async def two():
        await asyncio.create_task(asgi.request(application, "/?name=alice"))
        between()
        await until(lambda: not (pool._busy or pool._closing))
        between()
        return (await asyncio.create_task(asgi.request(application))).body

    return run(two())


def test_a_thread_local_made_during_a_request_is_found(site, fresh):
    """A thread on which a new ``threading.local`` holds something serves nobody else."""
    assert two_requests(site(remember)) == b"None"


def test_it_is_found_while_collections_are_disabled(site, fresh, gc_disabled):
    """The search does not depend on automatic collections."""
    assert two_requests(site(remember)) == b"None"


def test_it_is_found_after_collections_have_moved_it(site, fresh):
    """An object that has left the young generation before the thread is inspected is known all the same."""

    def view(request):
        answer = remember(request)
        collect_often()
        return answer

    assert two_requests(site(view)) == b"None"


def test_it_is_found_when_many_collections_ran_elsewhere(site, fresh):
    """The same with collections on the loop, before and after the inspection."""
    assert two_requests(site(remember), between=collect_often) == b"None"


def test_it_is_found_after_a_freeze(site, fresh, gc_unfrozen):
    """``gc.freeze()`` hides objects, so then no thread counts as clean."""

    def view(request):
        answer = remember(request)
        gc.freeze()
        return answer

    assert two_requests(site(view)) == b"None"


def test_it_is_found_after_a_freeze_and_an_unfreeze(site, fresh, gc_unfrozen):
    """What ``gc.unfreeze()`` shows again is looked at."""

    def view(request):
        answer = remember(request)
        gc.freeze()
        gc.unfreeze()
        return answer

    assert two_requests(site(view)) == b"None"


def test_it_is_found_when_it_is_made_while_a_collection_begins(site, fresh):
    """Another thread may run between the callback that looks at young objects and the collection that moves them."""

    def make(phase, details):
        if phase == "start" and lazy.client is None:
            lazy.client = threading.local()

    def view(request):
        gc.callbacks.append(make)
        try:
            gc.collect(0)
        finally:
            gc.callbacks.remove(make)
        return remember(request)

    def second_view(request):
        return (view if "name" in request.GET else remember)(request)

    assert two_requests(site(second_view)) == b"None"


@pytest.fixture
def filled():
    """Return a thread-local that begins with a list that is not empty."""

    class Filled(threading.local):
        def __init__(self):
            self.plugins = ["default"]

    filled = Filled()
    gc.collect()  # it is old when the first thread starts
    return filled


def test_an_emptied_default_is_a_change(site, filled):
    """A request that empties what ``__init__`` has filled leaves a changed thread behind."""

    def view(request):
        found = list(filled.plugins)
        if "name" in request.GET:
            filled.plugins.clear()
        return HttpResponse(" ".join(found))

    assert two_requests(site(view)) == b"default"


def test_a_thread_that_was_left_as_it_began_is_used_again(site, fresh):
    """Two threads are retired to learn that an object always begins alike; the next ones are compared with that."""

    class Begun(threading.local):
        def __init__(self):
            self.depth = 0

    begun = Begun()
    gc.collect()

    def view(request):
        begun.depth += 1
        begun.depth -= 1
        return HttpResponse(str(begun.depth))

    with asgi.counting() as counts:
        interleaved(site(view), [None] * 6, concurrency=1)
    pool.drain(5)

    assert ["Begun" in reason for reason in pool.retired].count(True) == 2
    assert counts["threads"] == 1 + len(pool.retired) < 6  # the test suite itself may have such objects, too


def test_one_that_can_not_be_compared_retires_only_threads_that_use_it(site, filled):
    """An object with contents that can change inside retires a thread that used it; it is not made on the others."""

    def view(request):
        if "name" in request.GET:
            filled.plugins.append("mine")
        return HttpResponse("ok")

    application = site(view)
    interleaved(application, ["alice", "bob"], concurrency=1)
    pool.drain(5)
    assert len(pool.retired) == 2
    pool.retired.clear()

    with asgi.counting() as counts:
        interleaved(application, [None] * 6, concurrency=1)
    pool.drain(5)

    assert (counts["threads"], list(pool.retired)) == (1, [])


def test_a_failing_init_ends_no_thread(site):
    """An ``__init__`` that exits on a bare thread costs that thread its reuse, and no request its answer."""

    class Fussy(threading.local):
        fussy = False

        def __init__(self):
            if self.fussy:
                raise SystemExit("not here")
            self.depth = 0

    fussy = Fussy()

    def view(request):
        Fussy.fussy = False
        fussy.depth = 1
        Fussy.fussy = True
        return HttpResponse("ok")

    application = site(view)
    for _ in range(3):
        assert [answer.status for answer in interleaved(application, [None], concurrency=1)] == [200]
    pool.drain(5)
    Fussy.fussy = False


LEAKS = {
    "an attribute of the thread": (
        lambda: setattr(threading.current_thread(), "tenant", "alice"),
        lambda: getattr(threading.current_thread(), "tenant", None),
    ),
    "the name of the thread": (
        lambda: setattr(threading.current_thread(), "name", "alice"),
        lambda: "alice" if threading.current_thread().name == "alice" else None,
    ),
    "a pure-Python local": (lambda: setattr(pure, "name", "alice"), lambda: getattr(pure, "name", None)),
    "a profile function": (lambda: sys.setprofile(lambda *_: None), sys.getprofile),
    "a trace function": (lambda: sys.settrace(lambda *_: None), sys.gettrace),
    "an async generator hook": (
        lambda: sys.set_asyncgen_hooks(firstiter=lambda _: None),
        lambda: sys.get_asyncgen_hooks().firstiter,
    ),
}
pure = _threading_local.local()


@pytest.mark.parametrize("kind", LEAKS)
def test_what_python_keeps_for_a_thread_does_not_pass_on(site, kind):
    """Nothing that is set on a thread itself is seen by the next request."""
    leave, look = LEAKS[kind]
    before = look()

    def view(request):
        found = look()
        if "name" in request.GET:
            leave()
        return HttpResponse(str(found))

    assert two_requests(site(view)) == str(before).encode()
    assert pool.retired


def test_what_a_retired_thread_held_is_dropped_on_that_thread(site, gc_disabled):
    """At once, and not by a later garbage collection on the loop."""
    dropped = []

    class Handle:
        def __del__(self):
            dropped.append(threading.get_ident())

    handles = threading.local()

    def view(request):
        handles.one = Handle()
        return HttpResponse("ok")

    interleaved(site(view), [None] * 3, concurrency=1)
    pool.drain(5)
    for thread in threading.enumerate():
        if thread.name.startswith("onehop-request"):
            thread.join(5)

    assert len(dropped) == 3
    assert threading.get_ident() not in dropped


def test_contents_that_differ_from_thread_to_thread_do_not_pass_on(site):
    """An ``__init__`` that gives each thread something of its own has no contents to compare with."""

    class Numbered(threading.local):
        def __init__(self):
            self.number = str(uuid.uuid4())

    numbered = Numbered()

    def view(request):
        return HttpResponse(numbered.number)

    answers = interleaved(site(view), [None] * 6, concurrency=1)

    assert len({answer.body for answer in answers}) == 6


def test_a_context_that_every_thread_begins_with_is_no_leftover(site, monkeypatch):
    """Sentry sets context variables around ``Thread.run``: each thread has them before its first job."""
    run_as_it_was = threading.Thread.run

    def run_in_scope(thread):
        variable.set("scope")
        run_as_it_was(thread)

    monkeypatch.setattr(threading.Thread, "run", run_in_scope)

    with asgi.counting() as counts:
        interleaved(site(sync_view), [None] * 5, concurrency=1)
    pool.drain(5)

    assert (counts["threads"], list(pool.retired)) == (1, [])


def test_an_inspection_that_exits_loses_no_capacity(site, monkeypatch):
    """Whatever inspecting a thread raises, the thread is retired and its place is free again."""

    def exits():
        raise SystemExit("inspecting")

    monkeypatch.setattr(leftovers, "settle_connections", exits)
    application = site(sync_view, ONEHOP={"MAX_REQUEST_THREADS": 1})

    assert [answer.status for answer in interleaved(application, [None] * 3, concurrency=1)] == [200] * 3
    pool.drain(5)
    assert (pool._busy, pool._closing, len(pool.retired)) == (0, 0, 3)


def test_a_connection_whose_database_was_removed_does_not_pass_on(site, tmp_path):
    """A database that is added to the settings and taken away again, as for tenants, leaves no open connection."""

    def view(request):
        left = "tenant" in vars(connection_storage())
        connections.databases["tenant"] = {**connections.databases["default"], "NAME": tmp_path / "tenant"}
        connections["tenant"].ensure_connection()
        del connections.databases["tenant"]
        return HttpResponse(str(left))

    assert two_requests(site(view)) == b"False"
    pool.drain(5)
    assert list(pool.retired) == ["database 'tenant' is no longer in the settings"] * 2


def test_what_no_request_has_touched_retires_no_thread(site, filled):
    """A thread-local with contents that cannot be compared is no reason, as long as no request uses it."""
    application = site(sync_view)

    with asgi.counting() as counts:
        interleaved(application, [None] * 10, concurrency=1)
    pool.drain(5)

    assert (counts["threads"], list(pool.retired)) == (1, [])


def test_no_init_of_a_thread_local_runs_unasked(site):
    """A thread-local's ``__init__``, which may open a connection, runs on threads whose request uses it."""
    opened = []

    class Connection(threading.local):
        def __init__(self):
            opened.append(threading.current_thread().name)

    connection = Connection()
    gc.collect()
    opened.clear()

    interleaved(site(sync_view), [None] * 2, concurrency=1)

    assert opened == []
    del connection


def test_a_subclass_made_during_a_request_is_found(site):
    """The same for a ``threading.local`` subclass with an ``__init__``, made by the first request."""
    made = []

    def view(request):
        if not made:
            made.append(WithInit())
        found = list(made[0].found)
        made[0].found.extend(request.GET.values())
        return HttpResponse(str(found))

    assert two_requests(site(view)) == b"[]"


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_bug_73_85_crum_shows_every_view_its_own_request(site, mode):
    """django-crum's ``threading.local``: a sync view sees its own request, an async view none, as in stock Django."""
    seen = []

    def look(request):
        current = get_current_request()
        seen.append(current is request if current is not None else None)
        return HttpResponse("ok")

    async def async_look(request):
        await asyncio.sleep(0)
        return look(request)

    application = site({"sync": look, "async": async_look}[mode], [CRUM])

    interleaved(application, [None] * 400)

    assert seen == [{"sync": True, "async": None}[mode]] * 400


def test_bug_85_the_oracle_sees_a_leak(site):
    """Declared to run anywhere, which is a lie, django-crum shows a view somebody else's request."""
    foreign = []

    async def look(request):
        await asyncio.sleep(0)
        foreign.append(get_current_request() not in (None, request))
        return HttpResponse("ok")

    application = site(look, [CRUM], ONEHOP={"RUNS_ANYWHERE": [CRUM]})

    interleaved(application, [None] * 400)

    assert sum(foreign) > 0


def test_never_gives_every_request_a_new_thread(site):
    """``THREAD_REUSE="never"``: twenty requests, one after another, run on twenty threads."""
    seen = []

    def view(request):
        seen.append(threading.current_thread())
        return HttpResponse("ok")

    application = site(view, ONEHOP={"THREAD_REUSE": "never"})

    interleaved(application, [None] * 20, concurrency=1)

    assert len({id(thread) for thread in seen}) == 20


def test_never_does_not_use_threads_that_were_kept_before(site):
    """A handler with ``THREAD_REUSE="never"`` takes no idle thread of an earlier one."""
    seen = []

    def view(request):
        seen.append(threading.current_thread())
        return HttpResponse("ok")

    interleaved(site(view), [None], concurrency=1)
    pool.drain(5)
    assert len(pool._idle) == 1

    interleaved(site(view, ONEHOP={"THREAD_REUSE": "never"}), [None] * 2, concurrency=1)

    assert len({id(thread) for thread in seen}) == 3


kept = threading.local()


def test_a_python_that_does_not_tell_gives_every_request_a_new_thread(site, monkeypatch, caplog):
    """Where it is not known what a thread has touched, no thread is used twice, and one warning says so."""
    monkeypatch.setattr(chain, "can_be_told", lambda: False)
    application = site(sync_view)
    told = [record.getMessage() for record in caplog.records]
    caplog.clear()

    with asgi.counting() as counts:
        interleaved(application, [None] * 5, concurrency=1)

    assert counts["threads"] == 5
    assert len(told) == 1 and "THREAD_REUSE" in told[0]


def test_a_kept_thread_local_does_not_retire_its_thread(site):
    """``KEEP_THREAD_LOCALS`` names a ``threading.local`` by its dotted path; what it holds stays on the thread."""
    seen = []

    def view(request):
        kept.client = getattr(kept, "client", 0) + 1
        seen.append(kept.client)
        return HttpResponse("ok")

    application = site(view, ONEHOP={"KEEP_THREAD_LOCALS": [f"{HERE}.kept"]})

    interleaved(application, [None] * 5, concurrency=1)

    assert (seen, list(pool.retired)) == ([1, 2, 3, 4, 5], [])


def test_the_name_of_what_retired_a_thread_is_told(site):
    """The pool says which thread-local held what."""

    def view(request):
        thread_local.name = "alice"
        return HttpResponse("ok")

    application = site(view)

    interleaved(application, [None], concurrency=1)
    pool.drain(5)

    assert list(pool.retired) == [f"{HERE}.thread_local holds 'name'"]


def test_the_name_is_told_after_a_freeze(site, gc_unfrozen):
    """A server that has called ``gc.freeze()`` before it forks sees the names, too."""

    def view(request):
        frozen.name = "alice"
        return HttpResponse("ok")

    application = site(view)
    gc.freeze()

    interleaved(application, [None], concurrency=1)
    pool.drain(5)

    assert list(pool.retired) == [f"{HERE}.frozen holds 'name'"]


def test_bug_66_the_context_of_a_thread_stays_empty(site):
    """Jobs run in copies of the request's context: a thread's own context never holds anything."""
    threads_context = []

    def view(request):
        variable.set("alice")
        local.name = "alice"
        return HttpResponse("ok")

    application = site(view)

    async def look():
        await asgi.request(application)
        await until(lambda: not (pool._busy or pool._closing))
        job = Job(lambda: threads_context.append(list(contextvars.copy_context())))
        pool._idle[0].do(job)
        await asyncio.wrap_future(job.future)

    run(look())

    assert threads_context == [[]]
