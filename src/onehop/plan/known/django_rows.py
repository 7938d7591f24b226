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
from django.contrib.messages.storage.session import SessionStorage
from django.core.signing import TimestampSigner
from django.utils.translation.trans_real import get_languages, language_code_prefix_re

from onehop._django import setting
from onehop.plan.known.harmless import (
    MESSAGE_STORAGES,
    custom_hosts,
    custom_response,
    imported,
    large_content,
    session_store_opens_files,
    session_would_load,
    unknown_session,
)
from onehop.plan.known.rows import FURTHER, never, unless

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

SLASH_NAMES = ("should_redirect_with_slash", "get_full_path_with_slash", "response_redirect_class")
SAFE_METHODS = ("GET", "HEAD", "OPTIONS", "TRACE")
GZIP_LIMIT_BYTES = 4_096
"""Compressing this much takes about as long as a hop (measured: docs/decisions.md)."""
DIGEST_LIMIT_BYTES = 65_536
"""Hashing this much takes about as long as a hop (measured: docs/decisions.md)."""


@unless(
    SECURITY,
    "process_request",
    "builds a redirect at most",
    "ALLOWED_HOSTS is not a plain list, for redirects",
)
def security_request(middleware: Any, request: Any) -> str | None:
    return custom_hosts(request) if middleware.redirect else None


never(SECURITY, "process_response", "sets headers")


@unless(
    COMMON,
    "process_request",
    "compares the user agent and the host",
    "PREPEND_WWW is set; ALLOWED_HOSTS or DISALLOWED_USER_AGENTS is not a plain list",
    unreached=SLASH_NAMES,
)
def common_request(middleware: Any, request: Any) -> str | None:
    if setting("PREPEND_WWW"):
        return "PREPEND_WWW may resolve the URL"
    patterns = setting("DISALLOWED_USER_AGENTS")
    if type(patterns) not in (list, tuple):
        return "DISALLOWED_USER_AGENTS is not a plain list of patterns"
    for pattern in patterns:
        if type(pattern) is not re.Pattern:
            return "DISALLOWED_USER_AGENTS is not a plain list of patterns"
    return custom_hosts(request)


@unless(
    COMMON,
    "process_response",
    "measures the content",
    "status 404, where the URL may be resolved again",
    unreached=SLASH_NAMES,
)
def common_response(middleware: Any, request: Any, response: Any) -> str | None:
    if response.status_code == 404:
        return "status 404: the URL may be resolved again with a slash"
    return None


@unless(BROKEN_LINKS, "process_response", "only looks at the status", "status 404 without DEBUG: mail is sent")
def broken_links_response(middleware: Any, request: Any, response: Any) -> str | None:
    return "status 404: mail may be sent" if response.status_code == 404 and not setting("DEBUG") else None


@unless(CSRF, "process_request", "reads a cookie", "CSRF_USE_SESSIONS is set and the session is not loaded")
def csrf_request(middleware: Any, request: Any) -> str | None:
    return session_would_load(request) if setting("CSRF_USE_SESSIONS") else None


FORM_TYPES = ("multipart/form-data", "application/x-www-form-urlencoded")


def _csrf_check(middleware: Any, request: Any, *arguments: Any) -> str | None:
    """Ask the middleware's own checks, which only compare strings here, whether the failure view will run."""
    from django.middleware.csrf import RejectRequest

    if setting("CSRF_USE_SESSIONS"):
        return "the token is in the session"
    if request.method == "POST" and request.content_type in FORM_TYPES:
        return "the form is parsed"
    origins = setting("CSRF_TRUSTED_ORIGINS")
    if type(origins) not in (list, tuple) or any(type(origin) is not str for origin in origins):
        return "CSRF_TRUSTED_ORIGINS is not a plain list of strings"
    if reason := custom_hosts(request):
        return reason
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


@unless(
    CSRF,
    "process_view",
    "lets safe methods pass",
    "an unsafe method with a form body, with CSRF_USE_SESSIONS, or that will be rejected",
    unreached=(
        "_reject",
        "_origin_verified",
        "_check_referer",
        "_check_token",
        "REASON_BAD_ORIGIN",
        "RejectRequest",
    ),
    further=_csrf_check,
)
def csrf_view(middleware: Any, request: Any, callback: Any, *arguments: Any) -> str | None:
    if request.method in SAFE_METHODS or getattr(callback, "csrf_exempt", False):
        return None
    if getattr(request, "csrf_processing_done", False) or getattr(request, "_dont_enforce_csrf_checks", False):
        return None
    return FURTHER


@unless(CSRF, "process_response", "sets a cookie", "CSRF_USE_SESSIONS is set and the session is not loaded")
def csrf_response(middleware: Any, request: Any, response: Any) -> str | None:
    if request.META.get("CSRF_COOKIE_NEEDS_UPDATE") and setting("CSRF_USE_SESSIONS"):
        return session_would_load(request)
    return None


never(FRAME_OPTIONS, "process_response", "sets a header")


never(CSP, "process_request", "attaches a lazy nonce")


never(CSP, "process_response", "sets headers")


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
    f"more than {DIGEST_LIMIT_BYTES} bytes of content to hash for an ETag; If-Match or If-Unmodified-Since",
)
def conditional_get_response(middleware: Any, request: Any, response: Any) -> str | None:
    if reason := custom_response(response):
        return reason
    if request.method != "GET":
        return None
    if "HTTP_IF_MATCH" in request.META or "HTTP_IF_UNMODIFIED_SINCE" in request.META:
        return "a precondition that fails is logged"
    return None if response.has_header("ETag") else large_content(response, DIGEST_LIMIT_BYTES)


@unless(
    LOCALE,
    "process_request",
    "activates a loaded language",
    "the first request for a language: files are read",
)
def locale_request(middleware: Any, request: Any) -> str | None:
    key = _language_key(request)
    if middleware.__dict__.get(WARM, {}).get(key) is setting("LANGUAGES"):
        return None
    request.__dict__[COLD] = key
    return "the language's translations may have to be read"


@unless(LOCALE, "process_response", "sets headers", "status 404 with language prefixes: the URL is resolved again")
def locale_response(middleware: Any, request: Any, response: Any) -> str | None:
    if response.status_code == 404:
        return "status 404: the URL may be resolved with a language prefix"
    if COLD in request.__dict__:
        key = request.__dict__.pop(COLD)
        warm = middleware.__dict__.setdefault(WARM, {})
        if len(warm) >= WARM_LIMIT:
            warm.clear()
        if sum(len(part) for part in key if isinstance(part, str)) <= KEY_LIMIT:
            warm[key] = setting("LANGUAGES")
    return None


COLD = "_onehop_cold_language"
WARM = "_onehop_warm_languages"
WARM_LIMIT = 1_000
KEY_LIMIT = 500
"""Longer headers are not remembered: clients choose them, and ``WARM_LIMIT`` of them would be kept."""


def _language_key(request: Any) -> tuple[Any, ...]:
    """Return all that decides on the language: once a request with the same key is over, its files are read."""
    urlconf = getattr(request, "urlconf", setting("ROOT_URLCONF"))
    if not setting("USE_I18N"):
        return (urlconf,)  # Django looks at nothing else then
    prefix = language_code_prefix_re.match(request.path_info)
    language = prefix[1] if prefix else ""
    if language and not _may_be_supported(language.lower().partition("-")[0]):
        language = ""
    was_parsed = "COOKIES" in request.__dict__
    cookie = request.COOKIES.get(setting("LANGUAGE_COOKIE_NAME"))
    if language and not was_parsed:
        request.__dict__.pop("COOKIES", None)  # The path may be all that Django looks at.
    return (request.META.get("HTTP_ACCEPT_LANGUAGE"), cookie, language, urlconf, setting("LANGUAGE_CODE"))


def _may_be_supported(language: str) -> bool:
    """Tell whether a language, or a variant of it, is supported. In capitals it is another one, with other files."""
    variant = f"{language}-"
    return any(code == language or code.startswith(variant) for code in get_languages())


def _fetch_request(middleware: Any, request: Any) -> str | None:
    return "the cache is asked" if request.method in ("GET", "HEAD") else None


def _update_response(middleware: Any, request: Any, response: Any) -> str | None:
    return "the page is put into the cache" if getattr(request, "_cache_update_cache", False) else None


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
    if (session.modified or setting("SESSION_SAVE_EVERY_REQUEST")) and not session.is_empty():
        return "the session is saved"
    return None


never(AUTH, "process_request", "attaches a lazy user", unreached=("get_user", "auser"))


@unless(
    LOGIN_REQUIRED,
    "process_view",
    "lets public views pass",
    "a view that requires a login: the user is loaded"
    + ("" if django.VERSION >= (6, 0) else "; in Django 5.2 every view"),
)
def login_required_view(middleware: Any, request: Any, view_func: Any, *arguments: Any) -> str | None:
    if django.VERSION >= (6, 0) and not getattr(view_func, "login_required", True):
        return None
    return "the user is loaded"


@unless(
    MESSAGES,
    "process_request",
    "makes a storage object, which loads nothing",
    "MESSAGE_STORAGE or SIGNING_BACKEND is not Django's",
)
def messages_request(middleware: Any, request: Any) -> str | None:
    storage = imported(setting("MESSAGE_STORAGE"))
    if storage not in MESSAGE_STORAGES:
        return "MESSAGE_STORAGE is not Django's own"
    if storage is not SessionStorage and imported(setting("SIGNING_BACKEND")) is not TimestampSigner:
        return "SIGNING_BACKEND is not Django's own"
    return None


@unless(MESSAGES, "process_response", "has nothing to store", "messages were added or shown in this request")
def messages_response(middleware: Any, request: Any, response: Any) -> str | None:
    storage = request.__dict__.get("_messages")
    if storage is None:
        return None
    if type(storage) not in MESSAGE_STORAGES:
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

    site_id = getattr(settings, "SITE_ID", "")
    if type(site_id) in (int, str) and type(models.SITE_CACHE) is dict and site_id in models.SITE_CACHE:
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
