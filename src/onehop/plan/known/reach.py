"""
What the code of a hook reaches by name: methods and attributes of its class, and globals of its module.

Names are taken from the compiled code, and from that of every function of the same module or class that these
names lead to.
"""

from __future__ import annotations

import builtins
import functools
import hashlib
import inspect
import sys
from dataclasses import dataclass, field
from types import CodeType, FunctionType, ModuleType
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
        globals: Per module namespace, the global names used and their values; those of built-in names, too.
        functions: The functions whose code was followed, in the order they were found; the hook's is the first.
    """

    cls: type
    unreached: tuple[str, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)
    globals: list[tuple[dict[str, Any], dict[str, Any]]] = field(default_factory=list)
    functions: list[FunctionType] = field(default_factory=list)

    @classmethod
    def of(cls, owner: type, hook: str, unreached: tuple[str, ...] = ()) -> Reach:
        """Follow the code of a hook of a class, but not the names that it never gets to."""
        reach = cls(owner, unreached)
        reach._attribute(hook)
        return reach

    def digest(self) -> str | None:
        """
        Return a digest of the source of all functions.

        Returns:
            None when one of them is not what its source says, or uses a function or class that was put in the place
            of another.
        """
        digests = [source_digest(function) for function in self.functions]
        if not digests or None in digests or not self._uses_what_was_shipped():
            return None
        return hashlib.sha256(" ".join(map(str, digests)).encode()).hexdigest()[:12]

    def _uses_what_was_shipped(self) -> bool:
        """Tell whether each function and class used is of the hook's own package, of Django or of Python."""
        packages = {
            self.functions[0].__globals__["__name__"].partition(".")[0],
            "django",
            *sys.stdlib_module_names,
        }
        used = [value for _, values in self.globals for value in values.values()]
        return {_package_of(value) for value in used if isinstance(value, (FunctionType, type))} <= packages

    def _attribute(self, name: str) -> None:
        if name in self.attributes:
            return
        stored = inspect.getattr_static(self.cls, name, None)
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
        names = [name for name in _names(function.__code__) if name not in self.unreached]
        for name in names:
            if not name.startswith("__") and hasattr(self.cls, name):
                self._attribute(name)
            if name in function.__globals__:
                used[name] = value = function.__globals__[name]
                if type(value) is FunctionType and value.__globals__ is function.__globals__:
                    self._follow(value)
                elif isinstance(value, ModuleType):
                    self._module(value, names)
            elif hasattr(builtins, name):
                used[name] = getattr(builtins, name)

    def _module(self, module: ModuleType, names: list[str]) -> None:
        """Note what a function looks up in a module that it knows by name, as in ``translation.activate``."""
        self.globals.append((vars(module), {name: vars(module)[name] for name in names if name in vars(module)}))


def _package_of(value: Any) -> str | None:
    """Return the package in which a function runs, or a class was made; None for what only passes for a function."""
    if type(value) is FunctionType:  # the module's name, not the function's, which functools.wraps copies
        return str(value.__globals__["__name__"].partition(".")[0])
    return str(value.__module__.partition(".")[0]) if issubclass(type(value), type) else None


def _function_of(stored: Any) -> FunctionType | None:
    """Return the function behind a class attribute, if there is one."""
    if isinstance(stored, property):
        stored = stored.fget
    elif isinstance(stored, (cached_property, functools.cached_property)):
        stored = stored.func
    elif isinstance(stored, (staticmethod, classmethod)):
        stored = stored.__func__
    return stored if type(stored) is FunctionType else None


def _names(code: CodeType) -> list[str]:
    """Return all names that a piece of code, with the functions nested in it, looks up; in order, once each."""
    found = dict.fromkeys(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found.update(dict.fromkeys(_names(constant)))
    return list(found)
