"""
Django's WSGI handler, with one long-lived loop for all async code in the place of a loop for each call.

The request path: ``wsgi.py`` → ``OnehopWSGIHandler.__call__`` → Django's own ``WSGIHandler.__call__`` and middleware
chain, whose ``async_to_sync`` calls find ``run/background``; an async body goes through ``run/wsgi_stream``.
"""

from __future__ import annotations

from typing import Any

from django.core.handlers.wsgi import WSGIHandler

from onehop.run.background import background
from onehop.run.wsgi_stream import Stream


class OnehopWSGIHandler(WSGIHandler):
    """Handle WSGI requests on Django's own chain, with async code on the background loop."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """The class that Django's code sends signals for: its own for this handler, the concrete one for a subclass."""
        return WSGIHandler if type(self) is OnehopWSGIHandler else type(self)

    def __call__(self, environ: Any, start_response: Any) -> Any:
        """
        Answer one request.

        Returns:
            Django's response or file wrapper; a ``Stream`` in the place of a response whose iterator is async.
        """
        former = background.enter()
        if former is None:
            return super().__call__(environ, start_response)
        try:
            response = super().__call__(environ, start_response)
        finally:
            background.leave(former)
        return Stream(response) if getattr(response, "is_async", False) else response
