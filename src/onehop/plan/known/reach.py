"""
What the code of a hook reaches by name: methods and attributes of its class, and globals of its module.

Names are taken from the compiled code, and from that of every function of the same module or class that these
names lead to.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
from dataclasses import dataclass, field
from types import CodeType, FunctionType
from typing import Any

from django.utils.functional import cached_property

from onehop._django import source_digest


@dataclass(slots=True)
class Reach:
    """
    Everything one hook's code can look up.

    Attributes:
        cls: The class the hook was looked up on.
        attributes: Class attributes by name, as they are stored: functions, properties, plain values.
        globals: Per module namespace, the global names used and their values.
        functions: The functions whose code was followed, in the order they were found; the hook's is the first.
    """

    cls: type
    attributes: dict[str, Any] = field(default_factory=dict)
    globals: list[tuple[dict[str, Any], dict[str, Any]]] = field(default_factory=list)
    functions: list[FunctionType] = field(default_factory=list)

    @classmethod
    def of(cls, owner: type, hook: str) -> Reach:
        """Follow the code of a hook of a class."""
        reach = cls(owner)
        reach._attribute(hook)
        return reach

    def digest(self) -> str | None:
        """Return a digest of the source of all functions; None when one of them is not what its source says."""
        digests = [source_digest(function) for function in self.functions]
        if not digests or None in digests:
            return None
        return hashlib.sha256(" ".join(map(str, digests)).encode()).hexdigest()[:12]

    def _attribute(self, name: str) -> None:
        if name in self.attributes:
            return
        stored = inspect.getattr_static(self.cls, name)
        self.attributes[name] = stored
        function = _function_of(stored)
        if function is not None:
            self._follow(function)

    def _follow(self, function: FunctionType) -> None:
        if function in self.functions:
            return
        self.functions.append(function)
        used: dict[str, Any] = {}
        self.globals.append((function.__globals__, used))
        for name in _names(function.__code__):
            if not name.startswith("__") and hasattr(self.cls, name):
                self._attribute(name)
            if name in function.__globals__:
                used[name] = value = function.__globals__[name]
                if isinstance(value, FunctionType) and value.__globals__ is function.__globals__:
                    self._follow(value)


def _function_of(stored: Any) -> FunctionType | None:
    """Return the function behind a class attribute, if there is one."""
    if isinstance(stored, property):
        stored = stored.fget
    elif isinstance(stored, (cached_property, functools.cached_property)):
        stored = stored.func
    elif isinstance(stored, (staticmethod, classmethod)):
        stored = stored.__func__
    return stored if isinstance(stored, FunctionType) else None


def _names(code: CodeType) -> list[str]:
    """Return all names that a piece of code, with the functions nested in it, looks up; in order, once each."""
    found = dict.fromkeys(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found.update(dict.fromkeys(_names(constant)))
    return list(found)
