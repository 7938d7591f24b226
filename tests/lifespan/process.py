"""One server in a process of its own, ended by its pid."""

import http.client
import os
import signal
import socket
import subprocess
import sys

from tests.servers.conftest import PATIENCE_S, ROOT, SERVERS_OWN, START_S, free_port, wait_until


class Process:
    """
    One server, which starts now and is used once ``wait`` has returned.

    Args:
        command: Arguments of the interpreter; ``{port}`` stands for the port.
        folder: Where its log and its events go.
        stock: Serve with stock Django.
        environment: Further variables.
    """

    def __init__(self, command, folder, *, stock=False, cwd=ROOT, **environment):
        self.name, self.port = f"{command[1]} in {folder.name}", free_port()
        self.events_file, self.log_file = folder / "events", folder / "log"
        self.events_file.touch()
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.lifespan.settings",
            "EVENTS": str(self.events_file),
            "ONEHOP_DISABLE": "1" if stock else "",
            "PYTHONDONTWRITEBYTECODE": "",
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

    def fetch(self, path, method="GET", body=None, headers=()):
        """Send a request; return status, headers that are not the server's own, and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body, {"Host": "localhost", **dict(headers)})
            answer = connection.getresponse()
            received = sorted((name.lower(), value) for name, value in answer.getheaders())
            return answer.status, [each for each in received if each[0] not in SERVERS_OWN], answer.read()
        finally:
            connection.close()

    def wait_for_exit(self, limit_s=PATIENCE_S):
        """Wait until the server has ended by itself; return its exit code."""
        wait_until(lambda: self.process.poll() is not None, f"the end of {self.name}", limit_s)
        return self.process.returncode

    def end(self):
        """End the server as an init system does; return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(PATIENCE_S)
        return self.process.returncode
