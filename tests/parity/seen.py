"""Run a case on one side, stock Django or Onehop, and see everything that it does."""

import asyncio
import contextvars
import gc
import logging
import re
import sys
import time
import warnings
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie

from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.core import signals
from django.db.backends.signals import connection_created

from tests import asgi
from tests.parity import views
from tests.parity.nouns import ABSENT
from tests.parity.recorder import ErrorPoint, note, note_error
from tests.parity.world import chain_of, site_of
from tests.project.recorder import record

PATIENCE_S = 20
ADDRESS = re.compile("0x[0-9a-f]+")
SAVEPOINT = re.compile('"s[0-9]+_x')
"""The name of a savepoint, which begins with the number of its thread."""


@dataclass
class Seen:
    """
    All that one request did.

    Attributes:
        messages: The ASGI messages.
        error: The exception that left the handler, with its causes and contexts; None for none.
        points: What user code noted, in order.
        logs: Log records.
        warnings: Warnings, and exceptions that could not be raised; all of a run are at its end.
        attributes: What the request is at its end.
        origin: The exception as it was when Django's method that raised it returned, told; not compared.
        hops: How often it left the loop or the thread and came back, and threads it started; not compared.
    """

    messages: list = field(default_factory=list)
    error: dict | None = None
    points: list = field(default_factory=list)
    logs: list = field(default_factory=list)
    warnings: list = field(default_factory=list)
    attributes: dict = field(default_factory=dict)
    origin: dict | None = field(default=None, compare=False)
    hops: int = field(default=0, compare=False)


class Logs(logging.Handler):
    """Notes log records."""

    def __init__(self, noted):
        super().__init__(logging.DEBUG)
        self.noted = noted

    def emit(self, entry):
        text = getattr(entry, "sql", None) or entry.getMessage().partition("\n")[0]
        text = SAVEPOINT.sub('"s…_x', text)
        error = entry.exc_info[0].__name__ if entry.exc_info and entry.exc_info[0] else None
        status = getattr(entry, "status_code", None)
        self.noted.append((entry.name, entry.levelname, text, status, error, hasattr(entry, "request")))


class Watch:
    """Everything that is noted while a side runs; ``take`` hands over what has come since."""

    def __init__(self):
        self.logs = []
        self.requests = []
        self._raised = []
        self._caught = []

    @contextmanager
    def open(self):
        root = logging.getLogger()
        handlers, level, hook = root.handlers, root.level, sys.unraisablehook
        with warnings.catch_warnings(record=True) as self._caught:
            warnings.simplefilter("always")
            root.handlers = [Logs(self.logs)]
            root.setLevel(logging.DEBUG)
            sys.unraisablehook = lambda raised: self._raised.append(("unraisable", repr(raised.exc_value)))
            try:
                yield self
            finally:
                sys.unraisablehook = hook
                root.handlers = handlers
                root.setLevel(level)

    def take(self, **found):
        caught = [(each.category.__name__, ADDRESS.sub("0x", str(each.message))) for each in self._caught]
        attributes = state_of(self.requests[-1]) if self.requests else {}
        seen = Seen(
            points=name_threads(record), logs=self.logs[:], warnings=caught + self._raised,
            attributes=attributes, **found,
        )  # fmt: skip
        for each in (self._caught, self._raised, self.logs, self.requests, record):
            each.clear()
        return seen


def name_threads(points):
    """
    Name each thread by the order in which user code came to it.

    One that only error handling came to is "other", also if a connection was opened there.
    """
    names = {"loop": "loop", "where it may be": "where it may be"}
    for point in points:
        if isinstance(point.thread, int) and not isinstance(point, ErrorPoint) and point.who != "connection_created":
            names.setdefault(point.thread, f"thread {len(names) - 2}")
    return [point._replace(thread=names.get(point.thread, "other")) for point in points]


def state_of(request):
    """Tell what a request has become."""
    return {name: told(value) for name, value in vars(request).items() if name != "scope"}


def told(value, depth=3):
    kind = type(value)
    if value is None or kind in (str, bytes, int, bool, float):
        return value
    if not depth:
        return kind.__name__
    if issubclass(kind, dict):
        return {str(key): told(dict.__getitem__(value, key), depth - 1) for key in value}
    if issubclass(kind, list | tuple):
        return [told(each, depth - 1) for each in value]
    inside = {
        name: told(each, depth - 1)
        for name, each in object.__getattribute__(value, "__dict__").items()
        if type(each) in (str, bytes, int, bool, float, dict, list)
    } if hasattr(kind, "__dict__") and "__dict__" in dir(kind) else {}  # fmt: skip
    return kind.__name__, inside


class Receivers:
    """Receivers of Django's signals that note what they are sent."""

    SENT = (signals.request_started, signals.request_finished)
    ALWAYS = (user_logged_in, user_logged_out, connection_created)

    def __init__(self, who):
        names = {"sync": ("sync",), "async": ("async",), "both": ("sync", "async")}.get(who, ())
        make = {"sync": self._sync, "async": self._async}
        self.connected = [(signal, make[name](signal)) for signal in self.SENT for name in names]
        self.connected += [(signal, self._sync(signal)) for signal in self.ALWAYS]
        self.connected.append((signals.got_request_exception, self._error))

    @staticmethod
    def _error(sender, request, **named):
        note_error("got_request_exception", "sent", getattr(sender, "__name__", sender), sorted(named))

    @classmethod
    def _name_of(cls, signal):
        names = "request_started", "request_finished", "user_logged_in", "user_logged_out", "connection_created"
        return names[(cls.SENT + cls.ALWAYS).index(signal)]

    def _sync(self, signal):
        def receiver(sender, **named):
            note(self._name_of(signal), "sync", getattr(sender, "__name__", sender), sorted(named))

        return receiver

    def _async(self, signal):
        async def receiver(sender, **named):
            await asyncio.sleep(0)
            note(self._name_of(signal), "async", getattr(sender, "__name__", sender), sorted(named))

        return receiver

    @contextmanager
    def open(self):
        for signal, receiver in self.connected:
            signal.connect(receiver)
        try:
            yield
        finally:
            for signal, receiver in self.connected:
                signal.disconnect(receiver)


def make_stock():
    from django.core.handlers.asgi import ASGIHandler

    return ASGIHandler()


def make_onehop():
    from onehop.asgi import make_application
    from onehop.handler import OnehopASGIHandler

    handler = make_application()
    assert isinstance(handler, OnehopASGIHandler)
    return handler


def run(case, world, make):
    """
    Send a case's requests to one side.

    Args:
        make: Makes the handler, in the case's settings.

    Returns:
        What was seen: while loading, at each request, and when all was over.
    """
    seen = []
    watch = Watch()
    world.fresh()
    record.clear()
    with ExitStack() as stack:
        stack.enter_context(site_of(case.site))
        stack.enter_context(watch.open())
        stack.enter_context(Receivers(case.site.receivers).open())
        counted = stack.enter_context(asgi.counting())
        runner = stack.enter_context(asyncio.Runner())
        runner.get_loop()
        watch.take()
        try:
            handler = make()
        except Exception as error:
            return [watch.take(error=chain_of(error))]
        seen.append(watch.take())
        request_class = handler.request_class

        def noting(scope, body_file):
            request = request_class(scope, body_file)
            watch.requests.append(request)
            return request

        handler.request_class = noting
        origins = Origins(handler)
        jar = {}
        for number, request in enumerate(case.requests):
            world.begin_request(number + 1)
            exchange = Exchange(request, jar)
            hops = counted.total()
            error = runner.run(exchange.with_(handler), context=contextvars.Context())
            settle()
            keep_cookies(jar, exchange.messages)
            hops = counted.total() - hops
            seen.append(watch.take(messages=exchange.messages, error=error, origin=origins.take(), hops=hops))
        del handler, noting, origins
        runner.close()
        gc.collect(0)  # what was made before is frozen, or was looked at
        seen.append(watch.take())
    # When an object is thrown away depends on who held it last: warnings are those of the whole run.
    seen[-1].warnings = sorted(each for one in seen for each in one.warnings)
    for one in seen[:-1]:
        one.warnings = []
    return seen


def settle():
    """Wait until the request threads have done all that nobody waits for, what they say of it included."""
    from onehop.run.threads import Job, pool

    deadline = time.monotonic() + PATIENCE_S
    while pool._busy or pool._closing or any(thread.unfinished for thread in tuple(pool._threads)):
        assert time.monotonic() < deadline, "a request thread is still busy"
        for thread in tuple(pool._threads):
            behind = Job(int)
            thread.do(behind)
            with suppress(TimeoutError):  # it may have been retired meanwhile
                behind.future.result(timeout=0.005)


def cancel_all_but(own):
    for task in asyncio.all_tasks() - {own}:
        task.cancel()


class Origins:
    """Tells an exception when it leaves one of the handler's methods, before anything else happens to it."""

    def __init__(self, handler):
        self._told = None
        handler.run_get_response = self._telling(handler.run_get_response)
        handler.send_response = self._telling(handler.send_response)

    def _telling(self, method):
        async def told_method(*arguments):
            try:
                return await method(*arguments)
            except Exception as error:
                self._told = chain_of(error)
                raise

        return told_method

    def take(self):
        told, self._told = self._told, None
        return told


class Exchange:
    """One request to a handler, as a server would make it."""

    def __init__(self, request, jar):
        self.request = request
        self.messages = []
        self.scope = scope_of(request, jar)
        self._incoming = list(pieces_of(request))

    async def with_(self, handler):
        """Have the handler answer; return what it raised, told."""
        self._waiting = views.Waiting()
        views.waiting[:] = [self._waiting]
        # What Django catches of the cancellation is lost: it would wait for a thread whose task never ends.
        last_resort = asyncio.get_running_loop().call_later(2 * PATIENCE_S, cancel_all_but, asyncio.current_task())
        try:
            async with asyncio.timeout(PATIENCE_S) as patience:
                await handler(self.scope, self._receive, self._send)
        except (Exception, asyncio.CancelledError) as error:
            return chain_of(error)
        finally:
            last_resort.cancel()
        return chain_of(TimeoutError()) if patience.expired() else None

    async def _receive(self):
        if self._incoming:
            return self._incoming.pop(0)
        await self._waiting.reached.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message):
        if len(self.messages) == self.request.send_fails_at:
            raise OSError("the client is gone")
        self.messages.append(message)


def pieces_of(request):
    """Return the messages in which a body arrives."""
    size = max(1, -(-len(request.body) // request.pieces))
    pieces = [request.body[at : at + size] for at in range(0, len(request.body), size)] or [b""]
    for number, piece in enumerate(pieces):
        last = number == len(pieces) - 1
        if last and request.hangs_up:
            yield {"type": "http.disconnect"}
        else:
            yield {"type": "http.request", "body": piece, "more_body": not last}


def scope_of(request, jar):
    """Return the scope of a request."""
    path = f"/v{request.to}/" if isinstance(request.to, int) else request.to
    headers = list(request.headers)
    names = {name.lower() for name, _ in headers}
    if request.body and b"content-length" not in names:
        headers.append((b"content-length", str(len(request.body)).encode()))
    if request.cookies and jar:
        headers.append((b"cookie", "; ".join(f"{name}={value}" for name, value in jar.items()).encode("latin1")))
    if request.csrf:
        token = jar.get("csrftoken", "").encode() if request.csrf == "header" else b"x" * 32
        headers.append((b"x-csrftoken", token))
    scope = asgi.scope_of("/", request.method, headers)
    scope.update(path=path, raw_path=str(path).encode("utf-8", "replace"), query_string=request.query)
    if b"host" in names:
        scope["headers"] = headers
    for name, value in request.scope:
        if value == ABSENT:
            scope.pop(name, None)
        else:
            scope[name] = value
    return scope


def keep_cookies(jar, messages):
    """Put the cookies of a response into a jar, as a browser does."""
    for message in messages[:1]:
        for name, value in message.get("headers", ()):
            if name.lower() != b"set-cookie":
                continue
            try:
                cookies = SimpleCookie(value.decode("latin1"))
            except CookieError:
                continue
            for cookie in cookies.values():
                if cookie["max-age"] in ("0", 0):
                    jar.pop(cookie.key, None)
                else:
                    jar[cookie.key] = cookie.coded_value
