"""Drive an ASGI application in process: one request, its messages, and what the server would do meanwhile."""

import asyncio
import contextvars
from collections import Counter
from contextlib import contextmanager
from types import SimpleNamespace

from django.test import override_settings


def scope_of(path="/", method="GET", headers=(), body=b"", **extra):
    """Return an HTTP scope as uvicorn makes it."""
    path, _, query = path.partition("?")
    given = [(b"host", b"testserver"), *headers]
    if body:
        given.append((b"content-length", str(len(body)).encode()))
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": given,
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 80),
        **extra,
    }


async def request(app, path="/", *, disconnect=None, send=None, body=b"", **scope):
    """
    Send one request in this task; return status, headers, body and the messages.

    ``disconnect`` is an event: when it is set, the client is gone.
    """
    messages = []
    incoming = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive():
        if incoming:
            return incoming.pop(0)
        await (disconnect or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    async def collect(message):
        messages.append(message)
        if send is not None:
            await send(message)

    await app(scope_of(path, body=body, **scope), receive, collect)
    start = messages[0] if messages else {"status": None, "headers": []}
    return SimpleNamespace(
        status=start["status"],
        headers=start["headers"],
        body=b"".join(message.get("body", b"") for message in messages[1:]),
        messages=messages,
    )


def get(app, path="/", **keywords):
    """Run one request on a loop of its own, in a context of its own."""
    return contextvars.Context().run(asyncio.run, request(app, path, **keywords))


def stock_application(**settings):
    """Return stock Django's handler for these settings."""
    from django.core.handlers.asgi import ASGIHandler

    with override_settings(**settings):
        handler = ASGIHandler()
    read_body, bodies = handler.read_body, []

    async def remembering_read_body(receive):
        bodies.append(await read_body(receive))
        return bodies[-1]

    async def application(scope, receive, send):
        try:
            await handler(scope, receive, send)
        finally:
            while bodies:
                bodies.pop().close()  # Django 5.2 and 6.0 leave it open when an exception comes through

    handler.read_body = remembering_read_body
    return application


def onehop_application(**settings):
    """Return Onehop's handler for these settings; it must not be stock Django's."""
    from onehop.asgi import get_asgi_application
    from onehop.handler import OnehopASGIHandler

    with override_settings(**settings):
        application = get_asgi_application()
    assert isinstance(application, OnehopASGIHandler)
    return application


@contextmanager
def counting():
    """Count asgiref's bridge calls and started threads, process-wide, while the block runs."""
    import threading

    from asgiref.sync import AsyncToSync, SyncToAsync

    counts = Counter()
    originals = SyncToAsync.__call__, AsyncToSync.__call__, threading.Thread.start

    async def sync_to_async(self, *args, **kwargs):
        counts["hops" if self._thread_sensitive else "pool hops"] += 1
        return await originals[0](self, *args, **kwargs)

    def async_to_sync(self, *args, **kwargs):
        counts["hops"] += 1
        return originals[1](self, *args, **kwargs)

    def start(self):
        counts["threads"] += 1
        originals[2](self)

    SyncToAsync.__call__, AsyncToSync.__call__, threading.Thread.start = sync_to_async, async_to_sync, start
    try:
        yield counts
    finally:
        SyncToAsync.__call__, AsyncToSync.__call__, threading.Thread.start = originals
