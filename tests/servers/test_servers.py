"""
Onehop behind real servers: the answers of stock Django, and clients that leave in the middle.

All four servers report a disconnect while a view runs, be the connection closed or reset; the tests with stock
Django would tell if one ceased to.
"""

import threading

import pytest

from tests.process import hang_up, wait_until
from tests.servers.conftest import SERVERS

BIG = bytes(range(256)) * 12_000  # 3 MB: Django moves such a body to a file
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
REQUESTS = [
    (201, "/sync/", {}),
    (201, "/async/", {}),
    (201, "/sync/?a=1&b=%20%C3%A9", {"headers": {"Cookie": "a=b; c=d"}}),
    (201, "/async/?a=1&b=%20%C3%A9", {"headers": {"Cookie": "a=b; c=d"}}),
    (201, "/sync/", {"method": "HEAD"}),
    (201, "/async/", {"method": "HEAD"}),
    (201, "/sync/", {"method": "POST", "body": b"a=1", "headers": FORM}),
    (201, "/async/", {"method": "POST", "body": b"a=1", "headers": FORM}),
    (201, "/sync/", {"method": "POST", "body": BIG}),
    (201, "/async/", {"method": "POST", "body": BIG}),
    (201, "/async/", {"method": "OPTIONS"}),
    (200, "/protected/", {}),
    (403, "/protected/", {"method": "POST", "body": b"a=1", "headers": FORM}),
    (200, "/stream/", {}),
    (302, "/redirect/", {}),
    (304, "/304/", {}),
    (301, "/sync", {}),
    (404, "/missing/", {}),
    (404, "/%ff/", {}),
    (400, "/sync/", {"headers": {"Host": "evil.example"}}),
    (400, "/async/", {"headers": {"Host": "evil.example"}}),
    (500, "/fails/", {}),
    (500, "/fails-async/", {}),
]
ABRUPTLY = pytest.mark.parametrize("abruptly", [False, True], ids=["closed", "reset"])


def test_the_environment_chooses_the_handler(server, stock):
    """Onehop's handler serves, and Django's with ``ONEHOP_DISABLE=1``."""
    assert server.events[1] == "serving OnehopASGIHandler"
    assert stock.events[1] == "serving ASGIHandler"


def test_answers_equal_stock_djangos(server, stock):
    """Status, headers in their order, cookies and body are the same for every kind of answer."""
    answers, stocks = (
        [(path, each.fetch(path, **keywords)) for _, path, keywords in REQUESTS] for each in (server, stock)
    )

    assert answers == stocks
    assert [status for _, (status, _, _) in answers] == [status for status, _, _ in REQUESTS]


def test_every_client_gets_its_own_answers(server):
    """Eight clients at once, each with one connection for all its requests, to sync and async views in turn."""
    wrong, right = [], []

    def client(number):
        connection = server.connect()
        for turn in range(10):
            path = f"/{('sync', 'async')[turn % 2]}/?{number}-{turn}"
            status, _, body = server.fetch(path, connection=connection)
            (right if status == 201 and f" {path} ".encode() in body else wrong).append((path, status, body))
        connection.close()

    clients = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join(30)

    assert (wrong, len(right)) == ([], 80)


def hops_of(served, path):
    """Return the hops per request, a tenth of a request to /state/ included: none on Onehop."""
    before = served.state()["hops"]
    for _ in range(10):
        assert served.fetch(path)[0] == 200
    return (served.state()["hops"] - before) / 10


def test_hops(plain, stock):
    """An async view makes no hop and a sync view one."""
    assert [hops_of(plain, "/on-loop/"), hops_of(plain, "/which-thread/")] == [0, 1]
    assert hops_of(stock, "/on-loop/") > 10  # what is counted can be seen


@pytest.mark.parametrize("short_lived", ["uvicorn that imports late"], indirect=True)
def test_hops_of_an_application_that_was_imported_in_a_running_loop(short_lived):
    """They are the same, once the first request has loaded the URLs."""
    short_lived.state()

    assert short_lived.events[2] == "imported in a running loop"
    assert [hops_of(short_lived, "/on-loop/"), hops_of(short_lived, "/which-thread/")] == [0, 1]


def enter(served, path):
    """Send a request and wait until its view runs; return the number of events before it, and its client."""
    before = served.settle()
    served.gate.unlink(missing_ok=True)
    client = served.ask(path)
    served.wait_for_events(before, len(served.noted("started", "view entered")))
    return before, client


def test_a_client_that_stays_gets_its_late_answer(server):
    """What the tests below see missing, or once, is there when nobody leaves."""
    before, client = enter(server, "/slow-async/")

    server.gate.touch()
    expected = server.noted("started", "view entered", "view ended", "response sent", "response closed", "finished")
    events = server.wait_for_events(before, len(expected))

    assert events == expected
    assert client.recv(100).startswith(b"HTTP/1.1 200 ")
    client.close()


@ABRUPTLY
def test_bug_5_an_async_view_is_cancelled_when_its_client_leaves(server, stock, abruptly):
    """It sees ``CancelledError`` once and its request is finished once, as on stock Django; the server goes on."""
    for served in (server, stock):
        before, client = enter(served, "/slow-async/")

        hang_up(client, abruptly)
        expected = served.noted("started", "view entered", "view cancelled", "finished")
        served.wait_for_events(before, len(expected))
        expected += served.noted("started", "finished")
        status, _, _ = served.fetch("/sync/")
        events = served.wait_for_events(before, len(expected))

        assert (status, events) == (201, expected)
    assert server.complaints() == []


@ABRUPTLY
def test_a_sync_view_runs_to_its_end_when_its_client_leaves(server, abruptly):
    """Others are answered meanwhile, on other threads; then its response is closed and its request finished, once."""
    before, client = enter(server, "/slow-sync/")
    thread = server.events[-1].removeprefix("view entered on ")
    after = before + len(server.noted("started", "view entered") + 3 * server.noted("started", "finished"))

    hang_up(client, abruptly)
    others = [server.fetch("/which-thread/")[2].decode() for _ in range(3)]
    meanwhile = server.wait_for_events(0, after)[before:]
    server.gate.touch()
    expected = server.noted(f"view ended on {thread}", "response closed", "finished")
    server.wait_for_events(after, len(expected))
    expected += server.noted("started", "finished")
    status, _, _ = server.fetch("/sync/")
    events = server.wait_for_events(after, len(expected))

    assert thread not in others
    assert len(meanwhile) == after - before
    assert (status, events) == (201, expected)
    assert server.complaints() == []


@ABRUPTLY
def test_a_stream_ends_when_its_reader_leaves(server, abruptly):
    """The generator of an endless response is closed, and its request finished, once."""
    before = server.settle()
    client = server.ask("/endless/")
    assert client.recv(1000)
    server.wait_for_events(before, len(server.noted("started", "stream entered")))

    hang_up(client, abruptly)
    expected = server.noted("started", "stream entered", "stream left", "finished")
    server.wait_for_events(before, len(expected))
    expected += server.noted("started", "finished")
    status, _, _ = server.fetch("/sync/")
    events = server.wait_for_events(before, len(expected))

    assert (status, events) == (201, expected)
    assert server.complaints() == []


def wait_for_state(server, **most):
    """Wait until there are no more than some numbers of threads and tasks."""

    def is_reached():
        now = server.state()
        return all(now[name] <= number for name, number in most.items())

    server.settle()
    wait_until(is_reached, f"a state with at most {most}")


def test_a_crowd_that_leaves_leaves_nothing_behind(server):
    """Thirty clients leave at different moments of their requests, six of them while a sync view runs."""
    before, first = enter(server, "/slow-sync/")
    clients = [first, *(server.ask("/slow-sync/") for _ in range(5))]
    server.wait_for_events(before, len(clients) * len(server.noted("started", "view entered")))
    for path in ("/slow-async/", "/sync/", "/async/", "/stream/") * 6:
        clients.append(server.ask(path))

    for number, client in enumerate(clients):
        hang_up(client, abruptly=number % 2 == 0)
    server.gate.touch()
    wait_for_state(server, tasks=0)

    assert server.fetch("/sync/")[0] == 201
    assert server.complaints() == []


def test_clients_that_leave_one_by_one_need_no_more_threads(server):
    """Ten sync views whose clients leave, one after another, take hardly more threads than one."""
    threads = server.state()["threads"]

    for _ in range(10):
        before, client = enter(server, "/slow-sync/")
        hang_up(client)
        server.fetch("/on-loop/")
        server.gate.touch()
        server.wait_for_events(before, len(["view entered", "view ended", "response closed"]))

    wait_for_state(server, tasks=0, threads=threads + 2)


@pytest.mark.parametrize("short_lived", SERVERS, indirect=True)
def test_a_server_ends_in_time_while_a_view_runs(short_lived):
    """Told to end in the middle of a sync view that ends soon after, the process ends, and says nothing."""
    _, client = enter(short_lived, "/slow-sync/")

    code = short_lived.end()  # opens the gate, too
    client.close()

    assert code in (0, -15)
    assert "Traceback" not in short_lived.log
    assert "never retrieved" not in short_lived.log
