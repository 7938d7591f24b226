"""What a server is told to serve; with WATCH=1 it notes every signal that is sent."""

import os

from django.core import signals
from django.dispatch import Signal

from onehop.asgi import get_asgi_application
from tests.servers.site import note


def watch(method, signal, event):
    """Note each call of a method for one signal, as an agent that wraps it for all."""
    original = getattr(Signal, method)

    def noting(self, *arguments, **keywords):
        if self is signal:
            note(event)
        return original(self, *arguments, **keywords)

    setattr(Signal, method, noting)


if os.environ.get("WATCH"):
    watch("_live_receivers", signals.request_started, "started")
    watch("send", signals.request_finished, "finished")
    watch("asend", signals.request_finished, "finished")

application = get_asgi_application()
note(f"serving {type(application).__name__}")
