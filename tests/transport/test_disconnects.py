"""Clients that leave at random points: everything is closed once, nothing is left behind, others are answered."""

import random
import threading
import time
from hashlib import sha256

import pytest

from tests.process import hang_up
from tests.transport.conftest import LONG, answer_of

LEAVING = 1000 if LONG else 150
STAYING_SHARE = 0.05
CLIENTS = 4
SEED = 20260729
FILE_BYTES = 5_000_000
BODY = random.Random(SEED).randbytes(4_000_000)  # Django moves such a body to a file
AFTER_S = 0.02
"""A client leaves within this time of its request: views take half as long."""
PATHS = {
    "upload": "/upload/",
    "before the view": "/before/?id={id}",
    "sync view": "/sync/?pause=0.01&id={id}",
    "async view": "/async/?pause=0.01&id={id}",
    "sync stream": "/sync-rows/?rows=1000&size=1000&pause=0.0002&id={id}",
    "async stream": "/async-rows/?rows=1000&size=1000&pause=0.0002&id={id}",
    "sync file": "/sync-file/",
    "async file": "/async-file/",
    "after a sync answer": "/sync/?id={id}",
    "after an async answer": "/async/?id={id}",
}


def expected_of(point, name):
    """Return what a client that stays has to read."""
    if "stream" in point:
        return f"row {name} ".encode().ljust(1000, b".") * 1000
    if "file" in point:
        return bytes(FILE_BYTES)
    return sha256(BODY).hexdigest().encode() if point == "upload" else f"answer {name}\n".encode() * 50


def stay(server, point, path, name):
    """Send a whole request; tell whether the answer is right."""
    body = BODY if point == "upload" else b""
    with server.ask(path, method="POST" if body else "GET", body=body) as client, answer_of(client) as answer:
        return answer.status == 200 and answer.read() == expected_of(point, name)


def leave(server, point, path, chance):
    """Send a request and hang up, somewhere."""
    if point == "upload":
        client = server.ask(path, method="POST", headers=f"Content-Length: {len(BODY)}\r\n")
        client.sendall(BODY[: chance.randrange(len(BODY))])
    else:
        client = server.ask(path)
    if "answer" in point:
        answer_of(client).read()
    elif "stream" in point or "file" in point:
        left = chance.randrange(1_000_000)
        while left > 0 and (data := client.recv(min(left, 65536))):
            left -= len(data)
    else:
        time.sleep(chance.uniform(0, AFTER_S))
    hang_up(client, abruptly=chance.random() < 0.5)


def run_clients(server, count):
    """Have clients leave ``count`` times in all, and stay now and then; return how many did, and the wrong answers."""
    stayed, wrong, failures = [], [], []

    def client(number):
        chance = random.Random(SEED + number)
        try:
            for turn in range(number, count, CLIENTS):
                point = chance.choice(list(PATHS))
                leave(server, point, PATHS[point].format(id=""), chance)
                if chance.random() < STAYING_SHARE:
                    point, name = chance.choice(list(PATHS)), f"{number}-{turn}"
                    stayed.append(point)
                    if not stay(server, point, PATHS[point].format(id=name), name):
                        wrong.append((point, name))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert not failures and not any(thread.is_alive() for thread in threads), failures
    return stayed, wrong


@pytest.fixture(scope="module", params=[False, True], ids=["Django's own", "with receivers and closers"])
def server(request, serve):
    served = serve("uvicorn", watch=request.param, size=FILE_BYTES)
    served.wait()
    return served


def test_clients_that_leave_at_random_points_leave_nothing_behind(server):
    """Closings equal responses, both signals are sent equally often, and no file, lease, task or stream is left."""
    run_clients(server, 20)  # starts as many threads as it needs
    stayed, wrong = run_clients(server, LEAVING)
    own = int(server.watch)  # the thread of the request to /state/ itself, where receivers have used one
    settled = {"tasks": 0, "busy": own, "closing": 0, "waiting": 0, "not idle": own, "leases": 1}
    after = server.wait_for("the end of all requests", **settled)
    print(f"{LEAVING} left, {len(stayed)} stayed: {after}, {server.open_files()}")

    assert wrong == []
    assert after["made"] > LEAVING // 3
    assert after["closed"] == after["made"]
    assert after["left"] == after["entered"] > LEAVING // 20
    if server.watch:
        assert after["closes"] == after["made"]
        assert after["finished"] == after["started"] - 1 > LEAVING // 2  # that of /state/ is not finished
    assert server.open_files() == []
    assert after["streams"] == 0
    assert after["threads"] <= 1 + 1 + 3 * CLIENTS
    assert server.complaints() == []
    assert "Exception" not in server.log and "Error" not in server.log
