"""Channels in front: a websocket consumer beside the site."""

from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter

from onehop.asgi import get_asgi_application


class Echo(AsyncWebsocketConsumer):
    """Answer with what was sent, and with what the lifespan has yielded."""

    async def receive(self, text_data=None, bytes_data=None):
        await self.send(f"{text_data} {sorted(self.scope.get('state', {}))}")


def routed(application):
    return ProtocolTypeRouter({"http": application, "websocket": Echo.as_asgi()})


django = get_asgi_application()
without_lifespan = routed(django)
with_lifespan = routed(django)
with_lifespan.application_mapping["lifespan"] = django
