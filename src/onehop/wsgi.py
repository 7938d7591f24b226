"""The whole installation: ``from onehop.wsgi import get_wsgi_application`` in a project's ``wsgi.py``."""

from __future__ import annotations

from typing import Any

import django

from onehop.fallback import is_stock_wanted

__all__ = ["get_wsgi_application"]


def get_wsgi_application() -> Any:
    """
    Return the WSGI application of a Django project, with one long-lived loop for its async code.

    With ``ONEHOP_DISABLE=1`` in the environment, or on a version of Django or asgiref that Onehop was not checked
    against, it is stock Django's; the latter is said in a warning.

    Returns:
        A WSGI callable.

    Raises:
        ConfigError: ``settings.ONEHOP`` is wrong.
        Exception: What Django raises when it loads apps and middleware.

    Source: Django 5.2-6.1, ``core/wsgi.py``.
    """
    django.setup(set_prefix=False)
    if is_stock_wanted():
        from django.core.handlers.wsgi import WSGIHandler

        return WSGIHandler()
    from onehop.wsgi_handler import OnehopWSGIHandler

    return OnehopWSGIHandler()
