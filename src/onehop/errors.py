"""
What Onehop raises.

OnehopError
├── ConfigError        a mistake in ``settings.ONEHOP`` or in a declaration; also Django's ImproperlyConfigured
├── NoRequestThread    every request thread that MAX_REQUEST_THREADS allows stayed busy for too long
└── LoopLost           under WSGI: the loop that runs async code broke
"""

from __future__ import annotations

from django.core.exceptions import ImproperlyConfigured


class OnehopError(Exception):
    """Base of all errors that Onehop raises itself. Its text names the culprit, the fact and the fix."""


class ConfigError(OnehopError, ImproperlyConfigured):
    """A setting or a declaration is wrong."""


class NoRequestThread(OnehopError):
    """No request thread came free in time. The request is answered with status 503."""


class LoopLost(OnehopError):
    """The background loop broke while a request was using it. The next request starts a new one."""
