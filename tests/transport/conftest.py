"""Servers of a site that tells what is left in its process. ``ONEHOP_LONG=1`` runs every test in its full size."""

import http.client
import os
import socket
import tempfile
import time

import pytest

from tests.process import PATIENCE_S, Server, wait_until

LONG = os.environ.get("ONEHOP_LONG") == "1"
GRACE_S = 5
GUNICORN = ["-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--graceful-timeout", str(GRACE_S), "{app}"]
UVICORN = ["-m", "uvicorn", "--port", "{port}", "--timeout-keep-alive", "1"]
GRANIAN = ["-m", "granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", "{port}"]
COMMANDS = {
    "uvicorn": [*UVICORN, "--timeout-graceful-shutdown", str(GRACE_S), "{app}"],
    "daphne": ["-m", "daphne", "-b", "127.0.0.1", "-p", "{port}", "{app}"],
    "granian": [*GRANIAN, "--workers-kill-timeout", str(GRACE_S), "{app}"],
    "hypercorn": ["-m", "hypercorn", "--bind", "127.0.0.1:{port}", "{app}"],
    "gunicorn sync": [*GUNICORN, "-k", "sync"],
    "gunicorn gthread": [*GUNICORN, "-k", "gthread", "--threads", "8"],
}


class Served(Server):
    """
    One server, which starts now and is used once ``wait`` has returned.

    Args:
        name: Which server.
        folder: Where it may write.
        app: The attribute of the module asgi.py that it serves; gunicorn has an application of its own.
        stock: Whether stock Django serves.
        watch: Whether the site has receivers and closers of its own.
        size: Bytes of the file that it offers.
    """

    def __init__(self, name, folder, *, app="application", stock=False, watch=False, slow_disk=False, size=0):
        self.watch, self.file = watch, folder / "file.bin"
        with open(self.file, "wb") as file:
            file.truncate(size)
        target = "tests.transport.wsgi:application" if "gunicorn" in name else f"tests.transport.asgi:{app}"
        super().__init__(
            *(name, [part.replace("{app}", target) for part in COMMANDS[name]], folder),
            stock=stock,
            DJANGO_SETTINGS_MODULE="tests.transport.settings",
            FILE=str(self.file),
            SLOW_DISK="1" if slow_disk else "",
            WATCH="1" if watch else "",
        )

    @property
    def pid(self):
        """Return the id of the process that serves, which may be a child."""
        return int(self.events[0])

    def ask(self, path, *, method="GET", body=b"", headers="", receives=None):
        """Send a request, with at most a number of bytes to wait in the client; return the socket."""
        client = socket.socket()
        if receives is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
        client.settimeout(PATIENCE_S)
        client.connect(("127.0.0.1", self.port))
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        client.sendall(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{length}{headers}\r\n".encode() + body)
        return client

    def status(self, name):
        """Return a number of /proc/PID/status."""
        with open(f"/proc/{self.pid}/status") as lines:
            return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))

    def peak_kb(self, *, forget=False):
        """Return the largest resident size since the last peak was forgotten, in KiB."""
        if forget:
            with open(f"/proc/{self.pid}/clear_refs", "w") as file:
                file.write("5")
        return self.status("VmHWM")

    def open_files(self):
        """Return the temporary or deleted files that the process has open."""
        found = []
        for entry in os.scandir(f"/proc/{self.pid}/fd"):
            try:
                target = os.readlink(entry.path)
            except FileNotFoundError:
                continue
            if int(entry.name) > 2 and (target.endswith("(deleted)") or target.startswith(tempfile.gettempdir())):
                found.append(target)
        return found

    def wait_for(self, what, **values):
        """Wait until some values are those of the state; return it."""

        def is_reached():
            self.last = self.state()
            return all(self.last[name] == value for name, value in values.items()) and self.last

        try:
            return wait_until(is_reached, what)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.last}") from None

    def wait_until_blocked(self, since):
        """Wait until streams that have advanced since a number of items do so no more; return the new number."""
        seen = [since]

        def is_blocked():
            time.sleep(0.2)
            seen.append(self.state()["taken"])
            return seen[-1] > since and seen[-1] == seen[-2]

        wait_until(is_blocked, "the blocking of all streams")
        return seen[-1]


def answer_of(client):
    """Read the status line and headers of an answer; return it."""
    answer = http.client.HTTPResponse(client)
    answer.begin()
    return answer


@pytest.fixture(scope="module")
def serve(tmp_path_factory):
    """Return a function that starts a server; all are ended behind the last test."""
    servers = []

    def start(name, **keywords):
        servers.append(Served(name, tmp_path_factory.mktemp(name.replace(" ", "-")), **keywords))
        return servers[-1]

    yield start
    for served in servers:
        served.end()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    server = item.funcargs.get("server")
    if report.failed and server is not None:
        report.sections.append((f"end of the log of {server.name}", server.log[-5000:]))
    return report
