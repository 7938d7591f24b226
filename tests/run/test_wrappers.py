"""Middleware that calls ``get_response`` itself: on the thread, in a greenlet on the loop, nested in any way."""

import asyncio
import contextvars
import gc
import itertools
import sys
import threading

import pytest
from django.http import HttpResponse

from onehop import runs_anywhere
from onehop.run.greenlets import WrapperGreenlet
from tests import asgi
from tests.asgi import counting
from tests.run.drive import Gate, run, until
from tests.run.stacks import KINDS, paths

HERE = __name__


class Log:
    """What the wrappers of this module note, and what they are to do."""

    lines: list = []
    lock = threading.Lock()


@pytest.fixture(autouse=True)
def log():
    Log.lines = []
    Log.lock = threading.Lock()
    return Log.lines


@pytest.fixture(autouse=True)
def no_greenlet_left():
    before = living_greenlets()
    yield
    if living_greenlets() > before:
        gc.collect()
    assert living_greenlets() <= before


def living_greenlets():
    return sum(type(each) is WrapperGreenlet and not each.dead for each in gc.get_objects())


def make_view(mode, body=lambda request: HttpResponse("ok")):
    def sync_view(request):
        return body(request)

    async def async_view(request):
        await asyncio.sleep(0)
        return body(request)

    return {"sync": sync_view, "async": async_view}[mode]


def wrapper(name, call):
    """Make two classic middleware of one function: ``name`` and, declared to run anywhere, ``Declared`` + name."""
    for prefix, mark in (("", lambda cls: cls), ("Declared", runs_anywhere)):

        class Wrapper:
            def __init__(self, get_response):
                self.get_response = get_response

            def __call__(self, request):
                return call(self.get_response, request)

        Wrapper.__name__ = Wrapper.__qualname__ = prefix + name
        globals()[prefix + name] = mark(Wrapper)


def note_exception(get_response, request):
    Log.lines.append("before")
    try:
        return get_response(request)
    except Exception:
        Log.lines.append("except Exception")
        raise
    finally:
        Log.lines.append(f"finally {getattr(sys.exc_info()[0], '__name__', None)}")


def twice(get_response, request):
    first = get_response(request)
    second = get_response(request)
    second["X-First"] = first.content.decode()
    return second


def never(get_response, request):
    return HttpResponse("short")


def fail_before(get_response, request):
    raise ValueError("before")


def fail_after(get_response, request):
    get_response(request)
    raise ValueError("after")


def with_lock(get_response, request):
    with Log.lock:
        Log.lines.append("locked")
        response = get_response(request)
        Log.lines.append("unlocked")
        return response


def generous(get_response, request):
    try:
        return get_response(request)
    except asyncio.CancelledError:
        Log.lines.append("swallowed")
        return HttpResponse("instead")


def where(get_response, request):
    Log.lines.append(threading.current_thread() is threading.main_thread())
    response = get_response(request)
    Log.lines.append(threading.current_thread() is threading.main_thread())
    return response


for _name, _call in {
    "Notes": note_exception,
    "Twice": twice,
    "Never": never,
    "FailsBefore": fail_before,
    "FailsAfter": fail_after,
    "Locks": with_lock,
    "Generous": generous,
    "Where": where,
}.items():
    wrapper(_name, _call)


def mine(*names):
    return [f"{HERE}.{name}" for name in names]


both = pytest.mark.parametrize("declared", ["", "Declared"], ids=["undeclared", "declared"])
modes = pytest.mark.parametrize("mode", ["sync", "async"])


@pytest.mark.parametrize("ending", ["disconnect", "cancel"])
@both
def test_bug_86_cancellation_reaches_the_finally_of_a_wrapper(site, log, declared, ending):
    """While an async view waits, the request is cancelled: ``get_response`` raises ``CancelledError``."""
    gate = Gate()

    async def view(request):
        await gate.stand()

    application = site(view, mine(f"{declared}Notes"))

    async def main():
        disconnect = asyncio.Event()
        request = asyncio.create_task(asgi.request(application, disconnect=disconnect))
        await gate.reached()
        disconnect.set() if ending == "disconnect" else request.cancel()
        await asyncio.wait([request])
        await until(lambda: len(log) == 2)

    run(main())

    assert log == ["before", "finally CancelledError"]


@both
def test_a_wrapper_that_swallows_the_cancellation_ends(site, log, declared):
    """Its answer is sent to nobody, as in stock Django, and the request ends."""
    gate = Gate()

    async def view(request):
        await gate.stand()

    application = site(view, mine(f"{declared}Generous"))

    async def main():
        disconnect = asyncio.Event()
        request = asyncio.create_task(asgi.request(application, disconnect=disconnect))
        await gate.reached()
        disconnect.set()
        return (await request).body

    assert run(main()) == b"instead"
    assert log == ["swallowed"]


@both
@modes
def test_get_response_can_be_called_twice(site, declared, mode):
    """The inner part runs once more, and answers once more."""
    numbers = itertools.count(1)
    application = site(make_view(mode, lambda request: HttpResponse(str(next(numbers)))), mine(f"{declared}Twice"))

    answer = asgi.get(application)

    assert (answer.body, dict(answer.headers)[b"X-First"]) == (b"2", b"1")


@both
@modes
@pytest.mark.parametrize("inner", ["Notes", "DeclaredNotes"])
@pytest.mark.parametrize("name", ["FailsBefore", "FailsAfter", "Never"])
def test_exceptions_and_early_answers_are_those_of_django(site, log, declared, mode, inner, name):
    """A wrapper that raises is answered with 500 outside itself; what is inside has run or not, as in stock."""
    outcomes = []
    for stock in (True, False):
        application = site(make_view(mode), mine("Notes", f"{declared}{name}", inner), stock=stock)
        answer = asgi.get(application)
        outcomes.append((answer.status, answer.body, list(log)))
        log.clear()

    assert outcomes[0] == outcomes[1]


@both
@modes
def test_an_exception_of_the_view_does_not_reach_a_wrapper(site, log, declared, mode):
    """As in Django, ``get_response`` returns an answer with status 500."""

    def fail(request):
        raise ValueError("of the view")

    application = site(make_view(mode, fail), mine(f"{declared}Notes"))

    assert asgi.get(application).status == 500
    assert log == ["before", "finally None"]


@modes
def test_bug_83_a_lock_around_get_response_serves_one_after_the_other(site, log, mode):
    """An undeclared wrapper may hold a lock while it waits: requests queue for it on their threads."""
    application = site(make_view(mode), mine("Locks"))

    async def five():
        return await asyncio.gather(*(asyncio.create_task(asgi.request(application)) for _ in range(5)))

    answers = run(five())

    assert [answer.status for answer in answers] == [200] * 5
    assert log == ["locked", "unlocked"] * 5


@modes
def test_bug_82_both_halves_of_a_wrapper_run_on_one_lane(site, log, mode):
    """A declared wrapper runs where it is entered: on the loop; inside an undeclared one on the thread."""
    application = site(make_view(mode), mine("DeclaredWhere", "Where", "DeclaredWhere"))

    assert asgi.get(application).status == 200
    assert log == [True, False, False, False, False, True]


@modes
@pytest.mark.parametrize("outermost", KINDS)
def test_all_nestings_of_three_answer_and_nest(site, around, log, mode, outermost):
    """Every nesting of three kinds of middleware runs in order, inwards and outwards."""
    around(lambda name, *_: log.append(name), lambda name, *_: log.append(name))

    for kinds in itertools.product([outermost], KINDS, KINDS):
        application = site(make_view(mode), paths(*kinds))
        log.clear()
        assert asgi.get(application).body == b"ok"
        assert log == [*kinds, *reversed(kinds)]


@modes
@pytest.mark.parametrize("outermost", KINDS)
def test_bug_86_cancelling_at_every_moment_leaves_nothing(site, mode, outermost):
    """Whatever the moment of the cancellation, greenlets and threads come to their end, and the next request too."""
    for kinds in list(itertools.permutations(KINDS, 4))[::9]:
        application = site(make_view(mode), paths(outermost, *kinds))

        async def cancel_everywhere(application=application):
            for turns in range(15):
                request = asyncio.create_task(asgi.request(application))
                for _ in range(turns):
                    await asyncio.sleep(0)
                request.cancel()
                await asyncio.wait([request])
            return (await asyncio.create_task(asgi.request(application))).body

        assert run(cancel_everywhere()) == b"ok"


@modes
def test_a_declared_wrapper_costs_neither_hop_nor_thread(site, log, mode):
    """Three declared wrappers around an async view: no hop; around a sync view: the view's own."""
    application = site(make_view(mode), mine("DeclaredWhere") * 3)

    with counting() as counts:
        asgi.get(application)

    assert counts["hops"] == {"sync": 1, "async": 0}[mode]


def test_bug_86_a_dropped_request_leaves_no_greenlet(site, log):
    """The task of a request is thrown away in the middle of a declared wrapper: its ``finally`` runs."""
    application = site(make_view("async"), mine("DeclaredNotes"))
    steps = asgi.request(application)

    async def start_and_drop():
        steps.send(None)
        steps.close()

    run(start_and_drop())

    assert log == ["before", "finally GeneratorExit"]


def test_greenlets_of_concurrent_requests_do_not_mix(site, around):
    """A hundred requests in declared wrappers on one loop each keep their own locals and their own answer."""
    variable = contextvars.ContextVar("variable")
    wrong = []

    def before(name, request):
        variable.set(request.GET["number"])

    def after(name, request, response):
        if not (variable.get() == request.GET["number"] == response.content.decode()):
            wrong.append(request.GET["number"])

    async def view(request):
        for _ in range(int(request.GET["number"]) % 7):
            await asyncio.sleep(0)
        return HttpResponse(variable.get())

    around(before, after)
    application = site(view, paths("DeclaredClassic", "hybrid", "DeclaredClassic"))

    async def hundred():
        requests = [asyncio.create_task(asgi.request(application, f"/?number={n}")) for n in range(100)]
        return [answer.body for answer in await asyncio.gather(*requests)]

    assert run(hundred()) == [b"%d" % number for number in range(100)]
    assert wrong == []
