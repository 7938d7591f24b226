"""
Measure the floor: the straight line, one bare asgiref hop, and the driver itself.

The straight line is one request of ``/async/`` with everything Django does for it and nothing in between: no
signals, no close, no contexts, no conversions. It answers the same bytes. The driver sends its requests as it sends
all others: each as a task, as every server does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter_ns
from typing import Any

from asgiref.sync import ThreadSensitiveContext, sync_to_async

from onehop.bench.answers import Answer
from onehop.bench.contenders import is_built_in, scope_for
from onehop.bench.drive import AsgiClient
from onehop.bench.reports import FloorReport
from onehop.bench.timing import WARM_UP, ask, timed

VIEW = "/async/"


def measure_floor(block_s: float) -> FloorReport:
    """Measure the floor once. In a user's project without the straight line, which needs known hooks."""
    import django

    django.setup(set_prefix=False)
    answers: dict[str, Answer] = {}
    straight_line_us = None
    with asyncio.Runner() as runner:
        if is_built_in():
            line = AsgiClient(straight_line(), scope_for(VIEW), runner)
            answers[VIEW] = ask(line)
            straight_line_us = timed(line.sequential, WARM_UP, WARM_UP, block_s).request_us
        bare_hop = timed(lambda hops: runner.run(_time_hops(hops)), WARM_UP, WARM_UP, block_s / 2)
        driver = timed(AsgiClient(_answer_at_once, scope_for(VIEW), runner).sequential, WARM_UP, WARM_UP, block_s / 4)
    return {
        "straight_line_us": straight_line_us,
        "bare_hop_us": bare_hop.request_us,
        "driver_us": driver.request_us,
        "answers": answers,
    }


def straight_line() -> Callable[[Any, Any, Any], Awaitable[None]]:
    """
    Return an ASGI application that calls the parts of a request one after another, as plain calls.

    Right for an async view behind ``MiddlewareMixin`` layers none of which answers early, so for ``/async/``.
    """
    from django.conf import settings
    from django.core.handlers.asgi import ASGIHandler
    from django.utils.module_loading import import_string

    handler = ASGIHandler()
    layers = [import_string(path)(_never_called) for path in settings.MIDDLEWARE]
    request_hooks = [layer.process_request for layer in layers if hasattr(layer, "process_request")]
    view_hooks = [layer.process_view for layer in layers if hasattr(layer, "process_view")]
    response_hooks = [layer.process_response for layer in reversed(layers) if hasattr(layer, "process_response")]

    async def application(scope: Any, receive: Any, send: Any) -> None:
        body_file = await handler.read_body(receive)
        request = handler.request_class(scope, body_file)
        for hook in request_hooks:
            hook(request)
        view, args, kwargs = handler.resolve_request(request)
        for hook in view_hooks:
            hook(request, view, args, kwargs)
        response = await view(request, *args, **kwargs)
        for hook in response_hooks:
            response = hook(request, response)
        await handler.send_response(response, send)

    return application


def _never_called(request: Any) -> Any:
    raise AssertionError("The straight line calls hooks, not layers.")


async def _time_hops(hops: int) -> int:
    async with ThreadSensitiveContext():
        hop = sync_to_async(_nothing)
        await hop()  # the thread starts here
        started_ns = perf_counter_ns()
        for _ in range(hops):
            await hop()
        return perf_counter_ns() - started_ns


def _nothing() -> None: ...


async def _answer_at_once(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})
