"""One server that is soaked: Onehop or stock Django, with a folder and a database of its own."""

import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter

from tests.process import ROOT, Server
from tests.soak import laws
from tests.soak.load import FILE

APP = "tests.soak.asgi:application"
COMMANDS = {
    "uvicorn": ["-m", "uvicorn", "--port", "{port}", "--log-level", "warning", "--no-access-log", APP],
    "daphne": ["-m", "daphne", "-v", "0", "-b", "127.0.0.1", "-p", "{port}", APP],
    "granian": [
        *("-m", "granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", "{port}"),
        *("--log-level", "warning", APP),
    ],
    "hypercorn": ["-m", "hypercorn", "--bind", "127.0.0.1:{port}", "--log-level", "warning", APP],
}
HANDLERS = {"onehop": "OnehopASGIHandler", "stock": "ASGIHandler"}
BREATH_S = 0.1
"""How long nothing is in flight at a quiet point before one looks."""
POLL_S = 0.05
STATE_S = 60
KB_PER_MB = 1024


def environment_of(folder):
    """Return the variables that the site needs to be imported; all that import it share one folder of bytecode."""
    return {
        "DJANGO_SETTINGS_MODULE": "tests.soak.settings",
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": os.environ.get("PYTHONPYCACHEPREFIX", str(folder.parent / "pycache")),
        "SOAK_FOLDER": str(folder),
        "SOAK_PLANTS": "",
    }


def make_folder(folder):
    """Make the folder that contenders copy: a database with its tables, and the file that is served."""
    folder.mkdir()
    (folder / "file.bin").write_bytes(FILE)
    command = [sys.executable, "-m", "django", "migrate", "--verbosity", "0"]
    subprocess.run(command, cwd=ROOT, env={**os.environ, **environment_of(folder)}, check=True, timeout=120)


class Contender(Server):
    """
    One server, which starts now and is used once ``wait`` has returned.

    Args:
        name: ``onehop`` or ``stock``.
        server: Which server.
        prepared: What ``make_folder`` has made.
        plants: The leaks of ``plants`` that it is to have.
        traced: Whether the interpreter traces its memory, which takes time and memory itself.
    """

    def __init__(self, name, server, prepared, *, plants=(), traced=False):
        self.folder = prepared.parent / name
        shutil.copytree(prepared, self.folder)
        self.pid = None
        super().__init__(
            *(name, COMMANDS[server], self.folder),
            stock=name == "stock",
            **environment_of(self.folder) | {"SOAK_PLANTS": ",".join(plants)},
            TMPDIR=str(self.folder),
            PYTHONWARNINGS="default::ResourceWarning,default::RuntimeWarning",
            PYTHONTRACEMALLOC="1" if traced else "",
        )

    def wait(self):
        """Wait until the server listens, and make sure that it is what it is called."""
        super().wait()
        told = self.state()
        assert told["handler"] == HANDLERS[self.name], f"{self.name} serves with {told['handler']}"
        self.pid = told["pid"]
        return self

    def connect(self):
        """Return a connection for what is asked about the process: a look at its memory may take a while."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=STATE_S)

    def state(self, query=""):
        """Return what the process says of itself, and what can be seen of it from outside."""
        told = json.loads(self.fetch(f"/state/?{query}")[2])
        if self.pid is not None:
            told |= self._seen()
        return told

    def _seen(self):
        open_files = os.listdir(f"/proc/{self.pid}/fd")
        own = [target for each in open_files if (target := self._target(each)).startswith(str(self.folder))]
        status = self._status()
        return {
            "rss_mb": status["VmRSS"] / KB_PER_MB,
            "peak_rss_mb": status["VmHWM"] / KB_PER_MB,
            "threads": status["Threads"],
            "descriptors": len(open_files),
            "files open": sum(target != str(self.log_file) for target in own),
        }

    def _target(self, descriptor):
        try:
            return os.readlink(f"/proc/{self.pid}/fd/{descriptor}")
        except FileNotFoundError:
            return ""

    def _status(self):
        with open(f"/proc/{self.pid}/status") as lines:
            pairs = (line.split()[:2] for line in lines if line.startswith(("Vm", "Threads")))
            return {name.rstrip(":"): int(value) for name, value in pairs}

    def quiet_point(self, *, census, patience_s):
        """
        Wait until the laws hold, and return the state; also if they do not.

        Stock Django breaks some laws for good: there it is waited only until nothing is in flight.
        """
        awaited = (laws.IN_FLIGHT,) if self.name == "stock" else laws.LAWS
        time.sleep(BREATH_S)
        for query in ("", "census=1") if census else ("",):
            deadline = time.monotonic() + patience_s
            while laws.broken(state := self.state(query), awaited) and time.monotonic() < deadline:
                time.sleep(POLL_S)
        return state

    def complaints(self):
        """Return what the log complains of, and how often."""
        return dict(Counter([*super().complaints(), *re.findall("ResourceWarning", self.log)]))
