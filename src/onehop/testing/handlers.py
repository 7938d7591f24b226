"""What stands in the place of the handlers of Django's test clients."""

from __future__ import annotations

import asyncio
from typing import Any

from onehop.testing.applications import default_application
from onehop.testing.bodies import AsyncStream, Bodies, Stream, run_exchange
from onehop.testing.exchange import Exchange, wanted_now
from onehop.testing.responses import response_of
from onehop.testing.scopes import as_sent, scope_of
from onehop.testing.watching import show_requests


class Handler:
    """What the handlers of both clients have in common."""

    def __init__(self, client: Any, application: Any, enforce_csrf_checks: bool) -> None:
        self.client = client
        self.application = application
        self.enforce_csrf_checks = enforce_csrf_checks
        self._shows_requests = False

    def exchange(self, scope: dict[str, Any], body: bytes) -> Exchange:
        """Prepare a request. The first one decides which application is driven."""
        if self.application is None:
            self.application = default_application()
        elif not self._shows_requests:
            show_requests(self.application)
        self._shows_requests = True
        return Exchange(self.application, scope, body, wanted_now.get(), self.enforce_csrf_checks)

    def is_arriving(self, exchange: Exchange) -> bool:
        """Tell whether the test gets the response while it arrives: a page of an error it gets as a whole."""
        return not (exchange.over or self.client.exc_info)


class HopHandler(Handler):
    """The handler of a ``HopClient``."""

    def __call__(self, environ: dict[str, Any]) -> Any:
        """
        Send a request and return its response.

        Raises:
            RuntimeError: The calling thread runs an event loop.
            Exception: What the application raises.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            raise RuntimeError(
                "HopClient was called on an event loop. There, use AsyncHopClient and await its methods."
            )
        exchange = self.exchange(scope_of(environ, wanted_now.get().raw_path), environ["wsgi.input"].read())
        if exchange.wanted.stream:
            stream = Stream(exchange)
            stream.go_on()
            if self.is_arriving(exchange):
                return response_of(stream, arriving=True)
            exchange.hand_over = None
            while stream.go_on():
                pass
        else:
            run_exchange(exchange)
        return response_of(Bodies(exchange))


class AsyncHopHandler(Handler):
    """The handler of an ``AsyncHopClient``."""

    async def __call__(self, scope: dict[str, Any]) -> Any:
        """
        Send a request and return its response.

        Raises:
            Exception: What the application raises.
        """
        body_file = scope.pop("_body_file", None)
        body = b"" if body_file is None else body_file.read()
        exchange = self.exchange(as_sent(scope, wanted_now.get().raw_path), body)
        if exchange.wanted.stream:
            stream = AsyncStream(exchange)
            try:
                await stream.ago_on()
                if self.is_arriving(exchange):
                    return response_of(stream, arriving=True)
                exchange.hand_over = None
                while await stream.ago_on():
                    pass
            except BaseException:
                stream.cancel()
                raise
        else:
            await exchange.run()
        return response_of(Bodies(exchange))
