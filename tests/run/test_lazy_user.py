"""Onehop never looks into an object of the request: a lazy user would ask the database, on the loop."""

import contextvars
import gc
import sys
import threading

import pytest
from asgiref.local import Local
from asgiref.sync import _restore_context
from django.http import HttpResponse
from django.urls import re_path

from onehop.run.threads import pool
from tests import asgi
from tests.run.drive import run, until
from tests.run.stacks import KINDS, Around, paths

touched = []


def touching(name):
    def method(self, *arguments):
        caller = sys._getframe(1).f_code
        # asgiref 3.13 itself asks isinstance() of every context variable at each hop, in stock Django too.
        if arguments == ("__class__",) and caller is _restore_context.__code__:
            return Touchy
        touched.append((name, caller.co_qualname))
        raise AssertionError(f"somebody called {name} of a lazy object")

    return method


SPECIAL = [
    "__getattribute__",
    "__getattr__",
    "__setattr__",
    "__delattr__",
    "__dir__",
    "__bool__",
    "__len__",
    "__eq__",
    "__ne__",
    "__lt__",
    "__hash__",
    "__str__",
    "__repr__",
    "__bytes__",
    "__format__",
    "__call__",
    "__iter__",
    "__next__",
    "__contains__",
    "__getitem__",
    "__enter__",
    "__exit__",
    "__await__",
    "__aiter__",
    "__reduce_ex__",
    "__index__",
    "__int__",
    "__sizeof__",
    "__get__",
    "__instancecheck__",
]
Touchy = type("Touchy", (), {name: touching(name) for name in SPECIAL if name != "__get__"})

user = Touchy()
variable = contextvars.ContextVar("user")
local = Local()
thread_local = threading.local()


@pytest.fixture(autouse=True)
def untouched():
    touched.clear()
    assert object.__getattribute__(user, "__class__") is Touchy
    yield
    assert touched == []


def spread(name, request):
    """Put the user wherever requests keep one."""
    request.user = request._cached_user = user
    variable.set(user)
    local.user = user


def three_requests(application):
    """Send three requests, with collections in between, and let all threads be inspected."""

    async def three():
        statuses = []
        for _ in range(3):
            statuses.append((await asgi.request(application)).status)
            gc.collect()
            await until(lambda: not (pool._busy or pool._closing))
        return statuses

    return run(three())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_bug_36_an_object_of_the_request_is_passed_on_untouched(site, monkeypatch, mode, kind):
    """On the request, in a context variable and in a ``Local``: through hops, greenlets, closing and inspection."""
    monkeypatch.setattr(Around, "before", staticmethod(spread))

    def sync_view(request):
        return HttpResponse(b"%d" % (request.user is user is variable.get() is local.user))

    async def async_view(request):
        return sync_view(request)

    application = site({"sync": sync_view, "async": async_view}[mode], paths(kind))

    assert three_requests(application) == [200, 200, 200]


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_it_is_not_looked_at_when_the_view_fails(site, monkeypatch, mode):
    """The same through error conversion and log record."""
    monkeypatch.setattr(Around, "before", staticmethod(spread))

    def sync_view(request):
        raise ValueError("of the view")

    async def async_view(request):
        raise ValueError("of the view")

    application = site({"sync": sync_view, "async": async_view}[mode], paths("Hooks"))

    assert three_requests(application) == [500, 500, 500]


def test_it_is_not_looked_at_where_it_was_left_on_a_thread(site):
    """The inspection finds it in thread-locals, and tells their names only."""

    class WithInit(threading.local):
        def __init__(self):
            self.user = user

    with_init = WithInit()

    def view(request):
        thread_local.user = with_init.other = user
        return HttpResponse("ok")

    assert three_requests(site(view)) == [200, 200, 200]
    assert len(pool.retired) == 3


def test_it_is_not_looked_at_as_a_view_argument_or_response_attribute(site):
    """It may be anything that passes through: an argument of the view, an attribute of the response."""

    def view(request, owner):
        response = HttpResponse(b"%d" % (owner is user))
        response.owner = owner
        return response

    application = site(urlpatterns=[re_path("", view, {"owner": user})])

    assert three_requests(application) == [200, 200, 200]
