"""Count hops and started threads per request: ``python -m onehop.demo.count``.

Reads its order as JSON from stdin and writes the counts as JSON to stdout. A process of its own, because it
patches asgiref and ``threading`` while it drives the ASGI application.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import threading
from dataclasses import asdict, dataclass
from typing import Any

from asgiref.sync import AsyncToSync, SyncToAsync

WARM_UP = 5
REQUESTS = 10
LIMIT_S = 30.0


@dataclass(slots=True)
class Counts:
    """Calls seen since the last reset, and after that per request."""

    hops: float = 0
    threads: float = 0


def watch() -> Counts:
    """Patch asgiref's two bridges and ``Thread.start`` for good; return the counts they add to.

    A hop is a call of either bridge; pool calls (``thread_sensitive=False``) are not hops.
    """
    counts = Counts()
    to_thread, to_loop, start = SyncToAsync.__call__, AsyncToSync.__call__, threading.Thread.start

    def counted_to_thread(self: Any, *args: Any, **kwargs: Any) -> Any:
        counts.hops += bool(self._thread_sensitive)
        return to_thread(self, *args, **kwargs)

    def counted_to_loop(self: Any, *args: Any, **kwargs: Any) -> Any:
        counts.hops += 1
        return to_loop(self, *args, **kwargs)

    def counted_start(self: threading.Thread) -> None:
        counts.threads += 1
        start(self)

    SyncToAsync.__call__ = counted_to_thread  # type: ignore[method-assign]
    AsyncToSync.__call__ = counted_to_loop  # type: ignore[method-assign]
    threading.Thread.start = counted_start  # type: ignore[method-assign]
    return counts


async def request(application: Any, path: str, port: int) -> None:
    """Send one GET request as a server would and wait for the end of the application.

    Raises:
        RuntimeError: The status is not 200.
    """
    sent: list[dict[str, Any]] = []
    asked = False

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if asked:
            await asyncio.Event().wait()  # no disconnect: Django cancels this once it has answered
        asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        # Aggregation views call the server that runs beside this process: only their own hops count.
        "headers": [(b"host", f"127.0.0.1:{port}".encode()), (b"user-agent", b"onehop-demo")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", port),
        "state": {},
    }
    await asyncio.create_task(application(scope, receive, send))
    if sent[0]["status"] != 200:
        raise RuntimeError(f"{path} answered with status {sent[0]['status']}.")


async def count(application: Any, counts: Counts, path: str, port: int) -> Counts:
    """Return hops and threads per request for ``path``, after a warm-up, over several requests."""
    for _ in range(WARM_UP):
        await request(application, path, port)
    counts.hops = counts.threads = 0
    for _ in range(REQUESTS):
        await request(application, path, port)
    return Counts(counts.hops / REQUESTS, counts.threads / REQUESTS)


async def main() -> None:
    """Read the order, count each path, write ``{path: {"hops": …, "threads": …}}``."""
    order: dict[str, Any] = json.load(sys.stdin)
    counts = watch()
    application = importlib.import_module(order["module"]).application
    async with asyncio.timeout(LIMIT_S):
        found = {path: asdict(await count(application, counts, path, order["port"])) for path in order["paths"]}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    sys.path.insert(0, "")
    asyncio.run(main())
