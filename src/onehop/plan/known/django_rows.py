"""
Every hook of every middleware that Django 5.2, 6.0 and 6.1 ship, read in their source.

A condition reads, at call time, what the hook reads at call time. What is not listed as harmless counts as
blocking. ``RemoteUserMiddleware`` and its subclass have no row: they are async middleware, and what they await of
the ORM hops by itself.
"""

from __future__ import annotations

import re
from typing import Any

import django
from django.conf import settings
from django.utils.module_loading import import_string

from onehop.plan.known.harmless import (
    cache_class,
    custom_hosts,
    custom_response,
    large_content,
    session_store_opens_files,
    session_would_load,
    unknown_session,
)
from onehop.plan.known.rows import never, unless

SECURITY = "django.middleware.security.SecurityMiddleware"
COMMON = "django.middleware.common.CommonMiddleware"
BROKEN_LINKS = "django.middleware.common.BrokenLinkEmailsMiddleware"
CSRF = "django.middleware.csrf.CsrfViewMiddleware"
FRAME_OPTIONS = "django.middleware.clickjacking.XFrameOptionsMiddleware"
CSP = "django.middleware.csp.ContentSecurityPolicyMiddleware"
GZIP = "django.middleware.gzip.GZipMiddleware"
CONDITIONAL_GET = "django.middleware.http.ConditionalGetMiddleware"
LOCALE = "django.middleware.locale.LocaleMiddleware"
FETCH = "django.middleware.cache.FetchFromCacheMiddleware"
UPDATE = "django.middleware.cache.UpdateCacheMiddleware"
CACHE = "django.middleware.cache.CacheMiddleware"
SESSION = "django.contrib.sessions.middleware.SessionMiddleware"
AUTH = "django.contrib.auth.middleware.AuthenticationMiddleware"
LOGIN_REQUIRED = "django.contrib.auth.middleware.LoginRequiredMiddleware"
MESSAGES = "django.contrib.messages.middleware.MessageMiddleware"
CURRENT_SITE = "django.contrib.sites.middleware.CurrentSiteMiddleware"
REDIRECT_FALLBACK = "django.contrib.redirects.middleware.RedirectFallbackMiddleware"
FLATPAGE_FALLBACK = "django.contrib.flatpages.middleware.FlatpageFallbackMiddleware"
X_VIEW = "django.contrib.admindocs.middleware.XViewMiddleware"

SAFE_METHODS = ("GET", "HEAD", "OPTIONS", "TRACE")
GZIP_LIMIT_BYTES = 4_096
"""Compressing this much takes about as long as a hop (measured: docs/decisions.md)."""
DIGEST_LIMIT_BYTES = 65_536
"""Hashing this much takes about as long as a hop (measured: docs/decisions.md)."""


@unless(SECURITY, "process_request", "builds a redirect at most", "ALLOWED_HOSTS is not a plain list, for redirects")
def security_request(middleware: Any, request: Any) -> str | None:
    return custom_hosts(request) if middleware.redirect else None


@unless(SECURITY, "process_response", "sets headers", "the response class overrides how headers are set")
def security_response(middleware: Any, request: Any, response: Any) -> str | None:
    return custom_response(response)


@unless(
    COMMON,
    "process_request",
    "compares the user agent and the host",
    "PREPEND_WWW is set; ALLOWED_HOSTS is not a plain list; DISALLOWED_USER_AGENTS holds more than patterns",
)
def common_request(middleware: Any, request: Any) -> str | None:
    if settings.PREPEND_WWW:
        return "PREPEND_WWW may resolve the URL"
    if any(type(pattern) is not re.Pattern for pattern in settings.DISALLOWED_USER_AGENTS):
        return "DISALLOWED_USER_AGENTS holds more than patterns"
    return custom_hosts(request)


@unless(
    COMMON,
    "process_response",
    "measures the content",
    "status 404 with APPEND_SLASH, where the URL is resolved again; the response class overrides its content",
)
def common_response(middleware: Any, request: Any, response: Any) -> str | None:
    if response.status_code == 404 and settings.APPEND_SLASH and not request.path_info.endswith("/"):
        return "status 404: the URL is resolved again with a slash"
    return custom_response(response)


@unless(BROKEN_LINKS, "process_response", "only looks at the status", "status 404 without DEBUG: mail is sent")
def broken_links_response(middleware: Any, request: Any, response: Any) -> str | None:
    return "status 404: mail may be sent" if response.status_code == 404 and not settings.DEBUG else None


@unless(CSRF, "process_request", "reads a cookie", "CSRF_USE_SESSIONS is set and the session is not loaded")
def csrf_request(middleware: Any, request: Any) -> str | None:
    return session_would_load(request) if settings.CSRF_USE_SESSIONS else None


@unless(
    CSRF,
    "process_view",
    "lets safe methods pass",
    "an unsafe method with a form body, with CSRF_USE_SESSIONS, or that will be rejected",
)
def csrf_view(middleware: Any, request: Any, callback: Any, *arguments: Any) -> str | None:
    if getattr(request, "csrf_processing_done", False) or getattr(callback, "csrf_exempt", False):
        return None
    if request.method in SAFE_METHODS or getattr(request, "_dont_enforce_csrf_checks", False):
        return None
    if settings.CSRF_USE_SESSIONS:
        return "the token is in the session"
    if request.method == "POST" and request.content_type in FORM_TYPES:
        return "the form is parsed"
    return custom_hosts(request) or _csrf_rejection(middleware, request)


FORM_TYPES = ("multipart/form-data", "application/x-www-form-urlencoded")


def _csrf_rejection(middleware: Any, request: Any) -> str | None:
    """Ask the middleware's own checks, which only compare strings here, whether the failure view will run."""
    from django.middleware.csrf import RejectRequest

    try:
        if "HTTP_ORIGIN" in request.META:
            if not middleware._origin_verified(request):
                return "the request will be rejected"
        elif request.is_secure():
            middleware._check_referer(request)
        middleware._check_token(request)
    except RejectRequest:
        return "the request will be rejected"
    return None


@unless(CSRF, "process_response", "sets a cookie", "CSRF_USE_SESSIONS is set and the session is not loaded")
def csrf_response(middleware: Any, request: Any, response: Any) -> str | None:
    if settings.CSRF_USE_SESSIONS and request.META.get("CSRF_COOKIE_NEEDS_UPDATE"):
        return session_would_load(request)
    return custom_response(response)


@unless(FRAME_OPTIONS, "process_response", "sets a header", "the response class overrides how headers are set")
def frame_options_response(middleware: Any, request: Any, response: Any) -> str | None:
    return custom_response(response)


never(CSP, "process_request", "attaches a lazy nonce")


@unless(CSP, "process_response", "sets headers", "the response class overrides how headers are set")
def csp_response(middleware: Any, request: Any, response: Any) -> str | None:
    return custom_response(response)


@unless(
    GZIP,
    "process_response",
    "compresses small content",
    f"more than {GZIP_LIMIT_BYTES} bytes of content for a client that accepts gzip",
)
def gzip_response(middleware: Any, request: Any, response: Any) -> str | None:
    if reason := custom_response(response):
        return reason
    if "gzip" not in request.META.get("HTTP_ACCEPT_ENCODING", "") or response.has_header("Content-Encoding"):
        return None
    return large_content(response, GZIP_LIMIT_BYTES)


@unless(
    CONDITIONAL_GET,
    "process_response",
    "compares headers",
    f"more than {DIGEST_LIMIT_BYTES} bytes of content to hash for an ETag",
)
def conditional_get_response(middleware: Any, request: Any, response: Any) -> str | None:
    if reason := custom_response(response):
        return reason
    if request.method != "GET" or response.has_header("ETag"):
        return None
    return large_content(response, DIGEST_LIMIT_BYTES)


@unless(LOCALE, "process_request", "activates a loaded language", "the first request for a language: files are read")
def locale_request(middleware: Any, request: Any) -> str | None:
    if _language_key(request) in middleware.__dict__.get(WARM, ()):
        return None
    return "the language's translations may have to be read"


@unless(LOCALE, "process_response", "sets headers", "status 404 with language prefixes: the URL is resolved again")
def locale_response(middleware: Any, request: Any, response: Any) -> str | None:
    if response.status_code == 404:
        return "status 404: the URL may be resolved with a language prefix"
    if reason := custom_response(response):
        return reason
    warm = middleware.__dict__.setdefault(WARM, set())
    if len(warm) < WARM_LIMIT and hasattr(request, "LANGUAGE_CODE"):
        warm.add(_language_key(request))
    return None


WARM = "_onehop_warm_languages"
WARM_LIMIT = 1_000


def _language_key(request: Any) -> tuple[Any, ...]:
    """Return all that decides on the language: once a request with the same key is over, its files are read."""
    from django.utils.translation.trans_real import language_code_prefix_re

    prefix = language_code_prefix_re.match(request.path_info)
    language = prefix[1].lower() if prefix else ""
    known = {code.split("-")[0] for code, _ in settings.LANGUAGES}
    return (
        request.META.get("HTTP_ACCEPT_LANGUAGE"),
        request.COOKIES.get(settings.LANGUAGE_COOKIE_NAME),
        language if language.split("-")[0] in known else "",
        getattr(request, "urlconf", settings.ROOT_URLCONF),
        settings.LANGUAGE_CODE,
        id(settings.LANGUAGES),
    )


def _fetch_request(middleware: Any, request: Any) -> str | None:
    if request.method not in ("GET", "HEAD") or cache_class(middleware.cache_alias) in DUMMY:
        return None
    return "the cache is asked"


def _update_response(middleware: Any, request: Any, response: Any) -> str | None:
    if getattr(request, "_cache_update_cache", False) and cache_class(middleware.cache_alias) not in DUMMY:
        return "the page is put into the cache"
    return custom_response(response)


DUMMY = ("django.core.cache.backends.dummy.DummyCache",)
for _path in (FETCH, CACHE):
    unless(_path, "process_request", "skips unsafe methods", "GET and HEAD: the cache is asked")(_fetch_request)
for _path in (UPDATE, CACHE):
    unless(_path, "process_response", "skips what is not cached", "a page to put into the cache")(_update_response)


@unless(
    SESSION,
    "process_request",
    "makes a session object, which loads nothing",
    "the session engine is not Django's, or opens files",
)
def session_request(middleware: Any, request: Any) -> str | None:
    return session_store_opens_files(middleware.SessionStore)


@unless(
    SESSION,
    "process_response",
    "leaves an unmodified session alone",
    "a session to save: it was modified, or SESSION_SAVE_EVERY_REQUEST is set",
)
def session_response(middleware: Any, request: Any, response: Any) -> str | None:
    session = getattr(request, "session", None)
    if session is None:
        return None
    if reason := unknown_session(session):
        return reason
    if (session.modified or settings.SESSION_SAVE_EVERY_REQUEST) and not session.is_empty():
        return "the session is saved"
    return custom_response(response)


never(AUTH, "process_request", "attaches a lazy user")


@unless(
    LOGIN_REQUIRED,
    "process_view",
    "lets public views pass",
    "a view that requires a login: the user is loaded" + ("" if django.VERSION >= (6, 0) else "; in Django 5.2 every view"),
)
def login_required_view(middleware: Any, request: Any, view_func: Any, *arguments: Any) -> str | None:
    if django.VERSION >= (6, 0) and not getattr(view_func, "login_required", True):
        return None
    return "the user is loaded"


MESSAGE_STORAGES = tuple(
    f"django.contrib.messages.storage.{name}"
    for name in ("fallback.FallbackStorage", "cookie.CookieStorage", "session.SessionStorage")
)


@unless(MESSAGES, "process_request", "makes a storage object, which loads nothing", "MESSAGE_STORAGE is not Django's")
def messages_request(middleware: Any, request: Any) -> str | None:
    path = settings.MESSAGE_STORAGE
    storage = import_string(path)
    if path in MESSAGE_STORAGES and f"{storage.__module__}.{storage.__qualname__}" == path:
        return None
    return "MESSAGE_STORAGE is not Django's own"


@unless(MESSAGES, "process_response", "has nothing to store", "messages were added or shown in this request")
def messages_response(middleware: Any, request: Any, response: Any) -> str | None:
    storage = request.__dict__.get("_messages")
    if storage is None:
        return None
    if f"{type(storage).__module__}.{type(storage).__qualname__}" not in MESSAGE_STORAGES:
        return "the message storage is not Django's own"
    return "messages are stored" if storage.used or storage.added_new else None


@unless(
    CURRENT_SITE,
    "process_request",
    "finds the site in the process",
    "the site of SITE_ID was not asked for before; or there is no SITE_ID",
)
def current_site_request(middleware: Any, request: Any) -> str | None:
    from django.apps import apps

    if not apps.is_installed("django.contrib.sites"):
        return custom_hosts(request)
    from django.contrib.sites import models

    if getattr(settings, "SITE_ID", "") in models.SITE_CACHE:
        return None
    return "the site is read from the database"


def _fallback_response(middleware: Any, request: Any, response: Any) -> str | None:
    return "status 404: the database is asked" if response.status_code == 404 else None


for _path in (REDIRECT_FALLBACK, FLATPAGE_FALLBACK):
    unless(_path, "process_response", "only looks at the status", "status 404: the database is asked")(
        _fallback_response
    )


@unless(X_VIEW, "process_view", "only looks at the method", "HEAD: the user may be loaded")
def x_view(middleware: Any, request: Any, *arguments: Any) -> str | None:
    return "HEAD: the user may be loaded" if request.method == "HEAD" else None


