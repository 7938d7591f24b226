"""Entries 87-91: async views under WSGI. The loop, its families and threads are shown in tests/wsgi."""

import asyncio
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from django.http import HttpResponse

from tests.wsgi import drive

REQUESTS = 5


class Upstream(BaseHTTPRequestHandler):
    """A server that keeps its connections, and says how many there were."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    connections: set = set()

    def do_GET(self):
        self.connections.add(self.client_address)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


@pytest.fixture
def upstream(monkeypatch):
    """Serve on the loopback; return the address and the connections."""
    monkeypatch.setattr(Upstream, "connections", set())
    server = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    yield "http://{}:{}".format(*server.server_address), Upstream.connections
    server.shutdown()
    server.server_close()
    thread.join(5)


def test_bug_87_a_client_that_is_kept_between_requests_works(upstream):
    """
    openverse #2663, elasticsearch-py #1303: an async client belonged to the loop of one call, which was closed then.

    A client at module level serves requests of several threads, over one connection, with ``asyncio`` locks inside.
    """
    address, connections = upstream
    client = httpx.AsyncClient(limits=httpx.Limits(max_connections=1), trust_env=False)
    lock = asyncio.Lock()

    async def view(request):
        async with lock:
            answer = await client.get(address)
            await asyncio.sleep(0)
        return HttpResponse(answer.content)

    async def close(request):
        await client.aclose()
        return HttpResponse("closed")

    application, overridden = drive.application_of(view)
    with overridden:
        calls = [drive.Call(drive.get, application) for _ in range(REQUESTS)]
        bodies = [call.wait().body for call in calls] + [drive.get(application).body for _ in range(REQUESTS)]
    application, overridden = drive.application_of(close)
    with overridden:
        drive.get(application)

    assert bodies == [b"ok"] * 2 * REQUESTS
    assert len(connections) == 1
