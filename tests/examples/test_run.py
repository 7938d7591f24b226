"""One command starts everything, and leaves nothing behind."""

import http.client
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.examples.conftest import EXAMPLES, PATIENCE_S, Example, environment, wait_until

needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux' /proc")


def children_of(pid):
    """Return the pids of a process' children."""
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


@needs_proc
def test_no_process_outlives_it_even_with_a_stream_open():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    started = {signal.SIGINT: Example("--port", str(port)), signal.SIGTERM: Example()}
    upstreams, viewers, ended = [], [], {}
    try:
        for running in started.values():
            upstreams += children_of(running.wait().process.pid)
            viewers.append(http.client.HTTPConnection("127.0.0.1", running.port, timeout=PATIENCE_S))
            viewers[-1].request("GET", "/live/events/")
            stream = viewers[-1].getresponse()
            assert stream.readline().startswith(b"data: ")
            viewers.append(stream)
    finally:
        for number, running in started.items():
            ended[number] = running.end(number)

    assert ended == {number: (0 if number == signal.SIGINT else -number, "") for number in started}
    assert started[signal.SIGINT].port == port
    assert len(upstreams) == len(started)
    wait_until(lambda: not any(Path("/proc", pid).exists() for pid in upstreams), "the end of the upstreams")
    for running in started.values():
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", running.port), PATIENCE_S)
    for viewer in viewers:
        viewer.close()


def test_a_port_in_use_is_said_in_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, str(EXAMPLES / "run.py"), "--port", str(port)]
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=PATIENCE_S)

    assert done.returncode == 2
    assert f"cannot listen on port {port}" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
