"""
Test clients that drive the real ASGI application in process: from the scope to the messages.

Theory of operation. Django's ``Client`` and ``AsyncClient`` stay as they are but for their handler. Ours makes of the
request what a server would make of it, calls the application in a task of its own, and makes a response of the
messages it sends. ``HopClient`` runs the application through asgiref's ``async_to_sync``: its thread-sensitive work
runs on the test's thread, inside the transaction of a ``TestCase``. A response that is still arriving holds that
call in a greenlet: ``next()`` goes on with it until the next message, and ``send`` waits meanwhile.

While a request is open, asgiref's two bridges are patched to count; a context variable tells which request hops.

Source: Django 5.2-6.1, ``ClientHandler`` and ``AsyncClientHandler`` in test/client.py; ASGI 3.0, HTTP 2.3.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import threading
import weakref
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from asgiref.sync import async_to_sync, sync_to_async
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.signals import request_finished, request_started, setting_changed
from django.db import close_old_connections
from django.http import HttpResponse, StreamingHttpResponse
from django.test import AsyncClient, Client
from django.utils.module_loading import import_string
from greenlet import GreenletExit, getcurrent, greenlet

from onehop._django import AsyncToSync, SyncToAsync, unknown_core
from onehop.run.runners import fate_of_request
from onehop.run.signals import Work

__all__ = ["AsyncHopClient", "HopClient"]

CLIENT_CLOSED_REQUEST = 499
"""The status of a response of which nothing was sent before the client hung up, as in nginx's logs."""


class Wanted(NamedTuple):
    """
    What a test wants of one request.

    Attributes:
        raw_path: The path as it goes over the wire, percent-encoded; None if only the decoded one is known.
        stream: Return when the head has arrived.
        disconnect_after: Seconds after which the client hangs up; None for never.
    """

    raw_path: bytes | None = None
    stream: bool = False
    disconnect_after: float | None = None


AS_USUAL = Wanted()

_wanted: contextvars.ContextVar[Wanted] = contextvars.ContextVar("onehop_wanted", default=AS_USUAL)
_exchange: contextvars.ContextVar[Exchange | None] = contextvars.ContextVar("onehop_exchange", default=None)


class Exchange:
    """
    One request, and what the application sends in answer.

    Attributes:
        messages: What was sent while the client was there, in order.
        arrived: Bodies that nobody has read yet.
        hops: An entry for each hop that the request has made or caused.
        request: Django's request; None as long as no handler known to the client has made one.
        start: The message ``http.response.start``, once it was sent.
        complete: True once the last body was sent.
        disconnected: True once the client hung up before that.
        over: True once the application has returned.
        hand_over: Awaited with each message but the last; tells whether the client hangs up. None: messages collect.
    """

    request: Any = None
    start: Any = None
    complete = disconnected = over = False
    hand_over: Callable[[], Awaitable[bool]] | None = None
    _body_received = False

    def __init__(self, application: Any, scope: dict[str, Any], body: bytes, wanted: Wanted, csrf: bool) -> None:
        self.application = application
        self.scope = scope
        self.body = body
        self.wanted = wanted
        self.enforce_csrf_checks = csrf
        self.messages: list[dict[str, Any]] = []
        self.arrived: deque[bytes] = deque()
        self.hops: list[None] = []

    async def run(self) -> None:
        """
        Call the application, and return when it does.

        Raises:
            RuntimeError: It returned without a complete response, although the client was there.
            Exception: What the application raises.
        """
        self._ended = asyncio.Event()
        context = contextvars.copy_context()
        context.run(_exchange.set, self)
        timer = None
        if self.wanted.disconnect_after is not None:
            timer = asyncio.get_running_loop().call_later(self.wanted.disconnect_after, self.hang_up)
        with watching:
            try:
                await asyncio.create_task(self._call(), context=context)
            finally:
                self.over = True
                if timer is not None:
                    timer.cancel()
        if not (self.complete or self.disconnected):
            raise RuntimeError(f"{self.application!r} returned before its response was complete.")

    async def _call(self) -> None:
        await self.application(self.scope, self.receive, self.send)

    def hang_up(self) -> None:
        """Leave, if the response is not complete. Runs on: the loop."""
        self.disconnected = self.disconnected or not self.complete
        self._ended.set()

    async def receive(self) -> dict[str, Any]:
        """Return the body at first, and the disconnect when the response is complete or the client is gone."""
        if not self._body_received:
            self._body_received = True
            return {"type": "http.request", "body": self.body, "more_body": False}
        await self._ended.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        """Take a message; once the client is gone, do nothing but let other tasks run."""
        if self.disconnected:
            await asyncio.sleep(0)
            return
        if self.complete:
            raise RuntimeError(f"{message['type']} was sent after the response was complete.")
        self.messages.append(message)
        if message["type"] == "http.response.start":
            self.start = message
        elif message["type"] == "http.response.body":
            if (body := bytes(message.get("body", b""))) and not self.has_no_body:
                self.arrived.append(body)
            if not message.get("more_body", False):
                self.complete = True
                self._ended.set()
        if self.hand_over is not None and self.start and not self.complete and await self.hand_over():
            self.hang_up()

    @property
    def is_streaming(self) -> bool:
        """Whether the application did not know the end of the body when it sent the last bytes of it."""
        bodies = [each for each in self.messages if each["type"] == "http.response.body"]
        return len(bodies) > 1 and not bodies[-1].get("body")

    @property
    def has_no_body(self) -> bool:
        """Whether a server drops what the application sends as a body (RFC 9112, section 6.3)."""
        return self.scope["method"] == "HEAD" or self.start["status"] in (204, 304)


class Bodies:
    """The bodies of a response that has arrived as a whole: an iterator, sync and async."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        while not self.exchange.arrived:
            if not self.go_on():
                raise StopIteration
        return self.exchange.arrived.popleft()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not self.exchange.arrived:
            if not await self.ago_on():
                raise StopAsyncIteration
        return self.exchange.arrived.popleft()

    def go_on(self, hang_up: bool = False) -> bool:
        """Let the application run until its next message; return False if it has returned before."""
        return False

    async def ago_on(self, hang_up: bool = False) -> bool:
        """Do the same as ``go_on`` in a coroutine."""
        return False

    def close(self) -> None:
        """Hang up, and wait until the application has returned."""
        while self.go_on(hang_up=True):
            pass

    async def aclose(self) -> None:
        """Do the same as ``close`` in a coroutine."""
        while await self.ago_on(hang_up=True):
            pass


class Stream(Bodies):
    """
    The bodies of a response that is still arriving at a ``HopClient``.

    When it is thrown away, the client hangs up: the greenlet is told to exit, and nothing but this object keeps it.
    """

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange)
        exchange.hand_over = _switch_on_thread
        self._greenlet = greenlet(partial(_run, exchange))
        self._greenlet.gr_context = contextvars.copy_context()
        _streams.add(self)

    def go_on(self, hang_up: bool = False) -> bool:
        """Let the application run until its next message; return False if it has returned before."""
        if self._greenlet.dead:
            return False
        self._greenlet.parent = getcurrent()
        self._greenlet.switch(hang_up)
        return True


_streams: weakref.WeakSet[Stream] = weakref.WeakSet()


def _leave_all() -> None:
    """Hang up where a test did not, because it failed: the interpreter waits for the loops' threads at its end."""
    for stream in list(_streams):
        try:
            stream.close()
        except Exception:
            pass


threading._register_atexit(_leave_all)  # type: ignore[attr-defined]  # atexit comes after that wait


def _run(exchange: Exchange, _hang_up: bool = False) -> None:
    async_to_sync(exchange.run, force_new_loop=True)()


def _switch() -> bool:
    """Let the test go on; return, when it wants more, whether it hangs up. Runs on: the test's thread."""
    try:
        return getcurrent().parent.switch()  # type: ignore[no-any-return]
    except GreenletExit:
        return True


_switch_on_thread = sync_to_async(_switch)


class AsyncStream(Bodies):
    """The bodies of a response that is still arriving at an ``AsyncHopClient``."""

    _task: asyncio.Task[None] | None = None
    _turn: asyncio.Future[bool] | None = None
    _arrival: asyncio.Future[None] | None = None

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange)
        exchange.hand_over = self._hand_over

    def go_on(self, hang_up: bool = False) -> bool:
        """Refuse: the application runs on this very loop."""
        raise TypeError(
            "A response that is still arriving at an AsyncHopClient is read with 'async for' and left with 'aclose'."
        )

    async def ago_on(self, hang_up: bool = False) -> bool:
        """Let the application run until its next message; return False if it has returned before."""
        if self._task is not None and self._task.done():
            return False
        arrival = self._arrival = asyncio.get_running_loop().create_future()
        if self._task is None:
            self._task = asyncio.create_task(self.exchange.run())
            self._task.add_done_callback(self._arrived)
        elif self._turn is not None and not self._turn.done():
            self._turn.set_result(hang_up)
        elif hang_up:
            self.exchange.hang_up()
        await arrival
        if self._task.done():
            self._task.result()
        return True

    async def _hand_over(self) -> bool:
        self._turn = asyncio.get_running_loop().create_future()
        self._arrived()
        return await self._turn

    def _arrived(self, *_: Any) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    def cancel(self) -> None:
        """Cancel the application."""
        if self._task is not None:
            self._task.cancel()


class Answer:
    """What a response of our clients has beyond one of Django's."""

    _bodies: Bodies

    @property
    def hops(self) -> int:
        """The number of hops that the request has made or caused up to now."""
        return len(self._bodies.exchange.hops)

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The ASGI messages that were sent up to now, in order."""
        return self._bodies.exchange.messages

    @property
    def disconnected(self) -> bool:
        """Whether the client hung up before the response was complete."""
        return self._bodies.exchange.disconnected

    @property
    def url(self) -> str:
        """Where a redirect leads. Source: Django 6.1, ``HttpResponseRedirectBase.url``."""
        try:
            return self["Location"]  # type: ignore[index, no-any-return]
        except KeyError:
            raise AttributeError("This response has no Location header.") from None

    def close(self) -> None:
        """Hang up if the response is still arriving. Its ``request_finished`` is the application's to send."""
        self._bodies.close()
        self.closed = True

    async def aclose(self) -> None:
        """Do the same as ``close`` in a coroutine."""
        await self._bodies.aclose()
        self.closed = True

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    async def __aenter__(self) -> Answer:
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.aclose()


class HopResponse(Answer, HttpResponse):
    """A response that has arrived as a whole."""


class HopStreamingResponse(Answer, StreamingHttpResponse):
    """A response that the application streamed, or that is still arriving."""

    streaming_content: Any = ()
    is_async = False


def response_of(bodies: Bodies, *, arriving: bool = False) -> Any:
    """
    Make a response of what the application has sent.

    Args:
        bodies: The bodies of the response.
        arriving: The application has not returned.
    """
    exchange = bodies.exchange
    response: Any
    if arriving or exchange.is_streaming:
        response = HopStreamingResponse()
        response.streaming_content = bodies
    else:
        response = HopResponse(b"".join(exchange.arrived))
    response._bodies = bodies
    response.wsgi_request = response.asgi_request = exchange.request
    response.closed = not arriving
    del response.headers["Content-Type"]
    if exchange.start is None:
        response.status_code = CLIENT_CLOSED_REQUEST
        return response
    response.status_code = exchange.start["status"]
    for raw_name, raw_value in exchange.start.get("headers", ()):
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        if name.lower() == "set-cookie":
            response.cookies.load(value)
        else:
            response[name] = f"{response[name]}, {value}" if name in response else value
    return response


class Watching:
    """
    Count hops, and keep the test's connections open, while any request of a client is open.

    Django's clients, too, disconnect ``close_old_connections`` from the two signals of a request.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = 0

    def __enter__(self) -> None:
        with self._lock:
            self._open += 1
            if self._open > 1:
                return
            self._disconnected = [
                signal for signal in (request_started, request_finished) if signal.disconnect(close_old_connections)
            ]
            to_async, to_sync = self._bridges = SyncToAsync.__call__, AsyncToSync.__call__

            async def counted_to_async(bridge: Any, *args: Any, **kwargs: Any) -> Any:
                if bridge is not _switch_on_thread and bridge._thread_sensitive and not _is_post(*args):
                    _count()
                return await to_async(bridge, *args, **kwargs)

            def counted_to_sync(bridge: Any, *args: Any, **kwargs: Any) -> Any:
                _count()
                return to_sync(bridge, *args, **kwargs)

            SyncToAsync.__call__ = counted_to_async  # type: ignore[assignment, method-assign]
            AsyncToSync.__call__ = counted_to_sync  # type: ignore[assignment, method-assign]

    def __exit__(self, *_: Any) -> None:
        with self._lock:
            self._open -= 1
            if self._open:
                return
            SyncToAsync.__call__, AsyncToSync.__call__ = self._bridges  # type: ignore[method-assign]
            for signal in self._disconnected:
                signal.connect(close_old_connections)


watching = Watching()


def _count() -> None:
    exchange = _exchange.get()
    if exchange is not None and not exchange.over:
        exchange.hops.append(None)


def _is_post(function: Any = None, *_: Any) -> bool:
    """Tell whether a hop closes a request that a server's thread would close as a post, with nobody waiting."""
    closing = fate_of_request.get()
    if closing is None or getattr(function, "__self__", None) is not closing:
        return False
    return closing._work() is not Work.FOREIGN  # type: ignore[union-attr]


def _make_request(make: Callable[..., Any], scope: Any, body_file: Any) -> Any:
    """Make Django's request, and show it to the client if one has sent it."""
    request = make(scope, body_file)
    exchange = _exchange.get()
    if exchange is not None:
        exchange.request = request
        request._dont_enforce_csrf_checks = not exchange.enforce_csrf_checks
    return request


def _show_requests(application: Any) -> None:
    """Have an application's Django handlers show the requests that they make."""
    found = [application] if isinstance(application, ASGIHandler) else gc.get_objects()
    for each in found:
        # Not isinstance: it would evaluate every lazy object of the process.
        if issubclass(type(each), ASGIHandler) and getattr(each.request_class, "func", None) is not _make_request:
            each.request_class = partial(_make_request, each.request_class)


_default: list[Any] = []


def default_application() -> Any:
    """
    Return the application that a client without one of its own drives: made once, and again when a setting has changed.

    Returns:
        What ``settings.ASGI_APPLICATION`` names, if that can be imported; else Onehop's application.
    """
    if not _default:
        application = _named_application()
        if application is None:
            application = _own_application()
        _show_requests(application)
        _default.append(application)
    return _default[0]


def _named_application() -> Any:
    path = getattr(settings, "ASGI_APPLICATION", None)
    try:
        application = import_string(path) if path else None
    except ImportError:
        return None
    if isinstance(application, ASGIHandler):
        application.load_middleware(is_async=True)  # settings.MIDDLEWARE may differ from when it was imported
    return application


def _own_application() -> Any:
    """Do as ``onehop.asgi.get_asgi_application``, but leave logging alone: setting it up again undoes assertLogs."""
    from onehop.handler import OnehopASGIHandler
    from onehop.plan.known.rows import fingerprints

    stock = os.environ.get("ONEHOP_DISABLE", "") not in ("", "0") or unknown_core(fingerprints()["core"])
    return ASGIHandler() if stock else OnehopASGIHandler()


def _forget_default(**_: Any) -> None:
    _default.clear()


setting_changed.connect(_forget_default)


class Handler:
    """What the handlers of both clients have in common."""

    def __init__(self, client: Any, application: Any, enforce_csrf_checks: bool) -> None:
        self.client = client
        self.application = application
        self.enforce_csrf_checks = enforce_csrf_checks
        self._shows_requests = False

    def exchange(self, scope: dict[str, Any], body: bytes) -> Exchange:
        """Prepare a request. The first one decides which application is driven."""
        if self.application is None:
            self.application = default_application()
        elif not self._shows_requests:
            _show_requests(self.application)
        self._shows_requests = True
        return Exchange(self.application, scope, body, _wanted.get(), self.enforce_csrf_checks)

    def is_arriving(self, exchange: Exchange) -> bool:
        """Tell whether the test gets the response while it arrives: a page of an error it gets as a whole."""
        return not (exchange.over or self.client.exc_info)


class HopHandler(Handler):
    """The handler of a ``HopClient``."""

    def __call__(self, environ: dict[str, Any]) -> Any:
        """
        Send a request and return its response.

        Raises:
            RuntimeError: The calling thread runs an event loop.
            Exception: What the application raises.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            raise RuntimeError(
                "HopClient was called on an event loop. There, use AsyncHopClient and await its methods."
            )
        exchange = self.exchange(scope_of(environ, _wanted.get().raw_path), environ["wsgi.input"].read())
        if exchange.wanted.stream:
            stream = Stream(exchange)
            stream.go_on()
            if self.is_arriving(exchange):
                return response_of(stream, arriving=True)
            exchange.hand_over = None
            while stream.go_on():
                pass
        else:
            _run(exchange)
        return response_of(Bodies(exchange))


class AsyncHopHandler(Handler):
    """The handler of an ``AsyncHopClient``."""

    async def __call__(self, scope: dict[str, Any]) -> Any:
        """
        Send a request and return its response.

        Raises:
            Exception: What the application raises.
        """
        body_file = scope.pop("_body_file", None)
        body = b"" if body_file is None else body_file.read()
        exchange = self.exchange(_as_sent(scope, _wanted.get().raw_path), body)
        if exchange.wanted.stream:
            stream = AsyncStream(exchange)
            try:
                await stream.ago_on()
                if self.is_arriving(exchange):
                    return response_of(stream, arriving=True)
                exchange.hand_over = None
                while await stream.ago_on():
                    pass
            except BaseException:
                stream.cancel()
                raise
        else:
            await exchange.run()
        return response_of(Bodies(exchange))


SAFE = "/:@!$&'()*+,;=~"
CARRIED = {
    *("PATH_INFO", "QUERY_STRING", "REMOTE_ADDR", "REMOTE_PORT", "REQUEST_METHOD"),
    *("SCRIPT_NAME", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL"),
}


def scope_of(environ: dict[str, Any], raw_path: bytes | None = None) -> dict[str, Any]:
    """
    Return the ASGI scope that a server would make of the request that a WSGI environment describes.

    Args:
        environ: The environment that Django's ``RequestFactory`` makes.
        raw_path: The percent-encoded path, without ``SCRIPT_NAME``; without it, that of ``PATH_INFO``.

    Raises:
        TypeError: A key of the environment has no place in a scope.
    """
    headers = []
    for key, value in environ.items():
        if key.startswith("HTTP_") or key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            name = key.removeprefix("HTTP_").replace("_", "-").lower()
            if value or name != "cookie":
                headers.append((name.encode("latin-1"), str(value).encode("latin-1")))
        elif key not in CARRIED and not key.startswith("wsgi."):
            raise TypeError(
                f"{key!r} cannot be sent to an ASGI application: a scope has no place for it. "
                "Send a header (headers=…, or HTTP_… as a keyword), or use Django's own client."
            )
    secure = environ["wsgi.url_scheme"] == "https"
    if "HTTP_HOST" not in environ:
        port = "" if environ["SERVER_PORT"] == ("443" if secure else "80") else f":{environ['SERVER_PORT']}"
        headers.insert(0, (b"host", f"{environ['SERVER_NAME']}{port}".encode("latin-1")))
    root = environ["SCRIPT_NAME"].encode("latin-1")
    path = environ["PATH_INFO"].encode("latin-1")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": environ["SERVER_PROTOCOL"].partition("/")[2],
        "method": environ["REQUEST_METHOD"],
        "scheme": environ["wsgi.url_scheme"],
        "path": (root + path).decode("utf-8", "replace"),
        "raw_path": quote(root, SAFE).encode() + (quote(path, SAFE).encode() if raw_path is None else raw_path),
        "query_string": environ["QUERY_STRING"].encode("latin-1") if "QUERY_STRING" in environ else b"",
        "root_path": root.decode("utf-8", "replace"),
        "headers": headers,
        "client": (environ["REMOTE_ADDR"], int(environ.get("REMOTE_PORT", 0))),
        "server": (environ["SERVER_NAME"], int(environ["SERVER_PORT"])),
    }


def _as_sent(scope: dict[str, Any], raw_path: bytes | None) -> dict[str, Any]:
    """Return the scope of Django's ``AsyncRequestFactory`` as a server would make it."""
    path = scope["path"].encode("latin-1")  # the factory decodes it so
    query = scope.get("query_string", b"")
    host, port = scope["server"]
    return {
        "root_path": "",
        **scope,
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "path": path.decode("utf-8", "replace"),
        "raw_path": quote(path, SAFE).encode() if raw_path is None else raw_path,
        "query_string": query.encode() if isinstance(query, str) else query,
        "headers": [header for header in scope["headers"] if header != (b"cookie", b"")],
        "client": tuple(scope["client"]),
        "server": (host, int(port)),
    }


def _raw_path(path: Any) -> bytes:
    return quote(urlsplit(str(path)).path, SAFE + "%").encode()


class HopClient(Client):
    """
    Django's ``Client``, driving the ASGI application in process.

    The methods for requests take two more keywords:
        stream: True returns as soon as the head has arrived. ``response.streaming_content`` is then an iterator over
            the bodies as they arrive; ``response.close()`` or the end of a ``with`` block hangs up.
        disconnect_after: Seconds after which the client hangs up.

    Its responses have three more attributes: ``hops``, ``messages`` and ``disconnected``. ``wsgi_request`` is the
    application's ``ASGIRequest``. If the client hung up before anything was sent, their status is 499.

    Args:
        enforce_csrf_checks: As in ``Client``.
        raise_request_exception: As in ``Client``.
        application: An ASGI application. Without it, the one that ``settings.ASGI_APPLICATION`` names, or else that
            of ``onehop.asgi.get_asgi_application()``, made at the first request.
        headers: As in ``Client``.
        query_params: As in ``Client``.
        defaults: As in ``Client``.

    Runs on: a thread without an event loop; the application's thread-sensitive work runs there, too.
    """

    def __init__(
        self,
        enforce_csrf_checks: bool = False,
        raise_request_exception: bool = True,
        *,
        application: Any = None,
        headers: Any = None,
        query_params: Any = None,
        **defaults: Any,
    ) -> None:
        super().__init__(
            enforce_csrf_checks, raise_request_exception, headers=headers, query_params=query_params, **defaults
        )
        self.handler = HopHandler(self, application, enforce_csrf_checks)

    def generic(
        self,
        method: str,
        path: Any,
        *args: Any,
        stream: bool = False,
        disconnect_after: float | None = None,
        **keywords: Any,
    ) -> Any:
        """Send a request with any method. Source: Django 6.1, ``RequestFactory.generic``."""
        token = _wanted.set(Wanted(_raw_path(path), stream, disconnect_after))
        try:
            return super().generic(method, path, *args, **keywords)
        finally:
            _wanted.reset(token)

    def _follow_redirect(self, response: Any, **keywords: Any) -> Any:
        response.close()
        return super()._follow_redirect(response, **keywords)


class AsyncHopClient(AsyncClient):
    """
    Django's ``AsyncClient``, driving the ASGI application in process, on the loop of the test.

    Keywords, attributes and arguments are those of ``HopClient``. A response that is still arriving is read with
    ``async for``, and left with ``await response.aclose()`` or at the end of an ``async with`` block.
    """

    def __init__(
        self,
        enforce_csrf_checks: bool = False,
        raise_request_exception: bool = True,
        *,
        application: Any = None,
        headers: Any = None,
        query_params: Any = None,
        **defaults: Any,
    ) -> None:
        super().__init__(
            enforce_csrf_checks, raise_request_exception, headers=headers, query_params=query_params, **defaults
        )
        self.handler = AsyncHopHandler(self, application, enforce_csrf_checks)

    async def generic(
        self,
        method: str,
        path: Any,
        *args: Any,
        stream: bool = False,
        disconnect_after: float | None = None,
        **keywords: Any,
    ) -> Any:
        """Send a request with any method. Source: Django 6.1, ``AsyncRequestFactory.generic``."""
        token = _wanted.set(Wanted(_raw_path(path), stream, disconnect_after))
        try:
            return await super().generic(method, path, *args, **keywords)
        finally:
            _wanted.reset(token)

    async def _follow_redirect(self, response: Any, **keywords: Any) -> Any:
        await response.aclose()
        return await super()._follow_redirect(response, **keywords)
