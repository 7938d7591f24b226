"""Starlette in front, with a lifespan of its own: the site is mounted in it."""

from starlette.applications import Starlette
from starlette.routing import Mount

from onehop.asgi import get_asgi_application
from tests.lifespan.site import lifespan


def mounted(application, **keywords):
    return Starlette(routes=[Mount("/site", application)], **keywords)


application = mounted(get_asgi_application(), lifespan=lambda _: lifespan())
