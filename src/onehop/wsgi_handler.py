"""
Django's WSGI handler, with one long-lived loop for all async code in the place of a loop for each call.

The request path: ``wsgi.py`` → ``OnehopWSGIHandler.__call__`` → Django's own ``WSGIHandler.__call__`` and middleware
chain, whose ``async_to_sync`` calls find ``run/background``; an async body goes through ``run/wsgi_stream``.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from django.core.handlers.wsgi import WSGIHandler

from onehop.conf import load_options
from onehop.run.background import background
from onehop.run.lifespan import lifespan_at
from onehop.run.wsgi_stream import Stream


class OnehopWSGIHandler(WSGIHandler):
    """Handle WSGI requests on Django's own chain, with async code on the background loop."""

    __class__ = property(attrgetter("_sender"))
    """The class that Django's code sends signals for: its own for this handler, the concrete one for a subclass."""

    def __init__(self) -> None:
        self._sender = WSGIHandler if type(self) is OnehopWSGIHandler else type(self)
        self._onehop_lifespan = lifespan_at(load_options().lifespan)
        super().__init__()

    def __call__(self, environ: Any, start_response: Any) -> Any:
        """
        Answer one request.

        Returns:
            Django's response or file wrapper; a ``Stream`` in the place of a response whose iterator is async.
        """
        former = background.enter()
        try:
            if not self._onehop_lifespan.is_empty:
                self._onehop_lifespan.prepare_on(background.asyncio_loop, environ)
            response = super().__call__(environ, start_response)
        finally:
            if former is not None:
                background.leave(former)
        return response if former is None or not getattr(response, "is_async", False) else Stream(response)
