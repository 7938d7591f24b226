"""
Three slow services in one process: ``/price/``, ``/rating/`` and ``/delivery/`` answer JSON after a while.

``python upstream.py [PORT]`` prints its address. It ends with its stdin, and so never outlives whoever started it.
"""

import asyncio
import json
import socket
import subprocess
import sys
from contextlib import contextmanager, suppress

import uvicorn

DELAYS_MS = {"price": 400, "rating": 500, "delivery": 600}


@contextmanager
def running():
    """Run the services in a process of their own while the block runs; yield their address."""
    command = [sys.executable, __file__]
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    # A session of its own: Ctrl-C in the terminal is for the parent.
    with subprocess.Popen(command, **streams, text=True, start_new_session=True) as process:
        yield process.stdout.readline().strip()


async def application(scope, receive, send):
    name = scope["path"].strip("/")
    delay_ms = DELAYS_MS[name]
    await asyncio.sleep(delay_ms / 1000)
    body = json.dumps({"service": name, "delay_ms": delay_ms}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def serve():
    server = uvicorn.Server(uvicorn.Config(application, lifespan="off", log_level="warning"))
    port = int(sys.argv[1]) if sys.argv[1:] else 0
    with socket.create_server(("127.0.0.1", port)) as listening:
        print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
        asyncio.get_running_loop().add_reader(sys.stdin, lambda: setattr(server, "should_exit", True))
        await server.serve(sockets=[listening])


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(serve())
