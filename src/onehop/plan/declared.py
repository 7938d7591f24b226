"""What was declared for a middleware, or for one hook of it: by setting first, then by a mark on the code."""

from __future__ import annotations

from typing import Any

from onehop.conf import Options
from onehop.declare import declared_on_class, declared_on_function, declared_on_hook


def declared_for_whole(path: str, middleware: Any, options: Options) -> str | None:
    """Return "anywhere", "thread" or None: by setting first, then on the class or factory."""
    on_itself = declared_on_class if isinstance(middleware, type) else declared_on_function
    return _in_settings(path, options) or on_itself(middleware)


def _in_settings(path: str, options: Options) -> str | None:
    """Return what the project declared at a path of a middleware or a hook."""
    if path in options.runs_on_thread:
        return "thread"
    return "anywhere" if path in options.runs_anywhere else None


def declared_for_hook(path: str, middleware: type, name: str, options: Options) -> str | None:
    """Return "anywhere", "thread" or None: by setting first, for the hook itself before for the whole."""
    return (
        _in_settings(f"{path}.{name}", options)
        or _in_settings(path, options)
        or declared_on_hook(middleware, name)
        or declared_on_class(middleware)
    )
