"""
Mode C: the handlers of the test clients are ASGI handlers, and what a client asks arrives as a scope and messages.

Theory of operation. ``WireHandler`` becomes the base class of both handlers, so that ``ASGIHandler.__call__``,
``handle``, ``read_body`` and ``send_response`` (stock Django's, or Onehop's in their place) answer the client. The
test gets the response object that the handler has sent, once what was sent is found to say the same; the bodies of a
stream are those that have arrived.
"""

import asyncio
import importlib.util
import runpy
from collections import deque
from contextlib import contextmanager

from asgiref.sync import async_to_sync
from django.core.handlers.asgi import ASGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.test import client

CHUNK = 2**16

# Run by its path: importing the package would bring Onehop into stock Django's process.
(PACKAGE,) = importlib.util.find_spec("onehop").submodule_search_locations
SCOPES = runpy.run_path(f"{PACKAGE}/testing/scopes.py")


def through_messages():
    """Have both test clients drive an ASGI handler."""
    for handler, call in ((client.ClientHandler, answer), (client.AsyncClientHandler, answer_async)):
        handler.__bases__ = (WireHandler,)
        handler.__init__ = WireHandler.__init__
        handler.__call__ = call


class WireHandler(ASGIHandler):
    """An ASGI handler that shows its requests and responses to the exchange they belong to."""

    def __init__(self, enforce_csrf_checks=True):
        self.enforce_csrf_checks = enforce_csrf_checks  # the first request loads the middleware, as in Django's clients

    def create_request(self, scope, body_file):
        exchange = scope["exchange"]
        exchange.request, exchange.response = super().create_request(scope, body_file)
        if exchange.request is not None:
            exchange.request._dont_enforce_csrf_checks = not self.enforce_csrf_checks
            exchange.request.META.update(exchange.environment)
        return exchange.request, exchange.response

    async def run_get_response(self, request):
        exchange = request.scope["exchange"]
        exchange.response = await super().run_get_response(request)
        exchange.is_async = getattr(exchange.response, "is_async", False)
        return exchange.response


class Exchange:
    """
    One request as a server sees it.

    Attributes:
        environment: Variables of a WSGI environment that have no place in a scope.
        request: Django's request; None if it could not be made.
        response: Django's response.
        is_async: Whether its iterator was async before it was sent.
        messages: What was sent.
    """

    is_async = False

    def __init__(self, body, environment):
        parts = [body[start : start + CHUNK] for start in range(0, len(body), CHUNK)] or [b""]
        last = len(parts) - 1
        self.environment = environment
        self.request = self.response = None
        self.messages = []
        self._complete = asyncio.Event()
        self._incoming = deque(
            {"type": "http.request", "body": part, "more_body": index < last} for index, part in enumerate(parts)
        )

    async def run(self, handler, scope):
        await ASGIHandler.__call__(handler, {**scope, "exchange": self}, self.receive, self.send)

    async def receive(self):
        if self._incoming:
            return self._incoming.popleft()
        await self._complete.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        self.messages.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self._complete.set()

    def delivered(self):
        """
        Return the response with the bodies that have arrived.

        Raises:
            RuntimeError: What was sent is not what the response says.
        """
        if not self._complete.is_set():
            raise RuntimeError("The handler returned before its response was complete.")
        start, *rest = self.messages
        bodies = [message["body"] for message in rest if message.get("body")]
        response = self.response
        sent = start["status"], sorted(start["headers"])
        if sent != (response.status_code, sorted(headers_of(response))):
            raise RuntimeError(f"{response!r} was sent as {sent!r}.")
        if response.streaming:
            response.streaming_content = arrived(bodies) if self.is_async else bodies
        elif b"".join(bodies) != response.content:
            raise RuntimeError(f"{response!r} was sent with the body {bodies!r}.")
        if self.request is not None:
            client.conditional_content_removal(self.request, response)
        return response


def headers_of(response):
    """Return the headers of a response as they are sent."""
    headers = [(name.encode("ascii"), value.encode("latin-1")) for name, value in response.items()]
    return headers + [(b"Set-Cookie", cookie.OutputString().encode("ascii")) for cookie in response.cookies.values()]


async def arrived(bodies):
    for body in bodies:
        yield body


@contextmanager
def connections_kept():
    """Keep the test's database connections open, as Django's clients do."""
    signals = [signal for signal in (request_started, request_finished) if signal.disconnect(close_old_connections)]
    try:
        yield
    finally:
        for signal in signals:
            signal.connect(close_old_connections)


def answer(self, environ):
    """Stand in the place of ``ClientHandler.__call__``."""
    if self._middleware_chain is None:
        self.load_middleware(is_async=True)
    placed = {key: value for key, value in environ.items() if has_place(key)}
    others = {key: value for key, value in environ.items() if not has_place(key)}
    # Django looks for REMOTE_USER in a header under ASGI, where a proxy would put it.
    headers = {f"HTTP_{key}": value for key, value in others.items() if isinstance(value, str)}
    exchange = Exchange(environ["wsgi.input"].read(), others)
    with connections_kept():
        async_to_sync(exchange.run)(self, SCOPES["scope_of"]({**headers, **placed}))
    response = exchange.delivered()
    response.wsgi_request = exchange.request
    return response


async def answer_async(self, scope):
    """Stand in the place of ``AsyncClientHandler.__call__``."""
    if self._middleware_chain is None:
        self.load_middleware(is_async=True)
    body_file = scope.pop("_body_file", None)
    exchange = Exchange(b"" if body_file is None else body_file.read(), {})
    with connections_kept():
        await exchange.run(self, SCOPES["as_sent"](scope, None))
    response = exchange.delivered()
    response.asgi_request = exchange.request
    return response


def has_place(key):
    """Tell whether a variable of a WSGI environment has a place in a scope."""
    return key in SCOPES["CARRIED"] or key.startswith(("HTTP_", "wsgi.")) or key in ("CONTENT_TYPE", "CONTENT_LENGTH")
