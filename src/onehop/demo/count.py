"""Count hops and started threads per request: ``python -m onehop.demo.count``.

Reads its order as JSON from stdin and writes the counts as JSON to stdout. A process of its own, because it
patches asgiref and ``threading`` while it drives the ASGI application.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from dataclasses import asdict, dataclass
from typing import Any

from onehop.counting import Counters, counting

WARM_UP = 5
REQUESTS = 10
LIMIT_S = 30.0


@dataclass(slots=True)
class Counts:
    """Hops and started threads per request."""

    hops: float
    threads: float


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


async def count(application: Any, counters: Counters, path: str, port: int) -> Counts:
    """Return hops and threads per request for ``path``, after a warm-up, over several requests."""
    for _ in range(WARM_UP):
        await request(application, path, port)
    hops, _, threads = counters.read()
    for _ in range(REQUESTS):
        await request(application, path, port)
    hops_after, _, threads_after = counters.read()
    return Counts((hops_after - hops) / REQUESTS, (threads_after - threads) / REQUESTS)


async def main() -> None:
    """Read the order, count each path, write ``{path: {"hops": …, "threads": …}}``."""
    order: dict[str, Any] = json.load(sys.stdin)
    with counting() as counters:
        application = importlib.import_module(order["module"]).application
        async with asyncio.timeout(LIMIT_S):
            found = {path: asdict(await count(application, counters, path, order["port"])) for path in order["paths"]}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    sys.path.insert(0, "")
    asyncio.run(main())
