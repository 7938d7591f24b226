"""
What a known row is judged on: one middleware instance, with real requests, responses and sessions.

A case is a function that is named by what it arranges and returns the arguments of one call.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse
from django.utils.module_loading import import_string

from onehop.plan.known import find_row, make_guard
from tests import asgi

CASES = []


@dataclass(frozen=True)
class Case:
    """One call of one hook. ``because``: words of the reason why it needs the thread, or None."""

    path: str
    hook: str
    arrange: Callable
    settings: dict
    because: str | None = None
    raises: type[Exception] | None = None
    since: tuple = field(default=())

    def __str__(self):
        return f"{self.path.rpartition('.')[2]}.{self.hook}: {self.arrange.__name__.replace('_', ' ')}"


def on_the_loop(path, *hooks, raises=None, since=(), **settings):
    """Add a case: with these settings, and what the function arranges, the hook may run on the loop."""

    def add(arrange):
        CASES.extend(Case(path, hook, arrange, settings, raises=raises, since=since) for hook in hooks)
        return arrange

    return add


def on_a_thread(path, *hooks, because, **settings):
    """Add a case: with these settings, and what the function arranges, the hook needs the thread."""

    def add(arrange):
        CASES.extend(Case(path, hook, arrange, settings, because) for hook in hooks)
        return arrange

    return add


async def view(request):
    return HttpResponse()


class Scene:
    """
    One middleware with the guards of its hooks, and the objects of a request.

    Attributes:
        middleware: The instance, made by its class under the case's settings.
        patch: pytest's monkeypatch.
        in_thread: Calls a function on a thread of its own.
        folder: An empty folder.
    """

    def __init__(self, middleware, patch, in_thread, folder):
        self.middleware = import_string(middleware)(view) if isinstance(middleware, str) else middleware
        self.patch = patch
        self.in_thread = in_thread
        self.folder = folder
        self._guards = {}

    def guard(self, hook):
        """Return the guard of a hook, made once, as for a plan."""
        if hook not in self._guards:
            row, doubt = find_row(type(self.middleware), hook)
            assert row is not None, doubt
            self._guards[hook] = make_guard(row, self.middleware)
        return self._guards[hook]

    def ask(self, hook, *arguments):
        """Ask the guard of a hook, as the runner on the loop does."""
        return self.guard(hook)(getattr(self.middleware, hook), *arguments)

    def request(self, path="/", method="GET", headers=(), body=b"", make=ASGIRequest, **scope):
        """Return a request as Django's handler makes it; headers are given as a dictionary."""
        given = [(name.encode(), value.encode()) for name, value in dict(headers).items()]
        return make(asgi.scope_of(path, method, given, body, **scope), io.BytesIO(body))

    def answered(self, response=None, **request):
        """Return a request and its response."""
        return self.request(**request), HttpResponse("hello") if response is None else response

    def session(self, engine="db", key=None, **items):
        """Return a session of an engine. With a key, it is one that is not loaded yet."""
        session = import_module(f"django.contrib.sessions.backends.{engine}").SessionStore(key)
        if items:
            session.update(items)
        return session

    def loaded_session(self, engine):
        """Return a session that was saved earlier and that something in this request has read."""

        def load():
            saved = self.session(engine, colour="blue")
            saved.save()
            session = self.session(engine, saved.session_key)
            assert session["colour"] == "blue"
            return session

        session = self.in_thread(load)
        assert not session.modified
        return session

    def warm(self, **request):
        """Let a request go through ``process_request``, on a thread, and ``process_response``."""
        asked = self.request(**request)
        assert self.ask("process_request", asked) is not None
        self.in_thread(self.middleware.process_request, asked)
        response = HttpResponse()
        assert self.ask("process_response", asked, response) is None
        self.middleware.process_response(asked, response)
        return asked
