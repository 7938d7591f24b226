"""Random stacks of every kind of middleware, compared with stock Django: the same calls, the same answer."""

import os
import sys

import pytest
from django.test import override_settings
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests import asgi
from tests.parity import stacks
from tests.parity.stacks import Spec
from tests.project.recorder import record

MODULE = sys.modules[__name__]


def outcome_of(application, mode, view):
    """Send one request to a handler and return everything it did."""
    record.clear()
    answer = asgi.get(application, f"/{mode}/{view}/")
    return list(record), answer.status, sorted(answer.headers), answer.body


def install(specs):
    """Make the middleware of the specifications importable; return their paths."""
    paths = []
    for number, spec in enumerate(specs):
        name = f"Mw{number}"
        setattr(MODULE, name, stacks.make(spec, name))
        paths.append(f"{__name__}.{name}")
    return paths


def compare(specs, mode, view, debug=False, propagate=False):
    from django.urls import path

    paths = install(specs)
    MODULE.urlpatterns = [path(f"{mode}/{view}/", stacks.make_view(mode, view))]
    with override_settings(MIDDLEWARE=paths, ROOT_URLCONF=__name__, DEBUG=debug, DEBUG_PROPAGATE_EXCEPTIONS=propagate):
        outcomes = []
        for make in (asgi.stock_application, asgi.onehop_application):
            try:
                outcomes.append(outcome_of(make(), mode, view))
            except Exception as error:
                outcomes.append((list(record), type(error), str(error)))
    stock, onehop = outcomes
    assert onehop == stock


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@settings(
    max_examples=int(os.environ.get("ONEHOP_STACKS", 250)),
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(stacks.stacks, st.sampled_from(["sync", "async"]), st.sampled_from(stacks.VIEWS), st.booleans())
@example(
    [Spec("classic", "twice", {}), Spec("hooks", "pass", {"process_request": "respond"})],
    "async",
    "ok",
    False,
)
@example([Spec("hooks", "pass", {"process_response": "raise"}), Spec("hybrid", "never", {})], "sync", "ok", False)
@example([Spec("classic", "pass", {}, declared=True), Spec("classic", "twice", {})], "sync", "raise", False)
def test_calls_and_answers_equal_stock_djangos(specs, mode, view, propagate):
    """For every stack, view and kind of exception, the hooks run in stock Django's order and the answer is the same."""
    compare(specs, mode, view, propagate=propagate)
