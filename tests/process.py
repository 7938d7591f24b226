"""Real servers in processes of their own, each ended by its pid."""

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
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[1]
PATIENCE_S, START_S = 10, 90
SERVERS_OWN = ("date", "server", "connection", "keep-alive", "transfer-encoding")
EXPECTED_TRACEBACK = re.compile(r"ValueError: of the view|DisallowedHost: ")
COMPLAINTS = re.compile(r"never retrieved|never awaited|was destroyed but it is pending|CancelledError")
RANDOM = re.compile(r"(csrftoken|expires)=[^;]+")


def wait_until(condition, what, limit_s=PATIENCE_S):
    """Wait until a condition holds, with a limit; return what it has found."""
    deadline = time.monotonic() + limit_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.02)
    return found


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def hang_up(client, abruptly=False):
    """Close a client's connection, with or without a goodbye."""
    if abruptly:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


class Server:
    """
    One server, which starts now and is used once ``wait`` has returned.

    Args:
        name: What it is called in messages.
        command: Arguments of the interpreter; ``{port}`` stands for the port.
        folder: Where its log, the file of its events, and its gate go.
        stock: Serve with stock Django.
        environment: Further variables.
    """

    def __init__(self, name, command, folder, *, stock=False, cwd=ROOT, **environment):
        self.name, self.port = name, free_port()
        self.events_file, self.gate, self.log_file = folder / "events", folder / "gate", folder / "log"
        self.events_file.touch()
        environment = {
            **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
            "EVENTS": str(self.events_file),
            "GATE": str(self.gate),
            "ONEHOP_DISABLE": "1" if stock else "",
            "PYTHONPYCACHEPREFIX": str(folder.parent / "pycache"),  # all servers of a run start from one
            "PYTHONUNBUFFERED": "1",
            **environment,
        }
        command = [part.format(port=self.port) for part in command]
        with open(self.log_file, "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *command], cwd=cwd, env=environment, stdout=log, stderr=subprocess.STDOUT
            )

    def wait(self):
        """Wait until the server listens; show its log if it does not."""
        try:
            wait_until(self.is_up, f"the start of {self.name}", START_S)
        except BaseException:
            print(self.log)
            raise
        return self

    def is_up(self):
        assert self.process.poll() is None, "the server has ended"
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    @property
    def log(self):
        return self.log_file.read_text(errors="replace")

    @property
    def events(self):
        return self.events_file.read_text().splitlines()

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)

    def fetch(self, path, method="GET", body=None, headers=(), connection=None):
        """Send a request; return status, headers that are not the server's own, and body."""
        used = connection or self.connect()
        try:
            used.request(method, path, body, {"Host": "localhost", **dict(headers)})
            answer = used.getresponse()
            received = [(name.lower(), RANDOM.sub(r"\1=…", value)) for name, value in answer.getheaders()]
            return answer.status, [each for each in received if each[0] not in SERVERS_OWN], answer.read()
        finally:
            if connection is None:
                used.close()

    def ask(self, path):
        """Send a request and return the socket, with the answer still to come."""
        client = socket.create_connection(("127.0.0.1", self.port), PATIENCE_S)
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        return client

    def state(self):
        """Return what the site says of its process."""
        return json.loads(self.fetch("/state/")[2])

    def complaints(self):
        """Return what the log tells of lost tasks, and its unexpected tracebacks."""
        self.state()
        log = self.log
        tracebacks = log.count("Traceback") - len(EXPECTED_TRACEBACK.findall(log))
        return COMPLAINTS.findall(log) + ["Traceback"] * tracebacks

    def wait_for_exit(self, limit_s=PATIENCE_S):
        """Wait until the server has ended by itself; return its exit code."""
        wait_until(lambda: self.process.poll() is not None, f"the end of {self.name}", limit_s)
        return self.process.returncode

    def end(self):
        """End the server as an init system does; return its exit code."""
        self.gate.touch()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(PATIENCE_S)
        for pid in filter(str.isdigit, self.events[:1]):  # what the site notes first: granian serves in a child
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        return self.process.returncode
