"""
Load one server for one turn, and look at every answer: ``python -m tests.soak.load``.

Reads orders as JSON from stdin, one a line, and answers each with a line of JSON on stdout: an ``Outcome``. A closed
loop of keep-alive clients, each with a session of its own, which think for a moment between two requests. When the
turn is over, nothing is in flight, and no connection is open.
"""

import asyncio
import json
import random
import signal
import socket
import struct
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from typing import NamedTuple

THINK_S = 0.02
PATIENCE_S = 20
LEAVES_WITHIN_S = 0.01
"""A client leaves within this time of its request; views take about half as long."""
FILE_BYTES = 300_000
FILE = bytes(index % 251 for index in range(FILE_BYTES))
ROWS, ROW_BYTES = 20, 2000
SLOW_ROW_BYTES, SLOW_READ_BYTES, SLOW_PAUSE_S = 40_000, 16_000, 0.004
SMALL, LARGE = 5_000, 200_000
BOUNDARY = "soak"
SHOWN = 5


def text(name, _):
    return f"answer {name}\n".encode() * 50


def rows(name, _, size=ROW_BYTES):
    return f"row {name} ".encode().ljust(size, b".") * ROWS


def slow_rows(name, client):
    return rows(name, client, SLOW_ROW_BYTES)


def body_of(name, size):
    return f"body {name} ".encode().ljust(size, b".")


def hash_of_body(size):
    return lambda name, _: sha256(body_of(name, size)).hexdigest().encode()


def form_of(name, size):
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="field"\r\n\r\n{name}\r\n--{BOUNDARY}\r\n',
        'Content-Disposition: form-data; name="file"; filename="file.bin"\r\n',
        "Content-Type: application/octet-stream\r\n\r\n",
    ]
    return "".join(parts).encode() + body_of(name, size) + f"\r\n--{BOUNDARY}--\r\n".encode()


def hash_of_form(size):
    return lambda name, _: f"{name} {sha256(body_of(name, size)).hexdigest()}".encode()


class Kind(NamedTuple):
    """
    One kind of request, and what it is answered.

    Attributes:
        weight: How many of 100 requests are of this kind.
        path: The path, perhaps with a query.
        expected: The body of the answer to a request with an id, sent by a client with a name.
        status: The status of the answer.
        body: The body of the request with an id.
        headers: Further headers of the request.
        slow: Whether the client reads a little now and then.
    """

    weight: int
    path: str
    expected: Callable[[str, str], bytes] = text
    status: int = 200
    body: Callable[[str], bytes] = lambda name: b""
    headers: str = ""
    slow: bool = False


FORM = f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
KINDS = {
    "sync view": Kind(18, "/sync/"),
    "async view": Kind(18, "/async/"),
    "sync stream": Kind(8, "/sync-rows/", rows),
    "async stream": Kind(8, "/async-rows/", rows),
    "sync file": Kind(5, "/sync-file/", lambda *_: FILE),
    "async file": Kind(4, "/async-file/", lambda *_: FILE),
    "upload": Kind(4, "/upload/", hash_of_body(SMALL), body=lambda name: body_of(name, SMALL)),
    "upload to disk": Kind(3, "/upload/", hash_of_body(LARGE), body=lambda name: body_of(name, LARGE)),
    "async upload to disk": Kind(2, "/async-upload/", hash_of_body(LARGE), body=lambda name: body_of(name, LARGE)),
    "form": Kind(2, "/form/", hash_of_form(SMALL), body=lambda name: form_of(name, SMALL), headers=FORM),
    "form to disk": Kind(2, "/form/", hash_of_form(LARGE), body=lambda name: form_of(name, LARGE), headers=FORM),
    "session and rows": Kind(6, "/account/", lambda name, client: f"{client} {name}".encode()),
    "async session and row": Kind(4, "/async-account/", lambda name, client: f"{client} {client}".encode()),
    "redirect": Kind(4, "/redirect/", lambda *_: b"", status=302),
    "not found": Kind(4, "/missing/", status=404),
    "sync view raises": Kind(3, "/sync-raises/", status=500),
    "async view raises": Kind(3, "/async-raises/", status=500),
    "slow reader of a sync stream": Kind(1, f"/sync-rows/?size={SLOW_ROW_BYTES}", slow_rows, slow=True),
    "slow reader of an async stream": Kind(1, f"/async-rows/?size={SLOW_ROW_BYTES}", slow_rows, slow=True),
}
WEIGHTS = [kind.weight for kind in KINDS.values()]


@dataclass(frozen=True, slots=True)
class Order:
    """
    What to do in a turn.

    Attributes:
        turn: The number of the turn; ids begin with it.
        seed: The same seed makes the same requests in the same order for each client.
        leaving: The share of requests whose client hangs up before it has its answer.
    """

    port: int
    turn: int
    seed: int
    requests: int
    clients: int
    leaving: float


@dataclass
class Outcome:
    """
    What came of a turn.

    Attributes:
        answered: The right answers, by kind.
        left: The disconnects, by the point at which the client left.
        wrong: How many answers were wrong or missing.
        shown: What was wrong with the first ones.
        elapsed_s: How long it took.
    """

    answered: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    wrong: int = 0
    shown: list[str] = field(default_factory=list)
    elapsed_s: float = 0.0

    def is_wrong(self, what):
        self.wrong += 1
        self.shown = [*self.shown, what][:SHOWN]


class Answer(NamedTuple):
    """A whole answer."""

    status: int
    headers: dict[str, str]
    body: bytes


class Connection:
    """One connection to the server, with one request at a time."""

    @classmethod
    async def open(cls, port, *, slow=False):
        client = socket.socket()
        client.setblocking(False)
        if slow:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**12)
        await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", port))
        connection = cls()
        connection.slow = slow
        connection.reader, connection.writer = await asyncio.open_connection(sock=client, limit=2**14)
        return connection

    async def send(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self):
        """Read an answer to its end."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
        if headers.get("transfer-encoding") == "chunked":
            body = b"".join([chunk async for chunk in self._chunks()])
        else:
            body = await self._read(int(headers["content-length"]))
        return Answer(int(head[0].split()[1]), headers, body)

    async def _chunks(self):
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            yield await self._read(size)
            await self.reader.readexactly(2)
        await self.reader.readexactly(2)

    async def _read(self, size):
        if not self.slow:
            return await self.reader.readexactly(size)
        parts = []
        while size:
            parts.append(await self.reader.readexactly(min(size, SLOW_READ_BYTES)))
            size -= len(parts[-1])
            await asyncio.sleep(SLOW_PAUSE_S)
        return b"".join(parts)

    async def skip(self, size):
        """Read a number of bytes, or what there is."""
        while size > 0 and (data := await self.reader.read(size)):
            size -= len(data)

    async def close(self, *, abruptly=False):
        if abruptly:
            linger = struct.pack("ii", 1, 0)
            self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.writer.transport.abort()
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()


class Client:
    """One client: its name, its session, its connection."""

    def __init__(self, order, number, outcome, sessions):
        self.order, self.number, self.outcome, self.sessions = order, number, outcome, sessions
        self.name = f"client-{number}"
        self.chance = random.Random(f"{order.seed} {order.turn} {number}")
        self.connection = None

    async def run(self):
        """Send this client's share of the requests; the first one makes its session, if it has none."""
        try:
            await self.stay("session and rows", f"{self.order.turn}-{self.name}")
            for number in range(self.number, self.order.requests, self.order.clients):
                name = f"{self.order.turn}-{number}"
                (kind,) = self.chance.choices(list(KINDS), WEIGHTS)
                leaves = self.chance.random() < self.order.leaving
                await (self.leave(kind, name) if leaves else self.stay(kind, name))
                await asyncio.sleep(self.chance.uniform(0, 2 * THINK_S))
        finally:
            await self.hang_up()

    def request(self, kind, name):
        """Return the head and the body of a request."""
        body = kind.body(name)
        joint = "&" if "?" in kind.path else "?"
        session = self.sessions.get((self.order.port, self.name), "")
        return (
            f"{'POST' if body else 'GET'} {kind.path}{joint}id={name}&client={self.name} HTTP/1.1\r\n"
            f"Host: localhost\r\n{kind.headers}{session}Content-Length: {len(body)}\r\n\r\n".encode(),
            body,
        )

    async def stay(self, what, name):
        """Send a request and look at its answer."""
        kind = KINDS[what]
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self.connect(slow=kind.slow)
                await self.connection.send(b"".join(self.request(kind, name)))
                answer = await self.connection.answer()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
            self.outcome.is_wrong(f"{what} {name} got no answer: {error!r}")
            return await self.hang_up()
        expected = kind.status, name, kind.expected(name, self.name)
        if (answer.status, answer.headers.get("x-id"), answer.body) == expected:
            self.outcome.answered[what] += 1
        else:
            got = answer.status, answer.headers.get("x-id"), answer.body[:100]
            self.outcome.is_wrong(f"{what} {name} of {self.name} was answered {got}")
        if "set-cookie" in answer.headers:
            cookie = answer.headers["set-cookie"].split(";")[0]
            self.sessions[self.order.port, self.name] = f"Cookie: {cookie}\r\n"
        if kind.slow or answer.headers.get("connection") == "close":
            await self.hang_up()

    async def leave(self, what, name):
        """Send a request and hang up: before its body is done, in the view, or between chunks."""
        kind, chance = KINDS[what], self.chance
        head, body = self.request(kind, name)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self.connect(slow=kind.slow)
                if body and chance.random() < 0.5:
                    point = "before the body is done"
                    await self.connection.send(head + body[: chance.randrange(len(body))])
                    await asyncio.sleep(chance.uniform(0, LEAVES_WITHIN_S))
                else:
                    await self.connection.send(head + body)
                    if "stream" in what or "file" in what:
                        point = "between chunks"
                        await self.connection.skip(chance.randrange(len(kind.expected(name, self.name))))
                    else:
                        point = "in the view"
                        await asyncio.sleep(chance.uniform(0, LEAVES_WITHIN_S))
        except (OSError, TimeoutError) as error:
            return self.outcome.is_wrong(f"{what} {name} could not be sent: {error!r}")
        finally:
            await self.hang_up(abruptly=chance.random() < 0.5)
        self.outcome.left[point] += 1

    async def connect(self, *, slow):
        if slow:
            await self.hang_up()
        if self.connection is None:
            self.connection = await Connection.open(self.order.port, slow=slow)

    async def hang_up(self, *, abruptly=False):
        if self.connection is not None:
            await self.connection.close(abruptly=abruptly)
            self.connection = None


async def load(order, sessions):
    """Carry out an order, with the sessions of earlier ones."""
    outcome, loop = Outcome(), asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.TaskGroup() as group:
        for number in range(order.clients):
            group.create_task(Client(order, number, outcome, sessions).run())
    outcome.elapsed_s = loop.time() - began
    return outcome


def main():
    """Carry out each order, until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that gives the orders
    sessions = {}
    for line in sys.stdin:
        print(json.dumps(vars(asyncio.run(load(Order(**json.loads(line)), sessions)))), flush=True)


if __name__ == "__main__":
    main()
