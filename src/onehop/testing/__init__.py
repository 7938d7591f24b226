"""
Test clients that drive the real ASGI application in process: from the scope to the messages.

Theory of operation. Django's ``Client`` and ``AsyncClient`` stay as they are but for their handler. Ours makes of the
request what a server would make of it, calls the application in a task of its own, and makes a response of the
messages it sends. ``HopClient`` runs the application through asgiref's ``async_to_sync``: its thread-sensitive work
runs on the test's thread, inside the transaction of a ``TestCase``. A response that is still arriving holds that
call in a greenlet: ``next()`` goes on with it until the next message, and ``send`` waits meanwhile.

While a request is open, asgiref's two bridges are patched to count; a context variable tells which request hops.

Source: Django 5.2-6.1, ``ClientHandler`` and ``AsyncClientHandler`` in test/client.py; ASGI 3.0, HTTP 2.3.
"""

from __future__ import annotations

import asyncio
from typing import Any

from django.test import AsyncClient, Client

from onehop.testing.applications import default_application
from onehop.testing.bodies import AsyncStream, Bodies, Stream, run_exchange
from onehop.testing.exchange import Exchange, Wanted, wanted_now
from onehop.testing.responses import response_of
from onehop.testing.scopes import as_sent, raw_path_of, scope_of
from onehop.testing.watching import show_requests

__all__ = ["AsyncHopClient", "HopClient"]


class HopClient(Client):
    """
    Django's ``Client``, driving the ASGI application in process.

    The methods for requests take two more keywords:
        stream: True returns as soon as the head has arrived. ``response.streaming_content`` is then an iterator over
            the bodies as they arrive; ``response.close()`` or the end of a ``with`` block hangs up.
        disconnect_after: Seconds after which the client hangs up.

    Its responses have three more attributes: ``hops``, ``messages`` and ``disconnected``. ``wsgi_request`` is the
    application's ``ASGIRequest``. If the client hung up before anything was sent, their status is 499.

    Args:
        enforce_csrf_checks: As in ``Client``.
        raise_request_exception: As in ``Client``.
        application: An ASGI application. Without it, the one that ``settings.ASGI_APPLICATION`` names, or else that
            of ``onehop.asgi.get_asgi_application()``, made at the first request.
        headers: As in ``Client``.
        query_params: As in ``Client``.
        defaults: As in ``Client``.

    Runs on: a thread without an event loop; the application's thread-sensitive work runs there, too.
    """

    def __init__(
        self,
        enforce_csrf_checks: bool = False,
        raise_request_exception: bool = True,
        *,
        application: Any = None,
        headers: Any = None,
        query_params: Any = None,
        **defaults: Any,
    ) -> None:
        super().__init__(
            enforce_csrf_checks, raise_request_exception, headers=headers, query_params=query_params, **defaults
        )
        self.handler = HopHandler(self, application, enforce_csrf_checks)

    def generic(
        self,
        method: str,
        path: Any,
        *args: Any,
        stream: bool = False,
        disconnect_after: float | None = None,
        **keywords: Any,
    ) -> Any:
        """Send a request with any method. Source: Django 6.1, ``RequestFactory.generic``."""
        token = wanted_now.set(Wanted(raw_path_of(path), stream, disconnect_after))
        try:
            return super().generic(method, path, *args, **keywords)
        finally:
            wanted_now.reset(token)

    def _follow_redirect(self, response: Any, **keywords: Any) -> Any:
        response.close()
        return super()._follow_redirect(response, **keywords)


class AsyncHopClient(AsyncClient):
    """
    Django's ``AsyncClient``, driving the ASGI application in process, on the loop of the test.

    Keywords, attributes and arguments are those of ``HopClient``. A response that is still arriving is read with
    ``async for``, and left with ``await response.aclose()`` or at the end of an ``async with`` block.
    """

    def __init__(
        self,
        enforce_csrf_checks: bool = False,
        raise_request_exception: bool = True,
        *,
        application: Any = None,
        headers: Any = None,
        query_params: Any = None,
        **defaults: Any,
    ) -> None:
        super().__init__(
            enforce_csrf_checks, raise_request_exception, headers=headers, query_params=query_params, **defaults
        )
        self.handler = AsyncHopHandler(self, application, enforce_csrf_checks)

    async def generic(
        self,
        method: str,
        path: Any,
        *args: Any,
        stream: bool = False,
        disconnect_after: float | None = None,
        **keywords: Any,
    ) -> Any:
        """Send a request with any method. Source: Django 6.1, ``AsyncRequestFactory.generic``."""
        token = wanted_now.set(Wanted(raw_path_of(path), stream, disconnect_after))
        try:
            return await super().generic(method, path, *args, **keywords)
        finally:
            wanted_now.reset(token)

    async def _follow_redirect(self, response: Any, **keywords: Any) -> Any:
        await response.aclose()
        return await super()._follow_redirect(response, **keywords)


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
