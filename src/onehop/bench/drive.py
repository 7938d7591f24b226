"""
Drive an application in this process the way a server does.

One request is one asyncio task with a context of its own; its ``receive`` gives the empty body and then waits
until the response is complete, as uvicorn's does; its ``send`` collects. ``tests/bench/test_events.py``
compares the events with those of a real uvicorn.
"""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from time import perf_counter_ns
from typing import Any, Protocol
from urllib.parse import quote, unquote

from onehop.bench.answers import BenchError

Scope = dict[str, Any]
Message = Mapping[str, Any]
AsgiApplication = Callable[[Scope, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]
WsgiApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

HEADERS = {
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
}


raised: list[str] = []
"""What views and middleware have raised in this process, in order, if ``remember`` is connected."""


def remember(sender: Any, **named: Any) -> None:
    """Keep the exception of a failing request: a receiver of Django's ``got_request_exception``."""
    raised.append(repr(sys.exc_info()[1])[:200])


class Client(Protocol):
    """Sends requests for one URL to one application. Every answer must have status 200."""

    def answer(self) -> tuple[int, bytes]:
        """Send one request and return its status, whatever it is, and its body."""

    def sequential(self, requests: int) -> int:
        """Send requests one after another and return how long that took, in nanoseconds."""

    def concurrent(self, requests: int, clients: int) -> int:
        """Send requests from clients in a closed loop and return how long that took, in nanoseconds."""


class Exchange:
    """One request over ASGI: what the application may receive, and what it has sent."""

    __slots__ = ("_asked", "_complete", "parts", "status")

    def __init__(self) -> None:
        self._asked = False
        self._complete = asyncio.Event()
        self.status = 0
        self.parts: list[bytes] = []

    async def receive(self) -> Message:
        """Give the request's empty body; after that, wait until the response is complete."""
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._complete.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Keep the status and the body."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        self.parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            self._complete.set()


class AsgiClient:
    """A ``Client`` of an ASGI application."""

    def __init__(self, application: AsgiApplication, scope: Scope, runner: asyncio.Runner) -> None:
        self._application = application
        self._scope = scope
        self._runner = runner

    def answer(self) -> tuple[int, bytes]:
        exchange = self._runner.run(self._request())
        return exchange.status, b"".join(exchange.parts)

    def sequential(self, requests: int) -> int:
        return self._runner.run(self._sequential(requests))

    def concurrent(self, requests: int, clients: int) -> int:
        return self._runner.run(self._concurrent(requests, clients))

    async def _request(self) -> Exchange:
        exchange = Exchange()
        coroutine: Any = self._application({**self._scope, "state": {}}, exchange.receive, exchange.send)
        await asyncio.create_task(coroutine)
        return exchange

    async def _client(self, pending: Iterable[int], statuses: list[int]) -> None:
        for _ in pending:
            exchange = await self._request()
            statuses.append(exchange.status)

    async def _sequential(self, requests: int) -> int:
        statuses: list[int] = []
        started_ns = perf_counter_ns()
        await self._client(range(requests), statuses)
        elapsed_ns = perf_counter_ns() - started_ns
        check_statuses(statuses, requests)
        return elapsed_ns

    async def _concurrent(self, requests: int, clients: int) -> int:
        statuses: list[int] = []
        pending = iter(range(requests))  # shared: each client takes the next request when its last one is answered
        started_ns = perf_counter_ns()
        await asyncio.gather(*(self._client(pending, statuses) for _ in range(clients)))
        elapsed_ns = perf_counter_ns() - started_ns
        check_statuses(statuses, requests)
        return elapsed_ns


class WsgiClient:
    """A ``Client`` of a WSGI application: a plain loop on one thread, so without concurrency."""

    def __init__(self, application: WsgiApplication, scope: Scope) -> None:
        self._application = application
        self._environ = environ_of(scope)
        self._status = 0

    def answer(self) -> tuple[int, bytes]:
        body = b"".join(self._request())
        return self._status, body

    def sequential(self, requests: int) -> int:
        statuses: list[int] = []
        started_ns = perf_counter_ns()
        for _ in range(requests):
            self._request()
            statuses.append(self._status)
        elapsed_ns = perf_counter_ns() - started_ns
        check_statuses(statuses, requests)
        return elapsed_ns

    def concurrent(self, requests: int, clients: int) -> int:
        raise NotImplementedError("WSGI is measured on one thread.")

    def _request(self) -> list[bytes]:
        response: Any = self._application(self._environ | {"wsgi.input": io.BytesIO()}, self._start_response)
        try:
            return list(response)
        finally:
            response.close()

    def _start_response(self, status: str, headers: Any, exc_info: Any = None) -> None:
        self._status = int(status[:3])  # the write() of WSGI is left out: Django never calls it


def check_statuses(statuses: list[int], requests: int) -> None:
    """
    Make sure that every request was answered with status 200.

    Raises:
        BenchError: Some were not.
    """
    wrong = [status for status in statuses if status != 200]
    if wrong or len(statuses) != requests:
        failed = requests - len(statuses) + len(wrong)
        first = ", ".join([f"status {wrong[0]}" if wrong else "no answer", *raised[:1]])
        raise BenchError(
            f"{failed} of {requests} requests failed (the first: {first}). "
            "A single request is answered with status 200, so repetition or concurrency breaks it. "
            "Find out what fails: such a run would measure errors."
        )


def http_scope(url: str, host: str, scheme: str, cookie: str) -> Scope:
    """
    Build the scope that uvicorn builds for a browser's GET request.

    Args:
        url: Path and query string, quoted.
        host: The ``host`` header.
        scheme: ``http`` or ``https``.
        cookie: The ``cookie`` header.
    """
    raw_path, _, query = url.partition("?")
    headers = {"host": host, **HEADERS, "cookie": cookie}
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 54321),
        "scheme": scheme,
        "method": "GET",
        "root_path": "",
        "path": unquote(raw_path),
        "raw_path": quote(raw_path, safe="/%:@!$&'()*+,;=~").encode("ascii"),
        "query_string": quote(query, safe="/%:@!$&'()*+,;=~?").encode("ascii"),
        "headers": [(name.encode("ascii"), value.encode("latin1")) for name, value in headers.items()],
        "state": {},
    }


def environ_of(scope: Scope) -> dict[str, Any]:
    """Build the WSGI environ of the same request. ``wsgi.input`` is missing: each request needs its own."""
    environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": scope["path"].encode().decode("latin1"),
        "QUERY_STRING": scope["query_string"].decode("ascii"),
        "SERVER_NAME": scope["server"][0],
        "SERVER_PORT": str(scope["server"][1]),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": scope["client"][0],
        "REMOTE_PORT": str(scope["client"][1]),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in scope["headers"]:
        environ["HTTP_" + name.decode("ascii").upper().replace("-", "_")] = value.decode("latin1")
    return environ
