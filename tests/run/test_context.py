"""What one part of a request puts into its context, the other parts see."""

import asyncio
import concurrent.futures
import contextvars
import itertools
import sys
import time

import pytest
from asgiref.local import Local
from django.conf import settings
from django.http import Http404, HttpResponse
from django.utils import timezone, translation
from django.utils.deprecation import MiddlewareMixin

from tests import asgi
from tests.run.drive import run
from tests.run.stacks import KINDS, paths

variable = contextvars.ContextVar("variable")
local = Local()
EVERY_KIND = [*KINDS, "SyncHooks", "Asks", "Observes"]


def make_view(mode, body):
    """Return a view that does the same in either mode."""

    def sync_view(request):
        return body(request)

    async def async_view(request):
        return body(request)

    return {"sync": sync_view, "async": async_view}[mode]


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("kind", KINDS)
def test_bug_68_78_what_a_middleware_sets_is_seen_in_the_view_and_back(site, around, events, kind, mode):
    """A context variable and a ``Local`` go in to the view, and what the view sets comes out again."""

    def before(name, request):
        variable.set("middleware's")
        local.value = "middleware's"

    def after(name, request, response):
        events.append(("after", variable.get(None), getattr(local, "value", None)))

    def view(request):
        events.append(("view", variable.get(None), getattr(local, "value", None)))
        variable.set("view's")
        local.value = "view's"
        return HttpResponse("ok")

    around(before, after)
    application = site(make_view(mode, view), paths(kind))

    asgi.get(application)

    assert events == [("view", "middleware's", "middleware's"), ("after", "view's", "view's")]


@pytest.mark.parametrize("kind", ["Classic", "SyncHooks"])
@pytest.mark.parametrize("raises", [False, True], ids=["", "raises"])
def test_what_the_loop_has_set_is_there_when_its_thread_wakes_at_once(site, around, monkeypatch, events, kind, raises):
    """asgiref 3.13 sets the result for which the thread waits before it notes the context to take over."""

    class Outcome(concurrent.futures.Future):
        """One whose thread has a long start."""

        def set_result(self, result):
            super().set_result(result)
            time.sleep(0.1)

        def set_exception(self, exception):
            super().set_exception(exception)
            time.sleep(0.1)

    monkeypatch.setattr("asgiref.sync.Future", Outcome)

    def after(name, request, response):
        events.append((response.status_code, variable.get(None), getattr(local, "value", None)))

    async def view(request):
        variable.set("view's")
        local.value = "view's"
        if raises:
            raise Http404
        return HttpResponse("ok")

    around(lambda name, request: None, after)

    asgi.get(site(view, paths(kind)))

    assert events == [(404 if raises else 200, "view's", "view's")]


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("kinds", list(itertools.permutations(KINDS, 3)), ids="-".join)
def test_bug_68_78_context_goes_through_every_mixture_of_three(site, around, events, kinds, mode):
    """Each layer appends its name on the way in and on the way out, through every mixture of lanes."""

    def note(name, *_):
        variable.set((*variable.get(()), name))
        local.names = (*getattr(local, "names", ()), name)

    def view(request):
        note("view")
        return HttpResponse("ok")

    around(note, lambda *arguments: (note(*arguments), events.append((variable.get(), local.names))))
    application = site(make_view(mode, view), paths(*kinds))

    asgi.get(application)

    whole = (*kinds, "view", *reversed(kinds))
    assert events == [(whole[:length], whole[:length]) for length in (5, 6, 7)]


# What begins and ends on one lane has one context. Hooks on both sides of a hop have not, as in stock Django.
@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        *itertools.product(["Classic", "DeclaredClassic", "Async", "hybrid"], ["sync", "async"]),
        ("Hooks", "sync"),
        ("DeclaredHooks", "async"),
        *itertools.product(["SyncHooks", "Hooks Classic", "DeclaredHooks Classic"], ["sync", "async"]),
        *itertools.product(["SyncHooks hybrid", "DeclaredHooks SyncHooks"], ["sync", "async"]),
    ],
)
def test_bug_67_a_token_can_be_reset_on_the_way_out(site, around, kind, mode):
    """``variable.reset(token)`` works in the second half of a middleware for a token of its first half."""
    tokens = []
    around(lambda *_: tokens.append(variable.set("set")), lambda *_: variable.reset(tokens.pop()))
    application = site(make_view(mode, lambda request: HttpResponse(variable.get())), paths(*kind.split()))

    answer = asgi.get(application)

    assert (answer.status, answer.body, tokens) == (200, b"set", [])


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("outermost", EVERY_KIND)
def test_bug_67_a_token_is_valid_wherever_it_is_on_stock_django(site, around, outermost, mode):
    """Every stack of three: what stock Django calls as one sync function has one context here, too."""
    tokens, told = {}, []

    def before(name, request):
        tokens[name] = variable.set(name)

    def after(name, request, response):
        try:
            variable.reset(tokens.pop(name))
        except ValueError:
            told.append(f"{name}: in another context")
        else:
            told.append(f"{name}: done")

    around(before, after)
    site(make_view(mode, lambda request: HttpResponse("ok")))
    for inner in itertools.permutations([kind for kind in EVERY_KIND if kind != outermost], 2):
        stack = paths(outermost, *inner)
        reset = {}
        for make in (asgi.stock_application, asgi.onehop_application):
            told.clear()
            assert asgi.get(make(MIDDLEWARE=stack)).body == b"ok"
            reset[make] = list(told)
        stock, onehop = reset.values()
        assert len(stock) == len(onehop)
        lost = [here for there, here in zip(stock, onehop, strict=True) if here != there and there.endswith("done")]
        assert lost == [], f"in {stack}"


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("kind", KINDS)
def test_language_and_time_zone_of_a_request_reach_its_view(site, around, kind, mode):
    """Django's own ``Local`` values are those of the request, wherever they were set."""

    def before(name, request):
        translation.activate("eo")
        timezone.activate("Indian/Mauritius")

    def view(request):
        return HttpResponse(f"{translation.get_language()} {timezone.get_current_timezone_name()}")

    around(before)
    application = site(make_view(mode, view), paths(kind))

    assert asgi.get(application).body == b"eo Indian/Mauritius"


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_bug_69_a_request_begins_with_the_context_of_its_caller(site, mode):
    """A variable that the server has set is seen; one that the request sets stays in the request's task."""

    def view(request):
        seen = variable.get(None)
        variable.set("view's")
        return HttpResponse(str(seen))

    application = site(make_view(mode, view), [])

    async def two():
        variable.set("server's")
        answers = [await asyncio.create_task(asgi.request(application)) for _ in range(2)]
        return [answer.body for answer in answers], variable.get()

    assert run(two()) == ([b"server's", b"server's"], "server's")


class Catching(MiddlewareMixin):
    """Notes what ``sys.exc_info()`` says inside ``process_exception``."""

    seen: list = []

    def process_exception(self, request, exception):
        self.seen.append(sys.exc_info()[1] is exception)


@pytest.mark.parametrize("wrapper", [None, *KINDS])
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_the_exception_is_being_handled_in_hooks_and_handlers(site, monkeypatch, mode, wrapper):
    """``sys.exc_info()`` is the view's exception in ``process_exception`` and in ``handler500``."""
    error = ValueError("of the view")
    monkeypatch.setattr(Catching, "seen", [])

    def view(request):
        raise error

    def handler500(request):
        Catching.seen.append(sys.exc_info()[1] is error)
        return HttpResponse("handled", status=500)

    application = site(make_view(mode, view), [*paths(*filter(None, [wrapper])), f"{__name__}.Catching"])
    settings.ROOT_URLCONF.handler500 = handler500

    answer = asgi.get(application)

    assert (answer.body, Catching.seen) == (b"handled", [True, True])


@pytest.mark.parametrize("middleware", [[], *([kind] for kind in KINDS)], ids=str)
def test_an_exception_that_was_handled_is_over(site, middleware):
    """``sys.exc_info()`` is empty again in an async view that has caught what it had waited for, and in ``send``."""
    seen = []

    async def view(request):
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_exception, LookupError("caught"))
        try:
            await future
        except LookupError:
            pass
        seen.append(sys.exc_info()[1])
        return HttpResponse("ok")

    async def send(message):
        seen.append(sys.exc_info()[1])

    run(asgi.request(site(view, paths(*middleware)), send=send))

    assert seen == [None, None, None]
