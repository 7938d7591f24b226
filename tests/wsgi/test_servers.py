"""Real servers: answers equal stock Django's, one loop serves all, a reader that leaves ends its stream; exits."""

import http.client
import signal

import pytest

from tests.process import Server, hang_up, wait_until
from tests.wsgi import views

TARGET = "tests.wsgi.served:application"
GUNICORN = ["-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--graceful-timeout", "5", TARGET]
COMMANDS = {
    "gunicorn sync": [*GUNICORN, "-k", "sync"],
    "gunicorn gthread": [*GUNICORN, "-k", "gthread", "--threads", "4"],
    "gunicorn preload": [*GUNICORN, "-k", "gthread", "--threads", "4", "--preload"],
    "granian": ["-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", "{port}", TARGET],
    "runserver": ["-m", "django", "runserver", "--noreload", "127.0.0.1:{port}"],
}
STOCK = "gunicorn gthread"


class Served(Server):
    """One server of WSGI."""

    def __init__(self, name, folder, *, stock=False):
        preload = "1" if "preload" in name else ""
        settings = "tests.wsgi.settings"
        super().__init__(
            name, COMMANDS[name], folder, stock=stock, DJANGO_SETTINGS_MODULE=settings, BEFORE_FORK=preload
        )

    def is_up(self):
        """Tell whether it answers: gunicorn listens before it can."""
        try:
            return super().is_up() and self.fetch("/sync_view/")[0] == 200
        except OSError:
            return False

    def fetch(self, *arguments, **keywords):
        try:
            status, headers, body = super().fetch(*arguments, **keywords)
        except http.client.IncompleteRead as error:
            return "broken off", [], error.partial
        return status, sorted(each for each in headers if each != ("content-length", "0")), body


@pytest.fixture(scope="module")
def all_servers(tmp_path_factory):
    """Start every server on Onehop, and one of them on stock Django, too, at the same time."""
    servers = {}
    try:
        for name in COMMANDS:
            servers[name] = Served(name, tmp_path_factory.mktemp(name.replace(" ", "-")))
        servers["stock"] = Served(STOCK, tmp_path_factory.mktemp("stock"), stock=True)
        yield servers
    finally:
        for served in servers.values():
            served.end()


@pytest.fixture(scope="module", params=COMMANDS)
def both(request, all_servers):
    """Return a server on stock Django and one on Onehop."""
    pair = all_servers["stock"], all_servers[request.param]
    for served in pair:
        served.wait()
    return pair


@pytest.fixture
def server(both):
    return both[1]


def test_answers_equal_stock_djangos(both):
    """The same requests as in process, but for those that would end the server."""
    stock, onehop = both
    for path, extra in views.REQUESTS:
        if any(name in path for name in ("exiting", "cancel")):
            continue
        headers = {"Content-Type": extra["CONTENT_TYPE"]} if "CONTENT_TYPE" in extra else {}
        if path == "/broken_stream/":  # stock Django fails before it sends the first item
            assert b"one" in onehop.fetch(path)[2]
            continue
        answers = [each.fetch(path, extra.get("method", "GET"), extra.get("body"), headers) for each in both]
        assert answers[1] == answers[0], path
    assert stock.events[0] == "serving django.core.handlers.wsgi"
    assert onehop.events[0] == "serving onehop.wsgi_handler"
    assert onehop.name != "gunicorn preload" or onehop.events[1] == "200 OK"


def test_one_loop_serves_all_requests(server):
    """And no thread of asyncio's or of Onehop's is there but the loop's."""
    states = [server.state() for _ in range(4)]

    assert len({(state["pid"], state["loop"]) for state in states}) == 1
    ours = [name for name in states[-1]["threads"] if name.startswith(("onehop", "asyncio"))]
    assert ours == ["onehop-loop"]


def test_a_stream_ends_when_its_reader_leaves(server):
    """It is read as it comes; its generator is closed once, then the response."""
    before = len(server.events)
    client = server.ask("/endless/")
    assert client.recv(1000)
    hang_up(client)
    wait_until(lambda: "closer" in server.events[before:], "the end of the stream")

    noted = [event for event in server.events[before:] if event != "part"]
    assert noted == ["closed", "closer"]


def test_the_server_ends_in_time_while_a_view_runs(server):
    """Told to end in the middle of an async view, it does, and says nothing."""
    before = len(server.events)
    said = server.log.count("Traceback")
    client = server.ask("/slow/")
    wait_until(lambda: "entered" in server.events[before:], "the view")

    code = server.end()
    client.close()

    assert code in (0, -signal.SIGTERM)
    assert server.log.count("Traceback") == said
    assert "never retrieved" not in server.log and "destroyed but it is pending" not in server.log
