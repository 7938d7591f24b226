"""The whole installation: ``from onehop.asgi import get_asgi_application`` in a project's ``asgi.py``."""

from __future__ import annotations

import logging
import os
from typing import Any

import asgiref
import django
from django.core.handlers.asgi import ASGIHandler

__all__ = ["get_asgi_application"]

logger = logging.getLogger("onehop")


def get_asgi_application() -> Any:
    """
    Return the ASGI application of a Django project, run with the fewest hops.

    With ``ONEHOP_DISABLE=1`` in the environment, or on a version of Django or asgiref that Onehop was not checked
    against, it is stock Django's; the latter is said in one warning.

    Returns:
        An ASGI 3 callable for HTTP.

    Raises:
        ConfigError: ``settings.ONEHOP`` or a declaration is wrong.
        Exception: What Django raises when it loads apps and middleware.

    Source: Django 5.2-6.1, ``core/asgi.py``.
    """
    django.setup(set_prefix=False)
    if os.environ.get("ONEHOP_DISABLE", "") not in ("", "0"):
        return ASGIHandler()
    from onehop._django import unknown_core
    from onehop.plan.known.rows import fingerprints

    if unknown := unknown_core(fingerprints()["core"]):
        logger.warning(
            "Onehop was not checked against Django %s with asgiref %s: %s changed. Stock Django serves the requests.",
            django.__version__,
            asgiref.__version__,
            ", ".join(unknown),
        )
        return ASGIHandler()
    from onehop.handler import OnehopASGIHandler

    return OnehopASGIHandler()
