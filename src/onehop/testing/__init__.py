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

from typing import Any

from django.test import AsyncClient, Client

from onehop.testing.exchange import Wanted, wanted_now
from onehop.testing.handlers import AsyncHopHandler, Handler, HopHandler
from onehop.testing.scopes import raw_path_of

__all__ = ["AsyncHopClient", "HopClient"]


class Driving:
    """What the two clients have in common: the handler in the place of Django's."""

    make_handler: type[Handler]

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
        super().__init__(  # type: ignore[call-arg]
            enforce_csrf_checks, raise_request_exception, headers=headers, query_params=query_params, **defaults
        )
        self.handler = self.make_handler(self, application, enforce_csrf_checks)


class HopClient(Driving, Client):
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

    make_handler = HopHandler

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


class AsyncHopClient(Driving, AsyncClient):
    """
    Django's ``AsyncClient``, driving the ASGI application in process, on the loop of the test.

    Keywords, attributes and arguments are those of ``HopClient``. A response that is still arriving is read with
    ``async for``, and left with ``await response.aclose()`` or at the end of an ``async with`` block.
    """

    make_handler = AsyncHopHandler

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
