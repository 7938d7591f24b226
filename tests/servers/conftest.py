"""Real servers in processes of their own, each ended by its pid; their log is shown when a test fails."""

import http.client
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TARGET = "tests.servers.asgi:application"
LATE = "import sys, uvicorn; uvicorn.Server(uvicorn.Config(sys.argv[2], port=int(sys.argv[1]))).run()"
COMMANDS = {
    "uvicorn": ["-m", "uvicorn", "--port", "{port}", TARGET],
    "daphne": ["-m", "daphne", "-b", "127.0.0.1", "-p", "{port}", TARGET],
    "granian": ["-m", "granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", "{port}", TARGET],
    "hypercorn": ["-m", "hypercorn", "--bind", "127.0.0.1:{port}", TARGET],
    "uvicorn that imports late": ["-c", LATE, "{port}", TARGET],
}
SERVERS = ["uvicorn", "daphne", "granian", "hypercorn"]
SERVERS_OWN = ("date", "server", "connection", "keep-alive", "transfer-encoding")
EXPECTED_TRACEBACK = re.compile(r"ValueError: of the view|DisallowedHost: ")
RANDOM = re.compile(r"(csrftoken|expires)=[^;]+")
COMPLAINTS = re.compile(r"never retrieved|never awaited|was destroyed but it is pending|CancelledError")
PATIENCE_S, START_S = 10, 30


def wait_until(condition, what, limit_s=PATIENCE_S):
    """Wait until a condition holds, with a limit."""
    deadline = time.monotonic() + limit_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.02)
    return found


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Served:
    """
    One server, which starts now and is used once ``wait`` has returned.

    With ``watch`` the site has receivers of its own for the signals of a request, and notes what they receive.
    """

    def __init__(self, name, folder, *, stock=False, watch=False):
        self.name, self.watch = name, watch
        self.port = free_port()
        self.events_file, self.gate, self.log_file = folder / "events", folder / "gate", folder / "log"
        self.events_file.touch()
        environment = {
            **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
            "DJANGO_SETTINGS_MODULE": "tests.servers.settings",
            "EVENTS": str(self.events_file),
            "GATE": str(self.gate),
            "ONEHOP_DISABLE": "1" if stock else "",
            "PYTHONPYCACHEPREFIX": str(folder.parent / "pycache"),
            "PYTHONUNBUFFERED": "1",
            "WATCH": "1" if watch else "",
        }
        command = [part.format(port=self.port) for part in COMMANDS[name]]
        with open(self.log_file, "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *command], cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT
            )

    def wait(self):
        """Wait until the server listens; show its log if it does not."""
        try:
            wait_until(self.is_up, f"the start of {self.name}", START_S)
        except BaseException:
            print(self.log)
            raise

    @property
    def log(self):
        return self.log_file.read_text(errors="replace")

    @property
    def events(self):
        return self.events_file.read_text().splitlines()

    def noted(self, *events):
        """Return those of some events that this site notes."""
        return [each for each in events if self.watch or each not in ("started", "finished")]

    def settle(self):
        """Wait until all requests so far are finished, and no sync view runs; return the number of events."""

        def settled():
            events = self.events
            views = [event.split()[1] for event in events if event.startswith("view") and " on " in event]
            opened, closed = events.count("started"), events.count("finished")
            return opened == closed and views.count("entered") == views.count("ended") and len(events)

        return wait_until(settled, "the end of all requests")

    def wait_for_events(self, since, count):
        """Wait until a number of events was noted since some number; return all there are then."""
        wait_until(lambda: len(self.events) >= since + count, f"{count} events after number {since}")
        return self.events[since:]

    def is_up(self):
        assert self.process.poll() is None, "the server has ended"
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)

    def fetch(self, path, method="GET", body=None, headers=(), connection=None):
        """Send a request; return status, headers that are not the server's own, and body."""
        used = connection or self.connect()
        try:
            used.request(method, path, body, {"X-Sent": "yes", "Host": "localhost", **dict(headers)})
            answer = used.getresponse()
            received = [(name.lower(), RANDOM.sub(r"\1=…", value)) for name, value in answer.getheaders()]
            return answer.status, [each for each in received if each[0] not in SERVERS_OWN], answer.read()
        finally:
            if connection is None:
                used.close()

    def state(self):
        """Return the numbers of hops so far, and of the threads and tasks that are there now."""
        return json.loads(self.fetch("/state/")[2])

    def ask(self, path):
        """Send a request and return the socket, with the answer still to come."""
        client = socket.create_connection(("127.0.0.1", self.port), PATIENCE_S)
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        return client

    def complaints(self):
        """Return what the log tells of lost tasks, and its unexpected tracebacks."""
        self.state()
        log = self.log
        tracebacks = log.count("Traceback") - len(EXPECTED_TRACEBACK.findall(log))
        return COMPLAINTS.findall(log) + ["Traceback"] * tracebacks

    def end(self):
        """End the server; return its exit code."""
        self.gate.touch()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(PATIENCE_S)
        for pid in filter(str.isdigit, self.events[:1]):  # granian serves in a child
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        return self.process.returncode


def hang_up(client, abruptly=False):
    """Close a client's connection, with or without a goodbye."""
    if abruptly:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


@pytest.fixture(scope="module", params=SERVERS)
def three(request, tmp_path_factory):
    """Start a server three times: on Onehop, on Onehop with receivers of the site's own, and on stock Django."""
    kinds = {"plain": {}, "watched": {"watch": True}, "stock": {"stock": True, "watch": True}}
    with ExitStack() as stack:
        servers = {}
        for kind, keywords in kinds.items():
            servers[kind] = Served(request.param, tmp_path_factory.mktemp(f"{request.param}-{kind}"), **keywords)
            stack.callback(servers[kind].end)
        for served in servers.values():
            served.wait()
        yield servers


@pytest.fixture
def plain(three):
    return three["plain"]


@pytest.fixture
def stock(three):
    return three["stock"]


@pytest.fixture(params=["plain", "watched"])
def server(request, three):
    """Onehop, without and with receivers."""
    return three[request.param]


@pytest.fixture
def short_lived(request, tmp_path):
    """Start one server, named by the test's parameter, that the test may end itself."""
    served = Served(request.param, tmp_path)
    try:
        served.wait()
        yield served
    finally:
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
