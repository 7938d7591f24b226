"""
Run the example on this machine: ``python examples/run.py [--port PORT] [--stock]``.

It serves the project with uvicorn in this process, and its slow upstream in a child. Ctrl-C ends both.
"""

import argparse
import os
import socket
import sys
from pathlib import Path

import uvicorn

PROJECT = Path(__file__).parent / "aggregation"
sys.path.insert(0, str(PROJECT))


class Server(uvicorn.Server):
    """A server that ends the open event streams when it is told to exit, rather than wait for their browsers."""

    def handle_exit(self, sig, frame):
        from shop.figures import figures

        figures.closing = True
        super().handle_exit(sig, frame)


def main():
    parser = argparse.ArgumentParser(description="Run the example project of Onehop on the loopback address.")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; a free one if it is not given")
    parser.add_argument("--stock", action="store_true", help="run it on stock Django, to compare the figures")
    options = parser.parse_args()
    os.environ["ONEHOP_DISABLE"] = "1" if options.stock else ""
    os.environ["DJANGO_SETTINGS_MODULE"] = "aggregation.settings"

    import upstream

    try:
        listening = socket.create_server(("127.0.0.1", options.port))
    except (OSError, OverflowError) as error:
        parser.error(f"cannot listen on port {options.port}: {error}. Give another --port, or none for a free one.")
    with listening, upstream.running() as url:
        os.environ["UPSTREAM"] = url
        config = uvicorn.Config("aggregation.asgi:application", loop="asyncio", http="httptools", log_level="warning")
        config.load()
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/live/"
        print(f"{address} on {'stock Django' if options.stock else 'Onehop'}. Ctrl-C ends it.", flush=True)
        try:
            Server(config).run(sockets=[listening])
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
