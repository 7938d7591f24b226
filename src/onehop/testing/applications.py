"""Find the application that a test client drives."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from onehop.asgi import make_application
from onehop.testing.watching import show_requests

_default: list[Any] = []


def default_application() -> Any:
    """
    Return the application that a client without one of its own drives: made once, and again when a setting has changed.

    Returns:
        What ``settings.ASGI_APPLICATION`` names, if that can be imported; else Onehop's application.
    """
    if not _default:
        application = _named_application()
        if application is None:
            application = make_application()
        show_requests(application)
        _default.append(application)
    return _default[0]


def _named_application() -> Any:
    path = getattr(settings, "ASGI_APPLICATION", None)
    try:
        application = import_string(path) if path else None
    except ImportError:
        return None
    if isinstance(application, ASGIHandler):
        application.load_middleware(is_async=True)  # settings.MIDDLEWARE may differ from when it was imported
    return application


def _forget_default(**_: Any) -> None:
    _default.clear()


setting_changed.connect(_forget_default)
