from django.core.asgi import get_asgi_application

__all__ = ["get_asgi_application"]
