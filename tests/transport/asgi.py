"""What an ASGI server is told to serve: the application, in a wrapper that counts messages when it is asked to."""

import os
from collections import Counter, defaultdict

from onehop.asgi import get_asgi_application
from tests.transport import site

application = get_asgi_application()
messages = defaultdict(Counter)


async def counting(scope, receive, send):
    """Count the messages sent for each path, and show them at /messages/."""

    async def counted_send(message):
        messages[scope["path"]][message["type"]] += 1
        await send(message)

    site.messages = messages
    await application(scope, receive, counted_send)


site.note(os.getpid())
site.note(f"serving {type(application).__name__}")
