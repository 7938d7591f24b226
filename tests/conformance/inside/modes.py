"""
The two sides and the three modes.

Sides: ``stock`` is Django as it is, and imports nothing of Onehop; ``onehop`` is ``onehop.install()``.

Modes: in A the tests run as they are. In B every request of a sync test client goes through the async chain. In C it
goes through a scope and messages as well, as a server's do, and so does every request of an async one.
"""

from asgiref.sync import async_to_sync
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.base import BaseHandler
from django.test.client import ClientHandler
from inside import requests, wire


def enter(side, mode):
    """Put a side and a mode into this process."""
    if side == "onehop":
        import onehop

        if not onehop.install():
            raise SystemExit("onehop.install() has left stock Django in place: nothing would be shown.")
    requests.count(BaseHandler, "get_response", "sync")
    requests.count(BaseHandler, "get_response_async", "async")
    requests.count(ASGIHandler, "handle", "asgi")
    if side == "onehop":
        from onehop.chain import Chain
        from onehop.run.background import Background

        requests.count(Chain, "respond", "planned")
        requests.count(Chain, "_run", "planned")
        requests.count(Background, "enter", "background")
    if mode == "B":
        through_async_chain()
    elif mode == "C":
        wire.through_messages()


def through_async_chain():
    """Send the requests of sync test clients through the async chain."""

    def load_middleware(self, is_async=False):
        BaseHandler.load_middleware(self, is_async=True)

    def get_response(self, request):
        return async_to_sync(self.get_response_async)(request)

    ClientHandler.load_middleware, ClientHandler.get_response = load_middleware, get_response
