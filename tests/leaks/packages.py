"""
The packages that keep the current user, each with its real middleware, what it shows, and what it writes.

One that is not installed, or does not work with this Django, is left out; ``MISSING`` says why.
"""

import importlib
from typing import NamedTuple


class Package(NamedTuple):
    """A package: the module that must be there, its app if it has one, and its middleware."""

    name: str
    module: str
    app: str | None
    middleware: str


ALL = (
    Package("django-crum", "crum", None, "crum.CurrentRequestUserMiddleware"),
    Package(
        "django-currentuser",
        "django_currentuser",
        None,
        "django_currentuser.middleware.ThreadLocalUserMiddleware",
    ),
    Package(
        "django-multitenant",
        "django_multitenant",
        None,
        "django_multitenant.middlewares.MultitenantMiddleware",
    ),
    Package("django-easy-audit", "easyaudit", "easyaudit", "easyaudit.middleware.easyaudit.EasyAuditMiddleware"),
    Package(
        "django-simple-history",
        "simple_history",
        "simple_history",
        "simple_history.middleware.HistoryRequestMiddleware",
    ),
    Package("django-auditlog", "auditlog", "auditlog", "auditlog.middleware.AuditlogMiddleware"),
    Package("django-reversion", "reversion", "reversion", "reversion.middleware.RevisionMiddleware"),
)


def _why_missing(package):
    try:
        importlib.import_module(package.module)
        if package.name == "django-multitenant":
            importlib.import_module("rest_framework")  # its middleware imports a view
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


MISSING = {package.name: why for package in ALL if (why := _why_missing(package))}
PRESENT = {package.name: package for package in ALL if package.name not in MISSING}
APPS = [package.app for package in PRESENT.values() if package.app]


def middleware_of(*names):
    """Return the middleware of these packages, as far as they are there, in this order."""
    return [PRESENT[name].middleware for name in names if name in PRESENT]
