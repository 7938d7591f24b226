"""Downloads and rows on a real server take the memory of what is under way, not of what is asked for."""

import threading

import pytest

from tests.transport.conftest import LONG, answer_of

MB = 1_000_000
CLIENTS, FILE_BYTES, ROWS = (20, 200 * MB, 100_000) if LONG else (8, 60 * MB, 12_000)
LIMIT_KB = 64_000 if LONG else 9_000
"""Most that the resident size may grow. Rows read ahead of the clients would need 141 bytes each."""
ENDLESS = 10**9


@pytest.fixture(scope="module")
def server(serve):
    served = serve("uvicorn", size=FILE_BYTES)
    served.wait()
    return served


def download(server, path):
    """Read an answer to its end; return the number of bytes."""
    with server.ask(path) as client, answer_of(client) as answer:
        buffer, read = memoryview(bytearray(2**18)), 0
        while size := answer.readinto(buffer):
            read += size
        return read


def download_all(server, path):
    """Have all clients read at once."""
    sizes = []
    clients = [threading.Thread(target=lambda: sizes.append(download(server, path))) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join(600)
    return sizes


@pytest.mark.parametrize(
    ("path", "size"),
    [
        ("/sync-file/", FILE_BYTES),
        ("/async-file/", FILE_BYTES),
        (f"/sync-rows/?rows={ROWS}&size=100", ROWS * 100),
    ],
    ids=["file of a sync view", "file of an async view", "rows of a sync iterator"],
)
def test_many_downloads_at_once_need_little_memory(server, path, size):
    """All clients get all bytes, while one more reads 1 MB of an endless answer and stalls."""
    with server.ask(f"/sync-rows/?rows={ENDLESS}&size=1000") as stalled:
        left = MB
        while left > 0:
            left -= len(stalled.recv(left))
        idle = server.peak_kb(forget=True)

        assert download_all(server, path) == [size] * CLIENTS
        grown = server.peak_kb() - idle
    print(f"{CLIENTS} times {size / MB:g} MB: {grown / 1000:g} MB above {idle / 1000:g} MB")
    assert grown < LIMIT_KB
    server.wait_for("the end of all downloads", busy=0, closing=0)
    assert server.open_files() == []


def test_a_client_that_stalls_stops_the_iterator(server):
    """An iterator of small rows is not advanced once the client's, the kernel's and the server's buffers are full."""
    before = server.state()["taken"]
    with server.ask(f"/sync-rows/?rows={ENDLESS}&size=1000", receives=2**16) as client:
        assert client.recv(1000)
        taken = server.wait_until_blocked(before) - before
        print(f"{taken} rows of 1 kB were taken")
    server.wait_for("the end of the iterator", busy=0, closing=0, tasks=0)
