"""Agents put wrappers of their own around Django's methods, at any time: they are called as under stock Django."""

import threading

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.base import BaseHandler
from django.dispatch import Signal
from django.http.response import HttpResponseBase

from onehop.handler import OnehopASGIHandler
from onehop.run.threads import pool
from tests import asgi
from tests.project.views import async_view, sync_view

PATCHED = [(ASGIHandler, "__call__"), (BaseHandler, "get_response_async"), (ASGIHandler, "run_get_response")]


@pytest.mark.parametrize("stock", [True, False])
@pytest.mark.parametrize("view", [sync_view, async_view])
@pytest.mark.parametrize(("owner", "name"), PATCHED, ids=[name for _, name in PATCHED])
def test_a_wrapper_around_djangos_method_is_called(site, monkeypatch, owner, name, view, stock):
    """Once per request, with Django's handler as the first argument, also when it is put there after loading."""
    application = site(view, stock=stock)
    inner, seen = getattr(owner, name), []

    async def traced(self, *arguments):
        seen.append(isinstance(self, ASGIHandler))
        return await inner(self, *arguments)

    monkeypatch.setattr(owner, name, traced)

    answer = asgi.get(application)

    assert (answer.status, seen) == (200, [True])


@pytest.mark.parametrize("stock", [True, False])
@pytest.mark.parametrize("view", [sync_view, async_view])
def test_a_wrapper_around_the_closing_of_responses_is_called(site, monkeypatch, view, stock):
    """Once per request, as it is called under stock Django."""
    application = site(view, stock=stock)
    inner, seen = HttpResponseBase.close, []

    def traced(self):
        seen.append(self.status_code)
        inner(self)

    monkeypatch.setattr(HttpResponseBase, "close", traced)

    asgi.get(application)

    assert seen == [200]


def test_an_agent_on_the_signals_costs_no_thread(site, monkeypatch):
    """A wrapper around ``Signal.send`` is called on the loop where no receiver has work that could block it."""
    application = site(async_view)
    asgi.get(application)  # the first request may hop
    assert pool.drain(5)
    inner, seen = Signal.send, []

    def traced(self, *arguments, **named):
        seen.append(threading.current_thread() is threading.main_thread())
        return inner(self, *arguments, **named)

    monkeypatch.setattr(Signal, "send", traced)

    with asgi.counting() as counts:
        asgi.get(application)

    assert (seen[-1:], counts.total()) == ([True], 0)


def test_a_subclass_may_handle_requests_itself(site):
    """``handle`` of a subclass is called, inside Django's thread-sensitive context."""
    site(async_view)
    seen = []

    class Mine(OnehopASGIHandler):
        async def handle(self, scope, receive, send):
            seen.append(scope["path"])
            await super().handle(scope, receive, send)

    assert asgi.get(Mine(), "/mine/").status == 200
    assert seen == ["/mine/"]


def test_a_handle_of_one_instance_is_called(site):
    """``application.handle = …`` takes effect, as under stock Django."""
    application = site(async_view)
    inner, seen = application.handle, []

    async def handle(scope, receive, send):
        seen.append(scope["path"])
        await inner(scope, receive, send)

    application.handle = handle

    assert asgi.get(application).status == 200
    assert seen == ["/"]
