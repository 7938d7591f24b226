"""Load one address over keep-alive HTTP/1.1 and time every request: ``python -m onehop.demo.load``.

Reads orders as JSON from stdin, one a line, and answers each with a line of JSON on stdout. A process of its
own, so that it does not share an interpreter lock with what it measures.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import Any

import httptools

DRAIN_S = 20.0


@dataclass(frozen=True, slots=True)
class Order:
    """What to load.

    Attributes:
        requests_each: Number of requests of each client; ``None`` for as many as fit into ``seconds``.
        warm: Send one request per client before the clock starts.
    """

    port: int
    path: str
    clients: int
    seconds: float
    requests_each: int | None = None
    warm: bool = True


@dataclass(slots=True)
class Found:
    """What came out: one latency per answered request, in the order of the answers."""

    latencies_us: list[int] = field(default_factory=list)
    failed: int = 0
    elapsed_s: float = 0.0


class Connection(asyncio.Protocol):
    """One keep-alive connection, one request at a time."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[int] | None = None
        self._transport: asyncio.Transport | None = None

    def exchange(self) -> asyncio.Future[int]:
        """Send the request; the future's result is the status once the answer is complete."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._parser = httptools.HttpResponseParser(self)
        if self._transport.is_closing():
            self._answer.set_exception(ConnectionError("The server closed the connection."))
        else:
            self._transport.write(self._request)
        return self._answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionError("The server closed the connection."))

    def on_message_complete(self) -> None:
        """Be told by the parser that the answer is complete."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(self._parser.get_status_code())


async def load(order: Order) -> Found:
    """Carry out ``order``. Takes at most ``order.seconds`` and ``DRAIN_S`` for the last answers.

    Raises:
        TimeoutError: The last answers did not come in time.
    """
    found = Found()
    ready = asyncio.Barrier(order.clients)
    async with asyncio.timeout(order.seconds + DRAIN_S):
        began = await asyncio.gather(*(_client(order, ready, found) for _ in range(order.clients)))
    found.elapsed_s = perf_counter() - min(began)
    return found


async def _client(order: Order, ready: asyncio.Barrier, found: Found) -> float:
    """Send requests one after another; return when the first was sent (``perf_counter``)."""
    request = f"GET {order.path} HTTP/1.1\r\nHost: 127.0.0.1:{order.port}\r\nUser-Agent: onehop-demo\r\n\r\n"
    loop = asyncio.get_running_loop()
    transport, connection = await loop.create_connection(lambda: Connection(request.encode()), "127.0.0.1", order.port)
    try:
        if order.warm:
            await connection.exchange()
        await ready.wait()
        began = perf_counter()
        sent = 0
        while sent != order.requests_each and perf_counter() - began < order.seconds:
            asked = perf_counter()
            status = await connection.exchange()
            found.latencies_us.append(round((perf_counter() - asked) * 1e6))
            found.failed += status != 200
            sent += 1
        return began
    finally:
        transport.close()


def main() -> None:
    """Read each order, carry it out, write what was found."""
    for line in sys.stdin:
        order: dict[str, Any] = json.loads(line)
        print(json.dumps(asdict(asyncio.run(load(Order(**order))))), flush=True)


if __name__ == "__main__":
    main()
