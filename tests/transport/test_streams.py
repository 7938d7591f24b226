"""Streams on real servers: the first item comes at once, many cost no thread, and one that nobody reads is closed."""

from contextlib import ExitStack

import pytest

from tests.process import hang_up
from tests.servers.conftest import SERVERS
from tests.transport.conftest import LONG, answer_of

STREAMS = 500 if LONG else 100
ENDLESS = 10**7


@pytest.fixture(scope="module")
def servers(serve):
    """Start all servers at once."""
    started = {name: serve(name, size=60_000_000) for name in SERVERS}
    for served in started.values():
        served.wait()
    return started


@pytest.fixture(params=SERVERS)
def server(request, servers):
    return servers[request.param]


def test_the_first_item_of_a_sync_iterator_comes_before_the_second_exists(server):
    """The client opens the gate for the second item only when it has read the first."""
    server.gate.unlink(missing_ok=True)
    with server.ask("/gated/") as client:
        answer = answer_of(client)
        first = answer.readline()
        assert not server.gate.exists()
        server.gate.touch()
        rest = answer.read()

    assert (first, rest) == (b"first\n", b"second\n")


@pytest.mark.parametrize("server", ["uvicorn"], indirect=True)
def test_many_server_sent_event_streams_need_no_thread(server):
    """Each gets its events, on two threads at most; when all have hung up, all generators have ended."""
    threads = server.status("Threads")
    before = server.state()
    with ExitStack() as stack:
        clients = [stack.enter_context(server.ask("/server-sent/")) for _ in range(STREAMS)]
        for client in clients:
            answer = stack.enter_context(answer_of(client))
            assert [answer.readline() for _ in range(3)] == [b"data: event\n", b"\n", b"data: event\n"]
        during = server.state()
        print(f"{STREAMS} streams: {server.status('Threads')} threads, {threads} before")
        assert during["entered"] - during["left"] == STREAMS
        assert server.status("Threads") <= max(2, threads)

    after = server.wait_for("the end of all generators", left=during["left"] + STREAMS, tasks=0)
    assert after["made"] - before["made"] == after["closed"] - before["closed"] == STREAMS
    assert server.complaints() == []


@pytest.mark.parametrize("server", ["uvicorn", "hypercorn", "granian"], indirect=True)
def test_an_async_iterator_that_never_waits_ends_when_its_client_leaves(server):
    """Where it does not wait for its server either, the loop would stand still, and never hear of it."""
    before = server.state()
    client = server.ask(f"/async-rows/?rows={ENDLESS}&size=1000&pause=-1", receives=2**14)
    assert client.recv(100).startswith(b"HTTP/1.1 200 ")

    hang_up(client)
    server.wait_for("the end of the stream", entered=before["entered"] + 1, left=before["left"] + 1, tasks=0)


@pytest.mark.parametrize("path", ["/sync-rows/", "/async-rows/", "/sync-file/"])
def test_bug_8_an_answer_that_nobody_reads_is_closed_when_its_client_leaves(server, path):
    """A server that waits for its client keeps ``send`` waiting; daphne never does, so it gets few items a second."""
    slowly = "0.001" if server.name == "daphne" else "0"
    before = server.state()
    client = server.ask(f"{path}?rows={ENDLESS}&size=1000&pause={slowly}", receives=2**14)
    assert client.recv(100).startswith(b"HTTP/1.1 200 ")
    if "rows" in path and server.name != "daphne":
        server.wait_until_blocked(before["taken"])

    hang_up(client)
    streams = before["entered"] + ("rows" in path)
    nothing = dict.fromkeys(("streams", "tasks", "busy", "closing", "not idle"), 0)
    settled = {"entered": streams, "left": streams, "made": before["made"] + 1, "closed": before["made"] + 1}
    server.wait_for("the end of the stream", **settled, **nothing)

    assert server.open_files() == []
    assert server.complaints() == []
