"""
The objects that known hooks are handed: requests, responses, sessions and caches whose code was read too.

Each function returns why the object may block, or None. Classes are compared by identity.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from django.conf import settings
from django.core.cache import caches
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, response
from django.template.response import SimpleTemplateResponse, TemplateResponse
from django.utils.module_loading import import_string

RESPONSE_CLASSES = frozenset(
    {value for value in vars(response).values() if isinstance(value, type)} | {SimpleTemplateResponse, TemplateResponse}
)
RESPONSE_NAMES = (
    "__contains__", "__delitem__", "__getitem__", "__setitem__", "charset", "content", "cookies", "delete_cookie",
    "get", "has_header", "headers", "items", "setdefault", "set_cookie", "status_code", "streaming",
    "streaming_content",
)  # fmt: skip
"""What the known hooks use of a response."""

CHEAP_CACHES = frozenset(
    f"django.core.cache.backends.{name}"
    for name in (
        "locmem.LocMemCache", "dummy.DummyCache", "db.DatabaseCache", "redis.RedisCache",
        "memcached.PyMemcacheCache", "memcached.PyLibMCCache",
    )
)  # fmt: skip
"""Cache backends whose ``__init__`` opens nothing. FileBasedCache makes a folder."""

SESSION_ENGINES = tuple(f"django.contrib.sessions.backends.{name}" for name in ("db", "cache", "cached_db", "file", "signed_cookies"))


def custom_hosts(request: Any) -> str | None:
    """Say why ``request.get_host()`` may do more than compare strings."""
    if type(request) is not ASGIRequest and type(request).get_host is not HttpRequest.get_host:
        return "the request class has a get_host() of its own"
    hosts = settings.ALLOWED_HOSTS
    if type(hosts) not in (list, tuple) or any(type(host) is not str for host in hosts):
        return "ALLOWED_HOSTS is not a plain list of strings"
    return None


def custom_response(response: Any) -> str | None:
    """Say why headers or content of a response may do more than Django's."""
    cls = type(response)
    if cls in RESPONSE_CLASSES or _takes_all_from_django(cls):
        return None
    return f"{cls.__name__} overrides how content or headers work"


def _takes_all_from_django(cls: type) -> bool:
    for name in RESPONSE_NAMES:
        owner = next((klass for klass in cls.__mro__ if name in vars(klass)), None)
        if owner is not None and owner not in RESPONSE_CLASSES and name not in ("status_code", "streaming"):
            return False
    return "__getattribute__" not in {name for klass in cls.__mro__[:-1] for name in vars(klass)}


def large_content(response: Any, limit_bytes: int) -> str | None:
    """Say that a response's content is larger than a limit. The content of a streaming response is not looked at."""
    if response.streaming or len(response.content) <= limit_bytes:
        return None
    return f"the content has more than {limit_bytes} bytes"


@cache
def _session_stores() -> dict[type, str]:
    """Return Django's session classes with their engines; those that can be imported here."""
    return {import_string(f"{engine}.SessionStore"): engine.rpartition(".")[2] for engine in SESSION_ENGINES}


def session_store_opens_files(store: type) -> str | None:
    """Say why making an object of a session class may block."""
    engine = _session_stores().get(store)
    if engine is None:
        return "the session engine is not Django's own"
    if engine == "file" and not hasattr(store, "_storage_path"):
        return "the folder for session files is checked once"
    if engine in ("cache", "cached_db") and cache_class(settings.SESSION_CACHE_ALIAS) not in CHEAP_CACHES:
        return "the session cache is not known to open nothing"
    return None


def unknown_session(session: Any) -> str | None:
    """Say that a session is not of one of Django's own classes."""
    return None if type(session) in _session_stores() else "the session is not of Django's own classes"


def session_would_load(request: Any) -> str | None:
    """Say why reading the request's session may block. A session without a key is empty and loads nothing."""
    session = getattr(request, "session", None)
    if session is None:
        return None
    if reason := unknown_session(session):
        return reason
    if session.session_key is None or "_session_cache" in session.__dict__:
        return None
    return "the session is loaded"


def cache_class(alias: str) -> str:
    """Return the dotted path of a cache's class as it is imported now; an empty string if there is none."""
    backend = caches.settings.get(alias, {}).get("BACKEND", "")
    cls = import_string(backend) if backend else None
    path = f"{getattr(cls, '__module__', '')}.{getattr(cls, '__qualname__', '')}"
    return path if path == backend else ""


