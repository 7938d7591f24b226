"""
The guard of a known hook: is this still the code that was read, and can it block now?

It is asked before every call on the loop, so it is compiled into one function of ``is`` tests, as ``dataclasses``
compiles its methods; a loop over the same names takes three times as long.
"""

from __future__ import annotations

from dataclasses import replace
from types import FunctionType, MethodType
from typing import Any

from onehop.plan.known.harmless import REQUEST_CLASSES, RESPONSE_CLASSES, custom_request, custom_response
from onehop.plan.known.reach import Reach
from onehop.plan.known.rows import FURTHER, Row
from onehop.steps import Guard
from onehop.transparent import see_through

CHANGED = "its code has been replaced since the plan was made"

TEMPLATE = """
def guard(call, arguments):
    try:
        if type(call) is not MethodType and type(call := see_through(call)) is not MethodType:
            return CHANGED
        if not ({terms}):
            return CHANGED
        {blocks}
    except Exception as error:
        return f"its guard failed: {{error!r}}"
"""


def make_guard(row: Row, middleware: Any) -> Guard:
    """
    Make the guard of a known hook for one instance.

    Args:
        row: The row that holds for the instance's class.
        middleware: The instance.

    Returns:
        A function of the hook, as it was looked up for this call, and its arguments: why it may block now, or None.
    """
    further = (
        None if row.further is None else _compile(replace(row, blocks=row.further, unreached=()), middleware, None)
    )
    return _compile(row, middleware, further)


def _compile(row: Row, middleware: Any, further: Guard | None) -> Guard:
    reach = Reach.of(type(middleware), row.hook, row.unreached)
    values: dict[str, Any] = {"mw": middleware, "blocks": row.blocks, "further": further, "FURTHER": FURTHER}
    values |= {"REQUESTS": REQUEST_CLASSES, "custom_request": custom_request}
    values |= {"PLAIN": RESPONSE_CLASSES, "custom_response": custom_response}
    source = TEMPLATE.format(
        terms=" and ".join(_terms(reach, row.hook, values)),
        blocks=_blocks(row),
    )
    namespace = {**values, "MethodType": MethodType, "see_through": see_through, "CHANGED": CHANGED}
    exec(source, namespace)
    guard: Guard = namespace["guard"]
    return guard


def _blocks(row: Row) -> str:
    """Return the statement that ends the guard: the first reason there is, or None."""
    reasons = ["(None if type(arguments[0]) in REQUESTS else custom_request(arguments[0]))"]
    if row.blocks is not None:
        reasons.append("blocks(mw, *arguments)")
    if row.response:
        reasons.append("(None if type(arguments[1]) in PLAIN else custom_response(arguments[1]))")
    if row.further is not None:
        return f"reason = {' or '.join(reasons)}; return further(call, arguments) if reason is FURTHER else reason"
    return f"return {' or '.join(reasons)}"


def _terms(reach: Reach, hook: str, values: dict[str, Any]) -> list[str]:
    """
    Return the expressions that must all be true, and add what they compare with to ``values``.

    The hook itself was looked up for this call; its helpers are looked up here, as the hook will do it.
    """

    def name_of(value: Any) -> str:
        values[f"v{len(values)}"] = value
        return f"v{len(values) - 1}"

    helpers = {name: stored for name, stored in reach.attributes.items() if name != hook}
    functions = {function: name_of(function) for function in reach.functions}
    terms = [f"call.__func__ is {functions[reach.functions[0]]}", "call.__self__ is mw"]
    terms += [f"{name}.__code__ is {name_of(function.__code__)}" for function, name in functions.items()]
    if helpers:
        cls = name_of(reach.cls)
        terms.append(f"type(mw) is {cls}")
        terms += [
            f"{cls}.{name} is {(type(stored) is FunctionType and functions.get(stored)) or name_of(stored)}"
            for name, stored in helpers.items()
            if not isinstance(stored, (staticmethod, classmethod))
        ]
        provided = {name for name, stored in helpers.items() if isinstance(stored, (FunctionType, property))}
        if provided:
            terms.append(f"{name_of(provided.isdisjoint)}(mw.__dict__)")
    for namespace, used in reach.globals:
        module = name_of(namespace)
        for name, value in used.items():
            known = functions.get(value) if type(value) is FunctionType else None
            terms.append(f"{module}[{name!r}] is {known or name_of(value)}")
    return terms
