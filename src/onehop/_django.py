"""
Every private name of Django and asgiref that Onehop uses, in one place.

Each is followed by the versions it was read in. ``tests/canary`` fails when one of them changes its shape, and
``unknown_core`` tells at start-up whether the code that Onehop mirrors is one it was checked against.
"""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import inspect
import io
import os
import threading
import token
import tokenize
import weakref
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache
from types import CodeType, FunctionType
from typing import Any

import asgiref
import django
from asgiref.current_thread_executor import CurrentThreadExecutor
from asgiref.sync import (
    AsyncToSync,
    SyncToAsync,
    ThreadSensitiveContext,
    _restore_context,
    iscoroutinefunction,
)
from django.conf import settings
from django.core.handlers import asgi as django_asgi
from django.core.handlers import base as django_base
from django.core.handlers import wsgi as django_wsgi
from django.core.handlers.exception import convert_exception_to_response, response_for_exception
from django.db import connections
from django.dispatch import Signal
from django.http.response import HttpResponseBase, StreamingHttpResponse
from django.utils.connection import BaseConnectionHandler
from django.utils.deprecation import MiddlewareMixin

__all__ = [
    "AsyncToSync",
    "CurrentThreadExecutor",
    "SyncToAsync",
    "ThreadSensitiveContext",
    "convert_exception_to_response",
    "iscoroutinefunction",
    "response_for_exception",
    "run_parallel",
]

# asgiref 3.13: SyncToAsync.thread_sensitive_context (a ContextVar), .context_to_thread_executor (a
# WeakKeyDictionary), .threadlocal; AsyncToSync.executors (a Local with the attribute "current").
thread_sensitive_context: contextvars.ContextVar[ThreadSensitiveContext] = SyncToAsync.thread_sensitive_context
executors_by_context: Any = SyncToAsync.context_to_thread_executor
asgiref_thread_local = SyncToAsync.threadlocal

# asgiref 3.13: what a loop's tasks without an executor in their context use; and the executor of a waiting thread, with
# its parts _work_thread, _work_ready and _work_items. AsyncToSync.__call__ sets executors.current
# before it looks for a loop, in the attributes main_event_loop and main_event_loop_pid of the threading.local.
executors_by_loop: dict[Any, Any] = AsyncToSync.loop_thread_executors


# Django 5.2-6.1: the inner function that convert_exception_to_response returns, and through which a layer's
# instance is found again. The sync and the async form have a code object each.
def sync_probe(request: Any) -> None: ...


async def async_probe(request: Any) -> None: ...


CONVERTED: frozenset[CodeType] = frozenset(
    convert_exception_to_response(probe).__code__ for probe in (sync_probe, async_probe)
)


# Django 5.2-6.1: LazySettings keeps each setting that was read in its __dict__, which is emptied when another settings
# object is put in; LazyObject.__getattribute__ finds it there too, ten times slower.
_settings_read: dict[str, Any] = object.__getattribute__(settings, "__dict__")


def setting(name: str) -> Any:
    """Return a setting's present value."""
    try:
        return _settings_read[name]
    except KeyError:
        return getattr(settings, name)


def is_async(function: Any) -> bool:
    """Tell whether a view or hook is to be awaited, as asgiref tells it; quickly for a plain ``async def``."""
    if type(function) is FunctionType and function.__code__.co_flags & inspect.CO_COROUTINE:
        return True
    return iscoroutinefunction(function)


def is_nested() -> bool:
    """
    Tell whether asgiref already has a waiting thread for the caller's sync code (an ``async_to_sync`` above).

    ``getattr(AsyncToSync.executors, "current", None)`` says the same, for the price of an exception when there is none.
    """
    held = AsyncToSync.executors._storage._data.get(None)
    return held is not None and held.data.get("current") is not None and held.thread_id == threading.get_ident()


def forget_waiting_thread() -> None:
    """
    Undo what a cancelled hop leaves: asgiref takes the waiting thread of the other side over, which waits no more.

    Source: asgiref 3.13, ``_restore_context`` in sync.py, called at the end of ``AsyncToSync.main_wrap``.
    """
    if is_nested():
        del AsyncToSync.executors.current


def take_back(context: contextvars.Context) -> None:
    """
    Take over what the loop has set in a context, with every ``Local``, but not the waiting thread: it is this one.

    Source: asgiref 3.13, the end of ``AsyncToSync.__call__`` in sync.py.
    """
    executor = getattr(AsyncToSync.executors, "current", None)
    _restore_context(context)
    AsyncToSync.executors.current = executor


def rehome(context: contextvars.Context) -> None:
    """Make every ``asgiref.local.Local`` of a copied context visible on this thread (asgiref 3.12 and newer)."""
    _restore_context(context)


def rehomed(context: contextvars.Context, function: Callable[[], None]) -> None:
    """Call a function inside a copied context, with every ``Local`` of it visible on this thread."""
    _restore_context(context)
    function()


def raw_iterator(response: Any) -> Any:
    """Return the iterator that a streaming response was given (Django 5.2-6.1), or None."""
    return getattr(response, "_iterator", None)


def live_receivers(signal: Signal, sender: Any) -> tuple[list[Callable[..., Any]], list[Callable[..., Any]]]:
    """Return a signal's sync and async receivers for a sender, each in the order of connection (Django 5.0-6.1)."""
    receivers: tuple[list[Any], list[Any]] = signal._live_receivers(sender)
    return receivers


def all_receivers(entries: Iterable[Any]) -> list[Any]:
    """
    Return the receivers of a signal's entries, for whatever sender, sync and async; None for one that is gone
    (Django 5.0-6.1).
    """
    found = []
    for entry in entries:  # its length differs between versions
        receiver = entry[1]
        if type(receiver) is weakref.ref or type(receiver) is weakref.WeakMethod:
            receiver = receiver()
        found.append(receiver)
    return found


def opened_on_loop(handler: BaseConnectionHandler) -> Iterable[Any]:
    """
    Return the database connections, or caches, that exist in the running task (asgiref 3.13, Django 5.2-6.1).

    Servers that import the application inside their loop leave unused ``DatabaseWrapper`` objects there: loading the
    models makes them, and every request's task inherits them.

    Runs on: the loop. ``handler.all(initialized_only=True)`` returns the same twenty times slower.
    """
    storage = handler._connections._storage
    if handler.thread_critical:
        storage = getattr(storage, "cvar", None)
    held = None if storage is None else storage._data.get(None)
    return () if held is None else held.data.values()


try:
    from django.dispatch.dispatcher import _run_parallel as run_parallel  # Django 6.1: in one shared context
except ImportError:

    async def run_parallel(*coroutines: Any) -> Any:
        """Await coroutines concurrently, as ``Signal.asend`` of Django 5.2 and 6.0 does."""
        return await asyncio.gather(*coroutines)


def connection_storage() -> Any:
    """Return the ``threading.local`` that holds each thread's database connections (asgiref 3.13, Django 5.2-6.1)."""
    return connections._connections._storage


def converted_instance(handler: Any) -> Any:
    """
    Return the middleware instance inside a handler that ``load_middleware`` has wrapped.

    Agents may wrap the wrapper once more; their objects pass ``__code__`` and ``__wrapped__`` on.
    """
    while getattr(handler, "__code__", None) in CONVERTED:
        handler = handler.__wrapped__
    return handler


DJANGO_FOLDER = os.path.dirname(django.__file__) + os.sep
ASGIREF_FOLDER = os.path.dirname(asgiref.__file__) + os.sep


def is_djangos_own(function: Any) -> bool:
    """Tell whether a function's code comes from Django's own files, that is, nobody has put another in its place."""
    code = getattr(function, "__code__", None)
    return code is not None and code.co_filename.startswith(DJANGO_FOLDER)


def source_digest(function: Any) -> str | None:
    """
    Return a short digest of a function's source without comments, docstrings and layout.

    Returns:
        Twelve hexadecimal digits; None when the source is not there, or when the function's code is not what
        its source compiles to (something has replaced it).
    """
    code = getattr(function, "__code__", None)
    if not isinstance(code, CodeType):
        return None
    _, compiled = _source_file(code.co_filename)
    if compiled.get((code.co_qualname, code.co_firstlineno)) != code:
        return None
    return _digest_at(code.co_filename, code.co_firstlineno)


@cache
def _digest_at(filename: str, first_line: int) -> str:
    """Return the digest of what begins at a line of a file, as the file was when it was first read."""
    lines, _ = _source_file(filename)
    block = "".join(inspect.getblock(lines[first_line - 1 :]))
    return hashlib.sha256(_bare(block).encode()).hexdigest()[:12]


@cache
def _source_file(filename: str) -> tuple[list[str], dict[tuple[str, int], CodeType]]:
    """Return a file's lines, and the code that each of its functions compiles to."""
    try:
        with open(filename, encoding="utf-8") as file:
            text = file.read()
        pending = [compile(text, filename, "exec", dont_inherit=True)]
    except (OSError, SyntaxError, UnicodeDecodeError):
        return [], {}
    compiled = {}
    while pending:
        code = pending.pop()
        compiled[code.co_qualname, code.co_firstlineno] = code
        pending += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return text.splitlines(keepends=True), compiled


def _bare(block: str) -> str:
    """Return the words of a piece of source: no comments, no docstrings, no layout but the statements."""
    words: list[str] = []
    previous = token.NEWLINE
    for kind, text, *_ in tokenize.generate_tokens(io.StringIO(inspect.cleandoc("\n" + block)).readline):
        if kind in (token.COMMENT, token.NL, token.ENCODING, token.ENDMARKER):
            continue
        docstring = kind == token.STRING and previous in (token.NEWLINE, token.INDENT)
        if not docstring:
            words.append({token.NEWLINE: "\n", token.INDENT: "{", token.DEDENT: "}"}.get(kind, text))
        previous = kind
    return " ".join(words)


MIRRORED: dict[str, Any] = {
    "BaseHandler.load_middleware": django_base.BaseHandler.load_middleware,
    "BaseHandler.get_response_async": django_base.BaseHandler.get_response_async,
    "BaseHandler._get_response_async": django_base.BaseHandler._get_response_async,
    "BaseHandler.process_exception_by_middleware": django_base.BaseHandler.process_exception_by_middleware,
    "ASGIHandler.__call__": django_asgi.ASGIHandler.__call__,
    "ASGIHandler.handle": django_asgi.ASGIHandler.handle,
    "ASGIHandler.read_body": django_asgi.ASGIHandler.read_body,
    "ASGIHandler.send_response": django_asgi.ASGIHandler.send_response,
    "WSGIHandler.__call__": django_wsgi.WSGIHandler.__call__,
    "BaseHandler.get_response": django_base.BaseHandler.get_response,
    "convert_exception_to_response": convert_exception_to_response,
    "MiddlewareMixin.__call__": MiddlewareMixin.__call__,
    "MiddlewareMixin.__acall__": MiddlewareMixin.__acall__,
    "HttpResponseBase.close": HttpResponseBase.close,
    "StreamingHttpResponse.streaming_content": StreamingHttpResponse.streaming_content.fget,
    "StreamingHttpResponse.__aiter__": StreamingHttpResponse.__aiter__,
    "Signal.asend": Signal.asend,
    "SyncToAsync.__call__": SyncToAsync.__call__,
    "SyncToAsync.thread_handler": SyncToAsync.thread_handler,
    "AsyncToSync.__call__": AsyncToSync.__call__,
    "AsyncToSync.main_wrap": AsyncToSync.main_wrap,
    "CurrentThreadExecutor.__init__": CurrentThreadExecutor.__init__,
    "CurrentThreadExecutor.run_until_future": CurrentThreadExecutor.run_until_future,
    "CurrentThreadExecutor.submit": CurrentThreadExecutor.submit,
    "ThreadSensitiveContext.__aenter__": ThreadSensitiveContext.__aenter__,
    "ThreadSensitiveContext.__aexit__": ThreadSensitiveContext.__aexit__,
}
"""What the walk and the lifecycle do in Django's stead, or rely on in detail."""


def unknown_core(digests: Mapping[str, Collection[str]]) -> list[str]:
    """
    Return the names of mirrored code that differ from every version Onehop was checked against.

    Only code that comes from Django's and asgiref's own files is judged: an agent that has wrapped a function
    is called as it is.

    Args:
        digests: Accepted digests by name, as in ``fingerprints.CORE``.

    Returns:
        Names in the order of ``MIRRORED``; empty when all is known.
    """
    unknown = []
    for name, function in MIRRORED.items():
        code = getattr(function, "__code__", None)
        if code is None or not code.co_filename.startswith((DJANGO_FOLDER, ASGIREF_FOLDER)):
            continue
        if source_digest(function) not in digests.get(name, ()):
            unknown.append(name)
    return unknown
