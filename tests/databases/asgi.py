"""What uvicorn is told to serve."""

from onehop.asgi import get_asgi_application

application = get_asgi_application()
