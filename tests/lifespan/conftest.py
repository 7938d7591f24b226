"""An upstream to ask, and servers that start together, each ended by its pid; their log is shown when a test fails."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.lifespan.process import Process


class Upstream(BaseHTTPRequestHandler):
    """Answer with the port of the connection: whoever keeps one connection gets the same answer each time."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = str(self.client_address[1]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="session")
def upstream():
    """Return the address of a server to ask."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def servers(request, upstream, tmp_path_factory):
    """Start all that the module has in ``SERVERS`` at the same time: command and environment by name."""
    started = {}
    try:
        for name, (command, environment) in request.module.SERVERS.items():
            if len(started) == 1:
                started[next(iter(started))].wait()  # The others find the bytecode that it has written.
            folder = tmp_path_factory.mktemp(name.replace(" ", "-"))
            started[name] = Process(command, folder, UPSTREAM=upstream, **environment)
        yield started
    finally:
        for process in started.values():
            process.end()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    if report.failed:
        for name, process in item.funcargs.get("servers", {}).items():
            if name in item.name:
                report.sections.append((f"log of {name}", process.log))
                report.sections.append((f"events of {name}", "\n".join(process.events)))
    return report
