"""What a server is told to serve: Django's application, and beside it, not through it, what the run asks."""

import json
import os
from urllib.parse import parse_qs

from onehop.asgi import get_asgi_application
from tests.soak import ledger

ledger.begin()
django = get_asgi_application()


def tell(query):
    """Do what a query asks for, ``watch=0`` or ``1``, ``census=1``, ``grown=1``; return the state of the process."""
    if "watch" in query:
        ledger.watch(query["watch"] == ["1"])
    told = {"pid": os.getpid(), "handler": type(django).__name__, **ledger.counted()}
    if "census" in query:
        told |= ledger.census()
    if "grown" in query:
        told["grown"] = ledger.grown()
    return told


async def application(scope, receive, send):
    """Answer a request for ``/state/`` on the loop; count the others, and leave them to Django."""
    if scope.get("path") == "/state/":
        body = json.dumps(tell(parse_qs(scope["query_string"].decode()))).encode()
        headers = [(b"content-length", str(len(body)).encode()), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        return
    counts = scope["type"] == "http"
    if counts:
        ledger.count("calls begun")
    try:
        await django(scope, receive, send)
    finally:
        if counts:
            ledger.count("calls ended")


with open(os.environ["EVENTS"], "a", encoding="utf-8") as events:
    print(os.getpid(), file=events)
