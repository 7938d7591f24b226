"""The example as a user starts it: one process, ended with Ctrl-C."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
PATIENCE_S = 30


def environment():
    """Return the environment without what belongs to this project's own tests."""
    ours = ("DJANGO_SETTINGS_MODULE", "ONEHOP_DISABLE", "UPSTREAM")
    return {name: value for name, value in os.environ.items() if name not in ours} | {"PYTHONDONTWRITEBYTECODE": "1"}


def wait_until(condition, what, limit_s=PATIENCE_S):
    """Wait until a condition holds, with a limit; return what it returned."""
    deadline = time.monotonic() + limit_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.05)
    return found


class Example:
    """The example, which starts now and is used once ``wait`` has returned.

    Attributes:
        line: The line that it printed when it was ready.
        url: The address of the live page.
    """

    def __init__(self, *arguments):
        command = [sys.executable, "-W", "error", str(EXAMPLES / "run.py"), *arguments]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, env=environment(), stdout=pipe, stderr=pipe, text=True)
        self.line = ""

    def wait(self):
        """Wait until it serves; return it."""
        self.line = self.process.stdout.readline().strip()
        if not self.line:
            raise AssertionError(f"the example did not start: {self.process.communicate()[1]}")
        self.url = self.line.split()[0]
        self.port = urlsplit(self.url).port
        return self

    def get(self, path):
        """Send a request; return status, headers by name and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def figures(self):
        """Return the figures of now."""
        return json.loads(self.get("/live/figures/")[2])

    def end(self, number=signal.SIGINT):
        """Send a signal; return the exit code and what was written to stderr."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            errors = self.process.communicate(timeout=PATIENCE_S)[1]
        except subprocess.TimeoutExpired:
            self.process.kill()
            errors = self.process.communicate()[1] + "\nKilled: it did not end."
        return self.process.returncode, errors


@contextmanager
def example(*arguments):
    """Run the example while the block runs; it must end well and say nothing."""
    running = Example(*arguments)
    try:
        yield running.wait()
    finally:
        ended = running.end()
    assert ended == (0, "")


@pytest.fixture(scope="session")
def onehop():
    with example() as running:
        yield running


@pytest.fixture(scope="session")
def stock():
    with example("--stock") as running:
        yield running
