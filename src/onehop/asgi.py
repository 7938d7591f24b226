"""The whole installation: ``from onehop.asgi import get_asgi_application`` in a project's ``asgi.py``."""

from __future__ import annotations

from typing import Any

import django

from onehop.fallback import is_stock_wanted

__all__ = ["get_asgi_application"]


def get_asgi_application() -> Any:
    """
    Return the ASGI application of a Django project, run with the fewest hops.

    With ``ONEHOP_DISABLE=1`` in the environment, or on a version of Django or asgiref that Onehop was not checked
    against, it is stock Django's (inside ``ONEHOP["LIFESPAN"]``, if there is one); the latter is said in a warning.

    Returns:
        An ASGI 3 callable for HTTP and lifespan.

    Raises:
        ConfigError: ``settings.ONEHOP`` or a declaration is wrong.
        Exception: What Django raises when it loads apps and middleware.

    Source: Django 5.2-6.1, ``core/asgi.py``.
    """
    django.setup(set_prefix=False)
    return make_application()


def make_application() -> Any:
    """Do the same once Django is set up."""
    if is_stock_wanted():
        from django.core.handlers.asgi import ASGIHandler

        from onehop.run.lifespan import under_lifespan

        return under_lifespan(ASGIHandler())
    from onehop.handler import OnehopASGIHandler

    return OnehopASGIHandler()
