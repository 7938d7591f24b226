"""One request of a test client, and what the application sends in answer."""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from onehop.testing.watching import exchange_of_request, watching


class Wanted(NamedTuple):
    """
    What a test wants of one request.

    Attributes:
        raw_path: The path as it goes over the wire, percent-encoded; None if only the decoded one is known.
        stream: Return when the head has arrived.
        disconnect_after: Seconds after which the client hangs up; None for never.
    """

    raw_path: bytes | None = None
    stream: bool = False
    disconnect_after: float | None = None


AS_USUAL = Wanted()

wanted_now: contextvars.ContextVar[Wanted] = contextvars.ContextVar("onehop_wanted", default=AS_USUAL)
"""What the test wants of the request that it is about to send."""


class Exchange:
    """
    One request, and what the application sends in answer.

    Attributes:
        messages: What was sent while the client was there, in order.
        arrived: Bodies that nobody has read yet.
        hops: An entry for each hop that the request has made or caused.
        request: Django's request; None as long as no handler known to the client has made one.
        start: The message ``http.response.start``, once it was sent.
        complete: True once the last body was sent.
        disconnected: True once the client hung up before that.
        over: True once the application has returned.
        hand_over: Awaited with each message but the last; tells whether the client hangs up. None: messages collect.
    """

    request: Any = None
    start: Any = None
    complete = disconnected = over = False
    hand_over: Callable[[], Awaitable[bool]] | None = None
    _body_received = False

    def __init__(self, application: Any, scope: dict[str, Any], body: bytes, wanted: Wanted, csrf: bool) -> None:
        self.application = application
        self.scope = scope
        self.body = body
        self.wanted = wanted
        self.enforce_csrf_checks = csrf
        self.messages: list[dict[str, Any]] = []
        self.arrived: deque[bytes] = deque()
        self.hops: list[None] = []

    async def run(self) -> None:
        """
        Call the application, and return when it does.

        Raises:
            RuntimeError: It returned without a complete response, although the client was there.
            Exception: What the application raises.
        """
        self._ended = asyncio.Event()
        context = contextvars.copy_context()
        context.run(exchange_of_request.set, self)
        timer = None
        if self.wanted.disconnect_after is not None:
            timer = asyncio.get_running_loop().call_later(self.wanted.disconnect_after, self.hang_up)
        with watching:
            try:
                await asyncio.create_task(self._call(), context=context)
            finally:
                self.over = True
                if timer is not None:
                    timer.cancel()
        if not (self.complete or self.disconnected):
            raise RuntimeError(f"{self.application!r} returned before its response was complete.")

    async def _call(self) -> None:
        await self.application(self.scope, self.receive, self.send)

    def hang_up(self) -> None:
        """Leave, if the response is not complete. Runs on: the loop."""
        self.disconnected = self.disconnected or not self.complete
        self._ended.set()

    async def receive(self) -> dict[str, Any]:
        """Return the body at first, and the disconnect when the response is complete or the client is gone."""
        if not self._body_received:
            self._body_received = True
            return {"type": "http.request", "body": self.body, "more_body": False}
        await self._ended.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        """Take a message; once the client is gone, do nothing but let other tasks run."""
        if self.disconnected:
            await asyncio.sleep(0)
            return
        if self.complete:
            raise RuntimeError(f"{message['type']} was sent after the response was complete.")
        self.messages.append(message)
        if message["type"] == "http.response.start":
            self.start = message
        elif message["type"] == "http.response.body":
            if (body := bytes(message.get("body", b""))) and not self.has_no_body:
                self.arrived.append(body)
            if not message.get("more_body", False):
                self.complete = True
                self._ended.set()
        if self.hand_over is not None and self.start and not self.complete and await self.hand_over():
            self.hang_up()

    @property
    def is_streaming(self) -> bool:
        """Whether the application did not know the end of the body when it sent the last bytes of it."""
        bodies = [each for each in self.messages if each["type"] == "http.response.body"]
        return len(bodies) > 1 and not bodies[-1].get("body")

    @property
    def has_no_body(self) -> bool:
        """Whether a server drops what the application sends as a body (RFC 9112, section 6.3)."""
        return self.scope["method"] == "HEAD" or self.start["status"] in (204, 304)
