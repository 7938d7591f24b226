"""
Record the events of one request, driven in this process and served by uvicorn, and print both as JSON.

Run as ``python record_events.py CONTENDER SERVER VIEW...`` in a process of its own; SERVER is ``driver``,
``h11`` or ``httptools``. Prints a mapping of views to events, in the order in which they happened.
Each is a list: the lane it happened on, what happened, and what is worth comparing.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import django
from django.core import signals
from django.http.response import HttpResponseBase

from onehop.bench.contenders import CONTENDERS, scope_for
from onehop.bench.database import fill_once
from onehop.bench.drive import AsgiClient

events: list[list[Any]] = []


def record(*event: Any) -> None:
    """Add an event."""
    lane = "loop" if threading.current_thread() is threading.main_thread() else "thread"
    events.append([lane, *event])


def recorded(application: Any, finished: asyncio.Event) -> Any:
    """Wrap an ASGI application so that every message both ways is recorded."""

    async def recording(scope: Any, receive: Any, send: Any) -> None:
        headers = [[name.decode(), value.decode()] for name, value in scope["headers"]]
        plain = {name: scope[name] for name in ("type", "method", "path", "http_version", "scheme", "root_path")}
        record("scope", sorted(scope), plain, headers)

        async def recording_receive() -> Any:
            record("receive is awaited")
            try:
                message = await receive()
            except asyncio.CancelledError:
                record("receive is cancelled")
                raise
            record("received", decoded(message))
            return message

        async def recording_send(message: Any) -> None:
            record("sent", decoded(message))
            await send(message)

        try:
            await application(scope, recording_receive, recording_send)
        finally:
            record("the application returned")
            finished.set()

    return recording


def decoded(value: Any) -> Any:
    """Return a message as JSON can hold it, its keys in order."""
    match value:
        case bytes() | bytearray():
            return bytes(value).decode("latin1")
        case dict():
            return {key: decoded(value[key]) for key in sorted(value)}
        case list() | tuple():
            return [decoded(item) for item in value]
        case _:
            return value


def record_signals_and_closing() -> None:
    """Record request_started, request_finished, and every closing of a response and of a request body."""
    signals.request_started.connect(on_started, dispatch_uid="started")
    signals.request_finished.connect(on_finished, dispatch_uid="finished")
    for owner, name in (
        (HttpResponseBase, "response closes"),
        (tempfile.SpooledTemporaryFile, "body file closes"),
    ):
        record_close(owner, name)


def record_close(owner: Any, name: str) -> None:
    """Record every call of ``owner.close``."""
    original = owner.close

    def close(self: Any) -> None:
        record(name)
        original(self)

    owner.close = close


def on_started(sender: Any, **named: Any) -> None:
    record("request_started", sender.__qualname__, sorted(named))


def on_finished(sender: Any, **named: Any) -> None:
    record("request_finished", sender.__qualname__, sorted(named))


def drive(application: Any, view: str) -> None:
    """Send one request with the benchmark's driver."""
    with asyncio.Runner() as runner:
        finished = asyncio.Event()
        status, _ = AsgiClient(recorded(application, finished), scope_for(view), runner).answer()
        assert status == 200 and finished.is_set()


async def serve(application: Any, view: str, http: str) -> None:
    """Send the same request over a loopback socket to uvicorn."""
    import uvicorn

    finished = asyncio.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        recorded(application, finished), http=http, loop="asyncio", lifespan="off", log_level="critical"
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    headers = "".join(f"{name.decode()}: {value.decode()}\r\n" for name, value in scope_for(view)["headers"])
    writer.write(f"GET {view} HTTP/1.1\r\n{headers}\r\n".encode())
    assert (await reader.readline()).split()[1] == b"200"
    await finished.wait()  # only then is the connection closed, so that closing it is no event
    writer.close()
    server.should_exit = True
    await serving


def main(contender: str, server: str, *views: str) -> None:
    """Record one request of each view and print the events."""
    django.setup()
    fill_once()
    application = CONTENDERS[contender]()
    record_signals_and_closing()
    by_view = {}
    for view in views:
        if server == "driver":
            drive(application, view)
        else:
            asyncio.run(serve(application, view, server))
        by_view[view] = events.copy()
        events.clear()
    json.dump(by_view, sys.stdout)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ONEHOP_BENCH_DATABASE"] = str(Path(folder, "db.sqlite3"))
        os.environ["DJANGO_SETTINGS_MODULE"] = "onehop.bench.project"
        main(*sys.argv[1:])
