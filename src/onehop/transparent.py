"""Wrappers that monitoring agents put around middleware and receivers, and that may be seen through."""

from __future__ import annotations

import sys
from types import FunctionType
from typing import Any

SENTRY_FUNCTIONS = (
    "sentry_sdk.integrations.django.signals_handlers",
    "sentry_sdk.integrations.django.middleware",
)


def see_through(function: Any) -> Any:
    """
    Return the function that Sentry has wrapped in one that only makes a span; any other function as it is.

    The wrapper is recognised by the file its code comes from, not by its name, which it copies.
    """
    while type(function) is FunctionType and "__wrapped__" in function.__dict__:
        if not _is_sentrys(function):
            break
        function = vars(function)["__wrapped__"]
    return function


def _is_sentrys(function: FunctionType) -> bool:
    for name in SENTRY_FUNCTIONS:
        module = sys.modules.get(name)
        if module is not None and module.__file__ == function.__code__.co_filename:
            return True
    return False


def inner_middleware(instance: Any) -> Any:
    """
    Return the middleware that Sentry has wrapped, when its wrapper only passes calls on.

    With Sentry's option ``middleware_spans`` the wrapper makes a span around each call of the middleware, so it
    is not seen through.
    """
    module = sys.modules.get("sentry_sdk.integrations.django.middleware")
    call = getattr(type(instance), "__call__", None)  # noqa: B004  (the function itself is looked at)
    if module is None or type(call) is not FunctionType or call.__code__.co_filename != module.__file__:
        return instance
    import sentry_sdk
    from sentry_sdk.integrations.django import DjangoIntegration

    integration = sentry_sdk.get_client().get_integration(DjangoIntegration)
    if integration is not None and integration.middleware_spans:
        return instance
    return getattr(instance, "_inner", instance)
