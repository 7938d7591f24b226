"""Agents put wrappers of their own around Django's methods, at any time: they are called as under stock Django."""

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.base import BaseHandler

from onehop.handler import OnehopASGIHandler
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
