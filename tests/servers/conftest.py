"""Real servers in processes of their own, each ended by its pid; their log is shown when a test fails."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TARGET = "tests.servers.asgi:application"
COMMANDS = {
    "uvicorn": ["uvicorn", "--port", "{port}", TARGET],
    "daphne": ["daphne", "-b", "127.0.0.1", "-p", "{port}", TARGET],
    "granian": ["granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", "{port}", TARGET],
    "hypercorn": ["hypercorn", "--bind", "127.0.0.1:{port}", TARGET],
}
PATIENCE_S = 20


def wait_until(condition, what):
    """Wait until a condition holds, with a limit."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.02)
    return found


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Served:
    """One running server."""

    def __init__(self, name, folder, *, stock=False, watch=False):
        self.name = name
        self.port = free_port()
        self.events_file, self.gate, self.log_file = folder / "events", folder / "gate", folder / "log"
        self.events_file.touch()
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.servers.settings",
            "EVENTS": str(self.events_file),
            "GATE": str(self.gate),
            "ONEHOP_DISABLE": "1" if stock else "",
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), *sys.path])),
            "PYTHONUNBUFFERED": "1",
            "WATCH": "1" if watch else "",
        }
        command = [part.format(port=self.port) for part in COMMANDS[name]]
        with open(self.log_file, "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *command], cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            wait_until(self.is_up, f"the start of {name}")
        except BaseException:
            print(self.log)
            self.end()
            raise

    @property
    def log(self):
        return self.log_file.read_text(errors="replace")

    @property
    def events(self):
        return self.events_file.read_text().split("\n")[:-1]

    def is_up(self):
        assert self.process.poll() is None, "the server has ended"
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def fetch(self, path, method="GET", body=None, headers=()):
        """Send a request; return status, headers that are not the server's own, and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            sent = {"X-Sent": "yes", "Host": "localhost", **dict(headers)}
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            servers_own = ("date", "server", "connection", "keep-alive", "transfer-encoding")
            kept = [(name.lower(), value) for name, value in answer.getheaders() if name.lower() not in servers_own]
            return answer.status, sorted(kept), answer.read()
        finally:
            connection.close()

    def ask(self, path):
        """Send a request and return the socket, with the answer still to come."""
        client = socket.create_connection(("127.0.0.1", self.port), PATIENCE_S)
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        return client

    def wait_for(self, event, count=1):
        wait_until(lambda: self.events.count(event) >= count, f"{event!r}")

    def end(self):
        """End the server; return its exit code and the seconds that took."""
        self.gate.touch()
        started = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(PATIENCE_S)
        return self.process.returncode, time.monotonic() - started


@pytest.fixture(scope="module", params=COMMANDS)
def server(request, tmp_path_factory):
    """Serve with Onehop, and note every signal."""
    served = Served(request.param, tmp_path_factory.mktemp(request.param), watch=True)
    yield served
    served.end()


@pytest.fixture(scope="module")
def stock(server, tmp_path_factory):
    """Serve with the same server, and ``ONEHOP_DISABLE=1``."""
    served = Served(server.name, tmp_path_factory.mktemp(f"stock-{server.name}"), stock=True)
    yield served
    served.end()


@pytest.fixture
def start(tmp_path):
    """Start servers that a test ends itself."""
    started = []

    def start_one(name, **keywords):
        started.append(Served(name, tmp_path, **keywords))
        return started[-1]

    yield start_one
    for served in started:
        served.end()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    if report.failed:
        for name, value in item.funcargs.items():
            if isinstance(value, Served):
                report.sections.append((f"log of {name}", value.log))
                report.sections.append((f"events of {name}", "\n".join(value.events)))
    return report
