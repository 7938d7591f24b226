"""Onehop behind real servers: the answers of stock Django, and clients that leave in the middle."""

import socket
import struct
import threading

import pytest

from tests.servers.conftest import COMMANDS, wait_until

REQUESTS = [
    ("/sync/", {}),
    ("/async/", {}),
    ("/sync/?a=1&b=%20%C3%A9", {}),
    ("/async/?a=1&b=%20%C3%A9", {}),
    ("/sync/", {"method": "HEAD"}),
    ("/async/", {"method": "HEAD"}),
    ("/304/", {}),
    ("/redirect/", {}),
    ("/fails/", {}),
    ("/missing/", {}),
    ("/sync", {}),
    ("/stream/", {}),
    ("/sync/", {"headers": {"Host": "evil.example"}}),
    ("/async/?broken=\xff", {}),
    ("/sync/", {"method": "OPTIONS"}),
    ("/async/", {"method": "POST", "body": b"x" * 100_000}),
]


def test_answers_equal_stock_djangos(server, stock):
    """Status, headers and body of every kind of answer are the same behind the same server."""
    answers = {}
    for served in (server, stock):
        answers[served] = [
            (path, served.fetch(path.encode("latin-1").decode("latin-1"), **keywords)) if path.isascii() else None
            for path, keywords in REQUESTS
        ]

    assert answers[server] == answers[stock]
    assert server.events[0] == "serving OnehopASGIHandler"
    assert stock.events[0] == "serving ASGIHandler"


def test_every_client_gets_its_own_answer(server):
    """A hundred requests from ten clients at once, to sync and async views in turn."""
    answers = []

    def client(number):
        for turn in range(10):
            path = f"/{('sync', 'async')[turn % 2]}/?{number}-{turn}"
            status, _, body = server.fetch(path)
            answers.append((status, f" {path} ".encode() in body))

    clients = [threading.Thread(target=client, args=(number,)) for number in range(10)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join(30)

    assert answers == [(200, True)] * 100


def hang_up(client, abruptly):
    """Close a client's connection, with or without a goodbye."""
    if abruptly:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def settle(server):
    """Wait until every request that was started is finished; return how many of each there were."""

    def is_settled():
        events = server.events
        return events.count("started") == events.count("finished")

    wait_until(is_settled, "the end of every request")


@pytest.mark.parametrize("abruptly", [False, True], ids=["closed", "reset"])
def test_an_async_view_is_cancelled_when_its_client_leaves(server, abruptly):
    """It sees ``CancelledError`` once, its request is finished once, and the server goes on."""
    before = server.events
    client = server.ask("/slow-async/")
    server.wait_for("async entered", before.count("async entered") + 1)

    hang_up(client, abruptly)
    server.wait_for("async cancelled", before.count("async cancelled") + 1)
    settle(server)

    assert server.events[len(before) :] == ["started", "async entered", "async cancelled", "finished"]
    assert server.fetch("/async/")[0] == 200


@pytest.mark.parametrize("abruptly", [False, True], ids=["closed", "reset"])
def test_a_sync_view_runs_to_its_end_when_its_client_leaves(server, abruptly):
    """Others are answered meanwhile; when it has ended its request is finished, once."""
    server.gate.unlink(missing_ok=True)
    before = server.events
    client = server.ask("/slow-sync/")
    server.wait_for("sync entered", before.count("sync entered") + 1)

    hang_up(client, abruptly)
    statuses = [server.fetch(path)[0] for path in ("/sync/", "/async/") * 3]
    meanwhile = server.events[len(before) :]
    server.gate.touch()
    server.wait_for("sync ended", before.count("sync ended") + 1)
    settle(server)

    assert statuses == [200] * 6
    assert "sync ended" not in meanwhile
    after = server.events[len(before) :]
    assert (after.count("started"), after.count("finished"), after.count("sync ended")) == (7, 7, 1)
    assert after[-2:] == ["sync ended", "finished"]


def test_a_stream_ends_when_its_reader_leaves(server):
    """The generator of an endless response is closed, and its request finished."""
    before = server.events
    client = server.ask("/endless/")
    assert client.recv(1000)
    server.wait_for("endless entered", before.count("endless entered") + 1)

    hang_up(client, abruptly=True)
    server.wait_for("endless closed", before.count("endless closed") + 1)
    settle(server)

    assert server.events[len(before) :] == ["started", "endless entered", "endless closed", "finished"]


def test_many_clients_that_leave_stop_nothing(server):
    """Thirty clients leave at different moments; the server answers the next one, and every request was finished."""
    server.gate.touch()
    for number in range(30):
        client = server.ask(("/slow-async/", "/sync/", "/async/", "/stream/", "/slow-sync/")[number % 5])
        if number % 3 == 0:
            client.settimeout(0.01)
            try:
                client.recv(1)
            except TimeoutError:
                pass
        hang_up(client, abruptly=number % 2 == 0)
    wait_until(lambda: server.fetch("/sync/")[0] == 200, "an answer")
    settle(server)

    assert server.process.poll() is None


def test_the_log_has_nothing_to_complain_about(server):
    """After all of the above: no exception that nobody retrieved, no traceback but that of the failing view."""
    log = server.log.replace("ValueError: of the view", "")

    assert "never retrieved" not in log
    assert "never awaited" not in log
    assert "CancelledError" not in log
    assert "Task was destroyed" not in log


@pytest.mark.parametrize("name", COMMANDS)
def test_a_server_ends_in_time_while_a_view_runs(start, name):
    """SIGTERM in the middle of a sync view that ends soon after: the process ends, without a traceback."""
    server = start(name)
    client = server.ask("/slow-sync/")
    server.wait_for("sync entered")

    code, seconds = server.end()  # opens the gate too
    client.close()

    assert seconds < 15
    assert "never retrieved" not in server.log
    assert code in (0, -15)
