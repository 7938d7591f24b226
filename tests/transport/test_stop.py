"""A server that is told to stop in the middle of its work: it ends in time, and no answer is broken off that stock
Django would have given."""

import http.client
import random
import signal
import socket
import threading
import time
from collections import Counter

import pytest

from tests.process import PATIENCE_S, wait_until
from tests.transport.conftest import GRACE_S, LONG, answer_of

SERVERS = ["uvicorn", "granian", "gunicorn sync", "gunicorn gthread"]
TIMES = {"ours": 20, "stock": 20} if LONG else {"ours": 2, "stock": 1}
CLIENTS = 8
SEED = 20260729


def plain(name):
    return f"answer {name}\n".encode() * 50


def rows(name):
    return f"row {name} ".encode().ljust(2000, b".") * 20


PATHS = {
    "/sync/?pause=0.01&id={id}": plain,
    "/async/?pause=0.01&id={id}": plain,
    "/sync-rows/?rows=20&size=2000&pause=0.001&id={id}": rows,
    "/async-rows/?rows=20&size=2000&pause=0.001&id={id}": rows,
}


class Client(threading.Thread):
    """
    One client that asks for one answer after the other until it is refused.

    Attributes:
        outcomes: The outcome of each request: "complete", "wrong", "broken" in the middle, "unanswered", or "closed",
            unanswered on a connection that was used before: the server may close that at any time.
        missed: The ids of the requests that got no whole answer.
    """

    def __init__(self, server, number):
        super().__init__(daemon=True)
        self.server, self.number = server, number
        self.outcomes, self.missed = Counter(), []

    def run(self):
        connection, used = None, 0
        for turn in range(100_000):
            try:
                connection = connection or socket.create_connection(("127.0.0.1", self.server.port), PATIENCE_S)
            except OSError:
                return  # refused
            path, expected = list(PATHS.items())[(turn + self.number) % len(PATHS)]
            name = f"{self.number}-{turn}"
            outcome, stays_open = self.ask(connection, path.format(id=name), expected(name))
            self.outcomes["closed" if outcome == "unanswered" and used else outcome] += 1
            used += 1
            if outcome != "complete":
                self.missed.append(name)
            if not stays_open:
                connection.close()
                connection, used = None, 0
        raise AssertionError("never refused")

    def ask(self, connection, path, expected):
        """Return the outcome of a request, and whether its connection may be used again."""
        begun = False
        try:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            begun = bool(connection.recv(1, socket.MSG_PEEK))
            if not begun:
                return "unanswered", False
            with answer_of(connection) as answer:
                right = answer.status == 200 and answer.read() == expected
                return "complete" if right else "wrong", not answer.will_close
        except (OSError, http.client.HTTPException):
            return "broken" if begun else "unanswered", False


def stop_under_load(server, chance):
    """Have clients ask, end the server somewhere in between; return outcomes, seconds, and lost ids."""
    clients = [Client(server, number) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    wait_until(lambda: sum(client.outcomes["complete"] for client in clients) > 4 * CLIENTS, "the load")
    time.sleep(chance.uniform(0, 0.1))
    told = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    server.process.wait(GRACE_S + 10)
    seconds = time.monotonic() - told
    for client in clients:
        client.join(20)
    assert not any(client.is_alive() for client in clients)
    entered = {event.removeprefix("view ") for event in server.events if event.startswith("view ")}
    outcomes = sum((client.outcomes for client in clients), Counter())
    outcomes["lost"] = sum(name in entered for client in clients for name in client.missed)
    return outcomes, seconds


@pytest.mark.parametrize("name", SERVERS)
def test_bug_57_a_server_told_to_stop_under_load_breaks_no_answer(serve, name):
    """What a view was entered for is answered, and an answer that began is whole, as on stock Django."""
    totals = {}
    for kind, times in TIMES.items():
        chance, total, longest = random.Random(SEED), Counter(), 0.0
        for _ in range(times):
            server = serve(name, stock=kind == "stock")
            server.wait()
            outcomes, seconds = stop_under_load(server, chance)
            server.end()
            total += outcomes
            longest = max(longest, seconds)
            if kind == "ours":
                assert seconds < GRACE_S
                assert server.process.returncode in (0, -signal.SIGTERM)
                assert "Traceback" not in server.log and "never retrieved" not in server.log
        print(f"{name}, {kind}, {times} times: {dict(total)}, at most {longest:.2f} s")
        totals[kind] = total

    assert totals["ours"]["complete"] > 4 * CLIENTS
    assert totals["ours"]["wrong"] == 0
    for fault in ("broken", "lost"):
        assert totals["ours"][fault] == 0 or totals["ours"][fault] <= totals["stock"][fault]
