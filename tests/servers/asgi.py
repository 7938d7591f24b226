"""What a server is told to serve; with ``WATCH=1`` it has a receiver of its own for both signals of a request."""

import asyncio
import os
from contextlib import suppress

from django.core import signals

from onehop.asgi import get_asgi_application
from tests.servers.site import note

if os.environ["WATCH"]:
    signals.request_started.connect(lambda **_: note("started"), weak=False)
    signals.request_finished.connect(lambda **_: note("finished"), weak=False)

application = get_asgi_application()
note(os.getpid())
note(f"serving {type(application).__name__}")
with suppress(RuntimeError):
    asyncio.get_running_loop()
    note("imported in a running loop")
