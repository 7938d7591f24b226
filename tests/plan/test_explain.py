"""What ``onehop show`` says, compared with what really happens."""

import asyncio
import contextvars

import pytest
from django.core.exceptions import MiddlewareNotUsed
from django.test import override_settings

from onehop.plan.explain import explain
from onehop.steps import Mode
from tests import asgi
from tests.project.settings import DEFAULT_MIDDLEWARE
from tests.run.stacks import paths

MODULE = __name__
BOTH, DECLARED_BOTH, DECLARED_SYNC_BOTH = paths("Hooks", "DeclaredHooks", "Observes")


class Classic:
    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        return self.get_response(request)


class Declared(Classic):
    onehop_affinity = "anywhere"


class Hybrid:
    sync_capable = async_capable = True

    def __init__(self, get_response):
        from asgiref.sync import iscoroutinefunction, markcoroutinefunction

        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request):
        return self.get_response(request)


from django.utils.deprecation import MiddlewareMixin  # noqa: E402


class Unknown(MiddlewareMixin):
    def process_request(self, request):
        return None

    def process_view(self, request, callback, args, kwargs):
        return None


class SyncOnly(Unknown):
    async_capable = False


def unused(get_response):
    raise MiddlewareNotUsed


STACKS = {
    "nothing": [],
    "default": DEFAULT_MIDDLEWARE,
    "classic first": ["Classic", *DEFAULT_MIDDLEWARE],
    "classic last": [*DEFAULT_MIDDLEWARE, "Classic"],
    "declared classic": [*DEFAULT_MIDDLEWARE, "Declared"],
    "hybrid": ["Hybrid", *DEFAULT_MIDDLEWARE, "Hybrid"],
    "hybrid in classic": [*DEFAULT_MIDDLEWARE[:2], "Classic", "Hybrid", *DEFAULT_MIDDLEWARE[2:]],
    "unknown hooks": ["Unknown", *DEFAULT_MIDDLEWARE],
    "sync-only hooks": [*DEFAULT_MIDDLEWARE, "SyncOnly", "Classic"],
    "both hooks": [BOTH, DECLARED_BOTH, *DEFAULT_MIDDLEWARE],
    "both hooks outside of classic": [BOTH, DECLARED_BOTH, *DEFAULT_MIDDLEWARE, "Classic"],
    "both hooks outside of hybrid and classic": [BOTH, DECLARED_BOTH, "Hybrid", *DEFAULT_MIDDLEWARE, "Classic"],
    "both hooks outside of declared ones": ["Unknown", DECLARED_BOTH, *DEFAULT_MIDDLEWARE, BOTH, DECLARED_SYNC_BOTH],
    "declared hooks outside of declared ones": [DECLARED_BOTH, *DEFAULT_MIDDLEWARE, DECLARED_SYNC_BOTH],
}


def paths_of(stack):
    return [path if "." in path else f"{MODULE}.{path}" for path in STACKS[stack]]


def count_hops(application, path):
    """Return the hops of one request in the steady state."""

    async def run():
        await asgi.request(application, path)
        with asgi.counting() as counts:
            answer = await asyncio.create_task(asgi.request(application, path))
        assert answer.status == 200
        return counts["hops"]

    return contextvars.Context().run(asyncio.run, run())


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("stack", STACKS)
def test_hops_said_are_hops_made(stack, mode):
    """For Onehop and for stock Django, the plan's number of hops is the number a request makes."""
    with override_settings(MIDDLEWARE=paths_of(stack)):
        onehop, stock = asgi.onehop_application(), asgi.stock_application()
        explanation = explain(onehop.plan, mode)

        made = [count_hops(application, f"/{mode.value}/") for application in (onehop, stock)]

    assert [explanation.hops, explanation.stock_hops] == made


@pytest.mark.parametrize(
    ("stack", "sync", "of_async"),
    [
        ("both hooks", 1, 2),
        ("both hooks outside of classic", 1, 2),
        ("both hooks outside of hybrid and classic", 1, 2),
        ("both hooks outside of declared ones", 1, 2),
        ("declared hooks outside of declared ones", 1, 0),
    ],
)
def test_hooks_in_one_call_make_as_many_hops_as_they_would_apart(stack, sync, of_async):
    with override_settings(MIDDLEWARE=paths_of(stack)):
        plan = asgi.onehop_application().plan

    assert [explain(plan, mode).hops for mode in (Mode.SYNC, Mode.ASYNC)] == [sync, of_async]


def test_lines_follow_the_path_of_a_request():
    """Hooks inwards, the view, hooks outwards; each with its lane."""
    with override_settings(MIDDLEWARE=paths_of("sync-only hooks")[-3:]):
        lines = explain(asgi.onehop_application().plan, Mode.ASYNC).lines

    assert [(line.step, line.lane) for line in lines] == [
        ("SyncOnly.process_request", "thread"),
        ("Classic begins", "thread"),
        ("resolve URL", "thread"),
        ("SyncOnly.process_view", "thread"),
        ("view", "loop"),
        ("Classic ends", "thread"),
        ("XFrameOptionsMiddleware.process_response", "thread"),
    ]


@pytest.mark.parametrize(
    "stack, said", [(["Classic", "unused", "Hybrid"], "inside Classic on the thread"), (["unused", "Hybrid"], "unused")]
)
def test_a_wrapper_that_is_unused_is_named_as_such(stack, said):
    """It counted when the mode of what is inside it was chosen; where another wrapper counts as well, that is named."""
    with override_settings(MIDDLEWARE=[f"{MODULE}.{name}" for name in stack]):
        hybrid = asgi.onehop_application().plan.layers[-1]

    assert said in hybrid.mode_reason
