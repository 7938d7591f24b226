"""
The objects that known hooks are handed: requests, responses, sessions and caches whose code was read too.

Each function returns why the object may block, or None. Classes are compared by identity. What a hook would import
at its first call counts as blocking until it is imported.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from django.contrib.messages.storage import cookie as cookie_messages
from django.contrib.messages.storage import fallback as fallback_messages
from django.contrib.messages.storage import session as session_messages
from django.contrib.sessions.backends import cache, cached_db, db, file, signed_cookies
from django.core.cache import caches
from django.core.handlers.asgi import ASGIRequest
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, response
from django.template.response import SimpleTemplateResponse, TemplateResponse

from onehop._django import is_djangos_own, setting
from onehop.declare import adds_behaviour

REQUEST_CLASSES = frozenset({HttpRequest, ASGIRequest, WSGIRequest, object})
NOT_PLAIN = "ALLOWED_HOSTS is not a plain list of strings"
GET_HOST = HttpRequest.get_host if is_djangos_own(HttpRequest.get_host) else None

RESPONSE_CLASSES = frozenset(
    {value for value in vars(response).values() if isinstance(value, type)}
    | {SimpleTemplateResponse, TemplateResponse, object}
)
RESPONSE_NAMES = frozenset({
    "__contains__", "__delitem__", "__getattr__", "__getattribute__", "__getitem__", "__setattr__", "__setitem__",
    "_container", "_csp_config", "_csp_ro_config", "_set_streaming_content", "charset", "content", "cookies",
    "delete_cookie", "get", "has_header", "headers", "is_async", "items", "make_bytes", "set_cookie", "setdefault",
    "status_code", "streaming", "streaming_content", "xframe_options_exempt",
})  # fmt: skip
"""What the known hooks use of a response."""
PLAIN = (bool, int, str, bytes, type(None))

CHEAP_CACHES = {
    f"django.core.cache.backends.{name}": client
    for name, client in {
        "locmem.LocMemCache": "", "dummy.DummyCache": "", "db.DatabaseCache": "", "redis.RedisCache": "",
        "memcached.PyMemcacheCache": "pymemcache.serde", "memcached.PyLibMCCache": "pylibmc",
    }.items()
}  # fmt: skip
"""Cache backends whose ``__init__`` opens nothing, with the module it imports. FileBasedCache makes a folder."""

SESSION_STORES = {module.SessionStore: module for module in (db, cache, cached_db, file, signed_cookies)}

MESSAGE_STORAGES = (
    fallback_messages.FallbackStorage,
    cookie_messages.CookieStorage,
    session_messages.SessionStorage,
)


def imported(path: str) -> Any:
    """
    Return what a dotted path leads to, if its module is imported; None if ``import_string`` would import it.

    Source: Django 5.2-6.1, ``cached_import`` in utils/module_loading.py.
    """
    module_path, name, complete = _paths.get(path) or (*path.rpartition(".")[::2], None)
    module = sys.modules.get(module_path)
    if module is not complete or module is None:
        if module is None or getattr(module.__spec__, "_initializing", False):
            return None
        _paths[path] = module_path, name, module
    return vars(module).get(name)


_paths: dict[str, tuple[str, str, ModuleType | None]] = {}
"""Per dotted path: module, name in it, and the module object once it was there and complete."""


def custom_request(request: Any) -> str | None:
    """Say that a request may do more than Django's."""
    cls = type(request)
    if cls in REQUEST_CLASSES:
        return None
    if any(adds_behaviour(klass) for klass in cls.__mro__ if klass not in REQUEST_CLASSES):
        return f"{cls.__name__} is a request class of one's own"
    return None


def custom_hosts(request: Any) -> str | None:
    """Say why ``request.get_host()`` may do more than compare strings."""
    if type(request).get_host is not GET_HOST or "get_host" in request.__dict__:
        return "get_host() of the request is not Django's own"
    hosts = setting("ALLOWED_HOSTS")
    if type(hosts) not in (list, tuple):
        return NOT_PLAIN
    for host in hosts:
        if type(host) is not str:
            return NOT_PLAIN
    return None


def custom_response(response: Any) -> str | None:
    """Say why headers or content of a response may do more than Django's."""
    cls = type(response)
    if cls in RESPONSE_CLASSES or _takes_all_from_django(cls):
        return None
    return f"{cls.__name__} overrides how content or headers work"


def _takes_all_from_django(cls: type) -> bool:
    return all(
        isinstance(vars(klass)[name], PLAIN)
        for klass in cls.__mro__
        if klass not in RESPONSE_CLASSES
        for name in RESPONSE_NAMES & vars(klass).keys()
    )


def large_content(response: Any, limit_bytes: int) -> str | None:
    """Say that a response's content is larger than a limit. The content of a streaming response is not looked at."""
    if response.streaming or len(response.content) <= limit_bytes:
        return None
    return f"the content has more than {limit_bytes} bytes"


def session_store_opens_files(store: type) -> str | None:
    """Say why making an object of a session class may block."""
    engine = SESSION_STORES.get(store)
    if engine is None:
        return "the session engine is not Django's own"
    if imported(setting("SESSION_SERIALIZER")) is None:
        return "the session serializer has to be imported"
    if engine is file and not hasattr(store, "_storage_path"):
        return "the folder for session files is checked once"
    if engine in (cache, cached_db) and not _opens_nothing(setting("SESSION_CACHE_ALIAS")):
        return "the session cache is not known to open nothing"
    return None


def unknown_session(session: Any) -> str | None:
    """Say that a session is not of one of Django's own classes."""
    return None if type(session) in SESSION_STORES else "the session is not of Django's own classes"


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


def _opens_nothing(alias: str) -> bool:
    """Tell whether making the object of a cache opens and imports nothing."""
    params = caches.settings.get(alias, {})
    backend = params.get("BACKEND", "")
    cls = imported(backend)
    if cls is None or backend not in CHEAP_CACHES or f"{cls.__module__}.{cls.__qualname__}" != backend:
        return False
    client, key_function = CHEAP_CACHES[backend], params.get("KEY_FUNCTION")
    if client and client not in sys.modules:
        return False
    return not isinstance(key_function, str) or imported(key_function) is not None
