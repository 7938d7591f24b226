"""What the servers are told to serve."""

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler

from onehop.asgi import get_asgi_application

plain = get_asgi_application()
static = ASGIStaticFilesHandler(plain)
