"""Serve the project with uvicorn, one process for each way to run it."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

from onehop.demo.children import Children
from onehop.demo.nouns import MODULES, DemoError, Stack

START_S = 30.0
RUNNING = re.compile(r"Uvicorn running on http://127\.0\.0\.1:(\d+)")


class Servers:
    """The two servers of one stack, ready to answer. As a context it ends them.

    Attributes:
        ports: Port of each way, on the loopback address.
    """

    def __init__(self, children: Children, stack: Stack) -> None:
        self._children = children
        started = {way: self._start(stack, way) for way in MODULES}
        self._processes = [process for process, _log in started.values()]
        self.ports = {way: _port(process, log) for way, (process, log) in started.items()}

    def end(self) -> None:
        """End both servers."""
        self._children.end(*self._processes)

    def _start(self, stack: Stack, way: str) -> tuple[subprocess.Popen[bytes], Path]:
        log = self._children.folder / f"uvicorn-{stack.name}-{way}.log"
        command = [sys.executable, "-m", "uvicorn", f"{MODULES[way]}:application", "--host", "127.0.0.1"]
        # Port 0: the system picks a free one and uvicorn logs which; nobody can take it in between.
        options = [
            "--port",
            "0",
            "--no-access-log",
            "--no-use-colors",
            "--loop",
            "asyncio",
            "--http",
            "httptools",
        ]
        with log.open("wb") as output:
            process = self._children.start(command + options, settings=stack.settings, log=output)
        return process, log


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    """Wait until the log says that the server is up and return its port.

    Raises:
        DemoError: The server ended, or was not up in time; the error carries the last lines of its log.
    """
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        ended = process.poll() is not None
        text = log.read_text(errors="replace")
        if found := RUNNING.search(text):
            return int(found[1])
        if ended:
            raise DemoError(
                f"uvicorn ended with exit code {process.returncode} before it was up. See the last lines of "
                f"{log.name} above.",
                text.splitlines()[-15:],
            )
        time.sleep(0.02)
    raise DemoError(
        f"uvicorn was not up after {START_S:.0f} s. See the last lines of {log.name} above.",
        log.read_text(errors="replace").splitlines()[-15:],
    )
