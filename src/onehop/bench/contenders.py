"""The contenders: how each application is built, and the client that drives it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

from onehop.bench.database import SESSION_KEY
from onehop.bench.drive import AsgiClient, Client, Scope, WsgiClient, http_scope, remember

PROJECT = "onehop.bench.project"
VIEWS = ("/sync/", "/async/", "/async-io/", "/page/", "/apage/")
WSGI_VIEWS = {"wsgi": ("/page/",), "onehop-wsgi": ()}
"""The contenders that are WSGI applications, and the built-in views on which each is measured unless it is named."""


def build_stock() -> Any:
    """Build Django's own ASGI application."""
    from django.core.asgi import get_asgi_application

    return get_asgi_application()


def build_sync_only() -> Any:
    """
    Build Django's own ASGI application with the flags of Django 6.2.

    Source: Django pull request 21523 (ticket #37177): Django's subclasses of ``MiddlewareMixin`` declare
    ``async_capable = False``, ``MiddlewareMixin`` itself and other packages' subclasses do not.
    """
    import django
    from django.conf import settings
    from django.core.asgi import get_asgi_application
    from django.utils.deprecation import MiddlewareMixin
    from django.utils.module_loading import import_string

    django.setup(set_prefix=False)
    for path in settings.MIDDLEWARE:
        import_string(path)
    pending = MiddlewareMixin.__subclasses__()
    while pending:
        middleware = pending.pop()
        pending += middleware.__subclasses__()
        if middleware.__module__.partition(".")[0] == "django":
            middleware.async_capable = False
    return get_asgi_application()


def build_onehop() -> Any:
    """Build Onehop's ASGI application."""
    from onehop.asgi import get_asgi_application

    return get_asgi_application()


def build_wsgi() -> Any:
    """Build Django's own WSGI application."""
    from django.core.wsgi import get_wsgi_application

    return get_wsgi_application()


def build_onehop_wsgi() -> Any:
    """Build Onehop's WSGI application."""
    from onehop.wsgi import get_wsgi_application

    return get_wsgi_application()


CONTENDERS: dict[str, Callable[[], Any]] = {
    "stock": build_stock,
    "sync-only": build_sync_only,
    "onehop": build_onehop,
    "wsgi": build_wsgi,
    "onehop-wsgi": build_onehop_wsgi,
}


def is_built_in() -> bool:
    """Tell whether this process measures the built-in project."""
    return os.environ.get("DJANGO_SETTINGS_MODULE") == PROJECT


def scope_for(url: str) -> Scope:
    """Build the scope of a GET request that the project's settings accept. Django must be set up."""
    from django.conf import settings

    logged_in = f"csrftoken=0123456789abcdefABCDEF0123456789; sessionid={SESSION_KEY}"
    cookie = logged_in if is_built_in() else "theme=dark"
    allowed = [host.removeprefix(".") for host in settings.ALLOWED_HOSTS if host != "*"]
    host = allowed[0] if allowed else "localhost"
    scheme = "https" if settings.SECURE_SSL_REDIRECT else "http"
    return http_scope(url, host, scheme, cookie)


def client_for(contender: str, application: Any, url: str, runner: asyncio.Runner) -> Client:
    """Return the client that sends requests for ``url`` to a contender's application."""
    from django.core.signals import got_request_exception

    got_request_exception.connect(remember, dispatch_uid="onehop.bench")
    scope = scope_for(url)
    return WsgiClient(application, scope) if contender in WSGI_VIEWS else AsgiClient(application, scope, runner)


def views_of(contender: str, views: tuple[str, ...], named: bool, built_in: bool) -> tuple[str, ...]:
    """
    Return the views that a contender is measured on.

    Args:
        contender: A key of ``CONTENDERS``.
        views: All views of the run, in order.
        named: The user has named the contender.
        built_in: The run measures the built-in project.

    Returns:
        Views in the order of ``views``; may be empty.
    """
    if contender in WSGI_VIEWS and built_in and not named:
        return tuple(view for view in views if view in WSGI_VIEWS[contender])
    return views
