"""Real servers: answers equal stock Django's, one loop serves all, a reader that leaves ends its stream; exits."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.conftest import PATIENCE_S, RANDOM, SERVERS_OWN, START_S, free_port, hang_up, wait_until
from tests.wsgi import views

ROOT = Path(__file__).parents[2]
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


class Served:
    """One server, which starts now and is used once ``wait`` has returned."""

    def __init__(self, name, folder, *, stock=False):
        self.name, self.port = name, free_port()
        self.events_file, self.log_file = folder / "events", folder / "log"
        self.events_file.touch()
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.wsgi.settings",
            "EVENTS": str(self.events_file),
            "BEFORE_FORK": "1" if "preload" in name else "",
            "ONEHOP_DISABLE": "1" if stock else "",
            "PYTHONUNBUFFERED": "1",
        }
        command = [part.format(port=self.port) for part in COMMANDS[name]]
        with open(self.log_file, "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *command], cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT
            )

    def wait(self):
        """Wait until the server answers; show its log if it does not."""
        try:
            wait_until(self.answers, f"the start of {self.name}", START_S)
        except BaseException:
            print(self.log)
            raise

    def answers(self):
        assert self.process.poll() is None, "the server has ended"
        try:
            return self.fetch("/sync_view/")[0] == 200
        except OSError:
            return False

    @property
    def log(self):
        return self.log_file.read_text(errors="replace")

    @property
    def events(self):
        return self.events_file.read_text().splitlines()

    def fetch(self, path, method="GET", body=None, headers=()):
        """Send a request; return status, headers that are not the server's own, and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body, {"Host": "localhost", **dict(headers)})
            answer = connection.getresponse()
            received = [(name.lower(), RANDOM.sub(r"\1=…", value)) for name, value in answer.getheaders()]
            try:
                content = answer.read()
            except http.client.IncompleteRead as error:
                content = ("broken off after", error.partial)
            kept = [each for each in received if each[0] not in SERVERS_OWN and each != ("content-length", "0")]
            return answer.status, sorted(kept), content
        finally:
            connection.close()

    def state(self):
        return json.loads(self.fetch("/state/")[2])

    def ask(self, path):
        """Send a request and return the socket, with the answer still to come."""
        client = socket.create_connection(("127.0.0.1", self.port), PATIENCE_S)
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        return client

    def end(self):
        """End the server; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(PATIENCE_S)
        return self.process.returncode


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
            if served.process.poll() is None:
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
            assert b"one" in str(onehop.fetch(path)[2]).encode()
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
