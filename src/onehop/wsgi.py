"""The whole installation: ``from onehop.wsgi import get_wsgi_application`` in a project's ``wsgi.py``."""

from __future__ import annotations

import logging
import os
from typing import Any

import asgiref
import django
from django.core.handlers.wsgi import WSGIHandler

__all__ = ["get_wsgi_application"]

logger = logging.getLogger("onehop")


def get_wsgi_application() -> Any:
    """
    Return the WSGI application of a Django project, with one long-lived loop for its async code.

    With ``ONEHOP_DISABLE=1`` in the environment, or on a version of Django or asgiref that Onehop was not checked
    against, it is stock Django's; the latter is said in one warning.

    Returns:
        A WSGI callable.

    Raises:
        Exception: What Django raises when it loads apps and middleware.

    Source: Django 5.2-6.1, ``core/wsgi.py``.
    """
    django.setup(set_prefix=False)
    if os.environ.get("ONEHOP_DISABLE", "") not in ("", "0"):
        return WSGIHandler()
    from onehop._django import unknown_core
    from onehop.plan.known.rows import fingerprints

    if unknown := unknown_core(fingerprints()["core"]):
        logger.warning(
            "Onehop was not checked against Django %s with asgiref %s: %s changed. Stock Django serves the requests.",
            django.__version__,
            asgiref.__version__,
            ", ".join(unknown),
        )
        return WSGIHandler()
    from onehop.wsgi_handler import OnehopWSGIHandler

    return OnehopWSGIHandler()
