"""Read ``settings.ONEHOP`` into frozen options. Unknown keys, wrong types and unknown paths are errors."""

from __future__ import annotations

import difflib
import inspect
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

from django.conf import settings
from django.utils.module_loading import import_string

from onehop.errors import ConfigError

HOOKS = ("process_request", "process_view", "process_template_response", "process_response")


@dataclass(frozen=True, slots=True)
class Options:
    """
    The contents of ``settings.ONEHOP``, checked.

    Attributes:
        runs_anywhere: Dotted paths of middleware, or of one hook, that never block. May be empty.
        runs_on_thread: Dotted paths of middleware, or of one hook, that stay on the request thread. May be empty.
        thread_reuse: ``"clean"``: a request thread that is as clean as a new one serves the next request;
            ``"never"``: every request that needs a thread gets a new one, as stock Django does.
        keep_thread_locals: Dotted paths of ``threading.local`` objects whose contents may stay on a thread.
        max_request_threads: Most request threads in use at the same time; None for no limit.
        lifespan: Dotted path of a function that returns the async context manager in which requests are served.
    """

    runs_anywhere: frozenset[str] = frozenset()
    runs_on_thread: frozenset[str] = frozenset()
    thread_reuse: str = "clean"
    keep_thread_locals: frozenset[str] = frozenset()
    max_request_threads: int | None = None
    lifespan: str | None = None


def load_options() -> Options:
    """
    Read and check ``settings.ONEHOP``.

    Returns:
        The options; all defaults when the setting is missing.

    Raises:
        ConfigError: A key is unknown, a value has the wrong type, or a path is not in ``MIDDLEWARE``.
    """
    value = getattr(settings, "ONEHOP", {})
    if not isinstance(value, dict):
        raise ConfigError(f"ONEHOP is {value!r}, which is not a dictionary. Set ONEHOP = {{...}}, or remove it.")
    readers = {
        "RUNS_ANYWHERE": _paths,
        "RUNS_ON_THREAD": _paths,
        "KEEP_THREAD_LOCALS": _paths,
        "THREAD_REUSE": _thread_reuse,
        "MAX_REQUEST_THREADS": _limit,
        "LIFESPAN": _path,
    }
    for key in value:
        if key not in readers:
            raise ConfigError(
                f"ONEHOP[{key!r}] is not a setting of Onehop. {suggestion(key, readers)}"
                f"Known keys: {', '.join(sorted(readers))}."
            )
    read: dict[str, Any] = {key.lower(): readers[key](key, item) for key, item in value.items()}
    options = Options(**read)
    for key, declared in (
        ("RUNS_ANYWHERE", options.runs_anywhere),
        ("RUNS_ON_THREAD", options.runs_on_thread),
    ):
        for path in sorted(declared):
            _check_in_middleware(key, path)
    for path in sorted(options.runs_anywhere & options.runs_on_thread):
        raise ConfigError(
            f"{path!r} is in ONEHOP['RUNS_ANYWHERE'] and in ONEHOP['RUNS_ON_THREAD']. Remove it from one of them."
        )
    for path in sorted(options.keep_thread_locals):
        find_thread_local(path)
    return options


def suggestion(wrong: str, known: Iterable[str]) -> str:
    """Return ``"Did you mean 'X'? "`` for the nearest known word, or an empty string."""
    nearest = difflib.get_close_matches(str(wrong), [str(word) for word in known], n=1)
    return f"Did you mean {nearest[0]!r}? " if nearest else ""


def find_thread_local(path: str) -> threading.local:
    """
    Return the ``threading.local`` object at a path of ``ONEHOP["KEEP_THREAD_LOCALS"]``.

    Raises:
        ConfigError: There is none.
    """
    try:
        found: threading.local = import_string(path)
    except ImportError as error:
        raise ConfigError(f"{path!r} in ONEHOP['KEEP_THREAD_LOCALS'] cannot be imported: {error}.") from error
    if not issubclass(type(found), threading.local):
        raise ConfigError(
            f"{path!r} in ONEHOP['KEEP_THREAD_LOCALS'] is a {type(found).__name__}, not a threading.local. Remove it."
        )
    return found


def find_lifespan(path: str | None) -> Callable[[], Any] | None:
    """
    Return the function at the path in ``ONEHOP["LIFESPAN"]``; None when there is no path.

    Raises:
        ConfigError: There is none, or it is not one that returns an async context manager.
    """
    if path is None:
        return None
    try:
        found = import_string(path)
    except ImportError as error:
        raise ConfigError(f"{path!r} in ONEHOP['LIFESPAN'] cannot be imported: {error}.") from error
    if inspect.isasyncgenfunction(found) or inspect.iscoroutinefunction(found):
        raise ConfigError(
            f"{path!r} in ONEHOP['LIFESPAN'] is a plain async function. Decorate it with "
            "contextlib.asynccontextmanager, and let it yield once."
        )
    if not callable(found):
        raise ConfigError(
            f"{path!r} in ONEHOP['LIFESPAN'] is a {type(found).__name__}. Name a function without arguments that "
            "returns an async context manager."
        )
    return cast("Callable[[], Any]", found)


def _path(key: str, value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ConfigError(f"ONEHOP[{key!r}] is {value!r}, which is not a dotted path. Write it as a string.")
    return value


def _paths(key: str, value: Any) -> frozenset[str]:
    if isinstance(value, str) or not isinstance(value, (list, tuple, set, frozenset)):
        raise ConfigError(f"ONEHOP[{key!r}] is {value!r}. It must be a list of dotted paths.")
    for item in value:
        if not isinstance(item, str):
            raise ConfigError(f"ONEHOP[{key!r}] contains {item!r}, which is not a dotted path. Write it as a string.")
    return frozenset(value)


def _thread_reuse(key: str, value: Any) -> str:
    if value not in ("clean", "never"):
        raise ConfigError(f"ONEHOP[{key!r}] is {value!r}. Set it to 'clean' or 'never'.")
    return str(value)


def _limit(key: str, value: Any) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise ConfigError(f"ONEHOP[{key!r}] is {value!r}. Set it to a number from 1 up, or to None for no limit.")
    return value


def _check_in_middleware(key: str, path: str) -> None:
    middleware = list(settings.MIDDLEWARE)
    parent, _, last = path.rpartition(".")
    if path in middleware or (last in HOOKS and parent in middleware):
        return
    if last == "process_exception" and parent in middleware:
        raise ConfigError(
            f"{path!r} in ONEHOP[{key!r}] is a process_exception hook. Django runs these on a thread, and so does "
            "Onehop. Remove it."
        )
    raise ConfigError(f"{path!r} in ONEHOP[{key!r}] is not in MIDDLEWARE. {suggestion(path, middleware)}".rstrip())
