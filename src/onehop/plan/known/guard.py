"""
The guard of a known hook: is this still the code that was read, and can it block now?

It is asked before every call on the loop, so it is compiled, as ``dataclasses`` compiles its methods: into one
function of ``is`` tests that runs in the namespace of the hook's own module, where a global is one index away.
"""

from __future__ import annotations

import textwrap
from dataclasses import replace
from functools import cache
from types import CodeType, FunctionType, MethodType
from typing import Any

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse

from onehop.plan.known.harmless import custom_request, custom_response
from onehop.plan.known.reach import Reach
from onehop.plan.known.rows import FURTHER, Row
from onehop.steps import Guard
from onehop.transparent import see_through

CHANGED = "its code has been replaced since the plan was made"

ARGUMENTS = {
    "process_request": "_request",
    "process_view": "_request, _view, _args, _kwargs",
    "process_template_response": "_request, _response",
    "process_response": "_request, _response",
}
TEMPLATE = """
def guard(_call, {arguments}, {constants}):
    try:
        if _type(_call) is not _MethodType and _type(_call := _see_through(_call)) is not _MethodType:
            return _CHANGED
        if not ({terms}):
            return _CHANGED
{answer}
    except _Exception as _error:
        return f"its guard failed: {{_error!r}}"
"""
NAMES_TEMPLATE = "def names({constants}): return {terms}"


def make_guard(row: Row, middleware: Any) -> Guard:
    """
    Make the guard of a known hook for one instance.

    Args:
        row: The row that holds for the instance's class.
        middleware: The instance.

    Returns:
        A function of the hook, as it was looked up for this call, and its arguments: why it may block now, or None.
    """
    further = None
    if row.further is not None:
        further = _guard(replace(row, blocks=row.further, further=None, unreached=()), middleware, None)
    return _guard(row, middleware, further)


def _guard(row: Row, middleware: Any, further: Guard | None) -> Guard:
    reach = Reach.of(type(middleware), row.hook, row.unreached)
    constants = Constants()
    constants.named.update(
        _type=type, _MethodType=MethodType, _see_through=see_through, _CHANGED=CHANGED, _Exception=Exception,
        _mw=middleware, _blocks=row.blocks, _further=further, _FURTHER=FURTHER,
        _Request=ASGIRequest, _custom_request=custom_request,
        _Response=HttpResponse, _custom_response=custom_response,
    )  # fmt: skip
    guard: Guard = constants.compiled(
        TEMPLATE,
        reach.functions[0].__globals__,
        terms=" and ".join(_terms(reach, row.hook, constants)),
        arguments=ARGUMENTS[row.hook],
        answer=_answer(row),
    )
    return guard


class Constants:
    """
    Objects that compiled code compares with. They reach it as default values of its parameters.

    Attributes:
        named: The objects by parameter name. All names begin with an underscore, and none is a global of a hook.
    """

    def __init__(self) -> None:
        self.named: dict[str, Any] = {}

    def name(self, value: Any) -> str:
        """Return the name under which an object is known, now if not before."""
        for name, known in self.named.items():
            if known is value:
                return name
        name = f"_{len(self.named)}"
        self.named[name] = value
        return name

    def compiled(self, template: str, namespace: dict[str, Any], **parts: str) -> Any:
        """Compile a template of one function, whose globals are those of a namespace."""
        constants = ", ".join(f"{name}=None" for name in self.named)
        code = _compiled(template.format(constants=constants, **parts))
        return FunctionType(code, namespace, code.co_name, tuple(self.named.values()))


@cache
def _compiled(source: str) -> CodeType:
    """Return the code of the one function in a source. Every handler that is loaded asks for the same ones."""
    module = compile(source, "<onehop guard>", "exec")
    return next(constant for constant in module.co_consts if isinstance(constant, CodeType))


def _answer(row: Row) -> str:
    """Return the statements that end the guard: they return the first reason there is, or None."""
    lines = ["if _type(_request) is not _Request and (_reason := _custom_request(_request)): return _reason"]
    if row.response:
        lines.append(
            "if _type(_response) is not _Response and (_reason := _custom_response(_response)): return _reason"
        )
    if row.blocks is not None:
        asked = f"_blocks(_mw, {ARGUMENTS[row.hook]})"
        if row.further is not None:
            lines.append(f"if (_reason := {asked}) is not _FURTHER: return _reason")
            asked = f"_further(_call, {ARGUMENTS[row.hook]})"
        lines.append(f"return {asked}")
    return textwrap.indent("\n".join(lines), " " * 8)


def _terms(reach: Reach, hook: str, constants: Constants) -> list[str]:
    """
    Return the expressions that must all be true, each once.

    The hook itself was looked up for this call; its helpers are looked up here, as the hook will do it.
    """
    name = constants.name
    terms = [f"_call.__func__ is {name(reach.functions[0])}", "_call.__self__ is _mw"]
    terms += [f"{name(function)}.__code__ is {name(function.__code__)}" for function in reach.functions]
    helpers = {attribute: stored for attribute, stored in reach.attributes.items() if attribute != hook}
    if helpers:
        cls = name(reach.cls)
        terms.append(f"_type(_mw) is {cls}")
        for attribute, stored in helpers.items():
            if isinstance(stored, classmethod):
                terms.append(f"{cls}.{attribute}.__func__ is {name(stored.__func__)}")
            else:
                terms.append(f"{cls}.{attribute} is {name(getattr(stored, '__func__', stored))}")
        provided = {attribute for attribute, stored in helpers.items() if isinstance(stored, (FunctionType, property))}
        if provided:
            terms.append(f"{name(provided.isdisjoint)}(_mw.__dict__)")
    home = reach.functions[0].__globals__
    for namespace, used in reach.globals:
        if namespace is home:
            terms += [f"{global_} is {name(value)}" for global_, value in used.items()]
        elif used:
            elsewhere = Constants()
            tests = " and ".join(f"{global_} is {elsewhere.name(value)}" for global_, value in used.items())
            terms.append(f"{name(elsewhere.compiled(NAMES_TEMPLATE, namespace, terms=tests))}()")
    return list(dict.fromkeys(terms))
