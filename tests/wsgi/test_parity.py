"""Answers, order of calls, contexts and threads equal those of stock Django's WSGI handler."""

import os
import sys
import threading

import pytest
from django.core import signals
from django.core.handlers.wsgi import WSGIHandler
from django.test import override_settings
from django.urls import path
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.parity import stacks
from tests.project.recorder import record
from tests.project.settings import DEFAULT_MIDDLEWARE
from tests.wsgi import drive
from tests.wsgi.views import REQUESTS, VIEWS, fresh_view, local, sync_view, variable

MODULE = sys.modules[__name__]


def outcome_of(application, at, **keywords):
    """Send one request and return everything it did, or what it raised."""
    record.clear()
    try:
        answer = drive.get(application, at, **keywords)
    except BaseException as error:
        return list(record), type(error), str(error)
    return list(record), answer.status, sorted(answer.headers), answer.body


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@settings(
    max_examples=int(os.environ.get("ONEHOP_STACKS", 60)),
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(stacks.stacks, st.sampled_from(["sync", "async"]), st.sampled_from(stacks.VIEWS), st.booleans())
def test_random_stacks(specs, mode, view, propagate):
    """For every stack, view and kind of exception, the hooks run in stock Django's order and the answer is the same."""
    middleware = []
    for number, spec in enumerate(specs):
        name = f"Mw{number}"
        setattr(MODULE, name, stacks.make(spec, name))
        middleware.append(f"{__name__}.{name}")
    outcomes = []
    for stock in (True, False):
        application, overridden = drive.application_of(
            stacks.make_view(mode, view), middleware, stock=stock, DEBUG_PROPAGATE_EXCEPTIONS=propagate
        )
        with overridden:
            outcomes.append(outcome_of(application, "/"))

    assert outcomes[1] == outcomes[0]


STACKS = {
    "none": [],
    "sync": ["SyncOnly"],
    "async": ["AsyncOnly"],
    "hybrid": ["Both"],
    "mixed": ["SyncOnly", "AsyncOnly", "SyncOnly", "Both", "AsyncOnly"],
    "default": None,
}


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume asynchronous iterators")
def test_bug_91_every_request_is_answered_as_by_stock_django(stack):
    """Status, headers, body; and in which order, with which context and on which thread everything ran."""
    names = STACKS[stack]
    middleware = DEFAULT_MIDDLEWARE if names is None else [f"tests.wsgi.views.{name}" for name in names]
    urls = [path(f"{view.__name__}/", view) for view in VIEWS]
    keywords = {"urlpatterns": urls, "SECURE_CONTENT_TYPE_NOSNIFF": False}
    outcomes = {}
    for stock in (True, False):
        application, overridden = drive.application_of(middleware=middleware, stock=stock, **keywords)
        with overridden, watching() as watched:
            for at, extra in REQUESTS:
                outcome = outcome_of(application, at, **extra, **{"tests.thread": threading.get_ident()})
                outcomes.setdefault((at, *extra), []).append((*outcome, list(watched)))
                watched.clear()

    for request, (stock, onehop) in outcomes.items():
        assert onehop == stock, request


class watching:
    """Note the signals of a request, with their senders and contexts."""

    def __enter__(self):
        seen = []

        def started(sender, **_):
            seen.append(("started", sender))

        def finished(sender, **_):
            seen.append(("finished", sender, getattr(local, "value", None), variable.get()))

        self.receivers = {signals.request_started: started, signals.request_finished: finished}
        for signal, receiver in self.receivers.items():
            signal.connect(receiver)
        return seen

    def __exit__(self, *_):
        for signal, receiver in self.receivers.items():
            signal.disconnect(receiver)


def test_bug_89_a_task_in_a_context_of_its_own_finds_the_request_thread():
    """asgiref asks its table of loops then."""
    outcomes = []
    for stock in (True, False):
        application, overridden = drive.application_of(fresh_view, stock=stock)
        with overridden:
            outcomes.append(outcome_of(application, "/", **{"tests.thread": threading.get_ident()}))

    assert outcomes[1] == outcomes[0]
    assert outcomes[1][0] == [("in an empty context", None, None, True)]


def test_signals_come_from_djangos_class_or_from_a_subclass():
    """As stock Django does for its own handler and for a subclass."""
    from onehop.wsgi_handler import OnehopWSGIHandler

    class Mine(OnehopWSGIHandler):
        pass

    _, overridden = drive.application_of(sync_view)
    with overridden, watching() as seen:
        for handler in (OnehopWSGIHandler(), Mine()):
            drive.get(handler, **{"tests.thread": threading.get_ident()})

    assert [each[1] for each in seen] == [WSGIHandler, WSGIHandler, Mine, Mine]
    assert isinstance(handler, OnehopWSGIHandler)


def test_onehop_can_be_turned_off(monkeypatch):
    """``ONEHOP_DISABLE`` gives stock Django."""
    from onehop.wsgi import get_wsgi_application

    monkeypatch.setenv("ONEHOP_DISABLE", "1")
    with override_settings(MIDDLEWARE=[]):
        assert type(get_wsgi_application()) is WSGIHandler


def test_an_unknown_core_is_served_by_stock_django(monkeypatch, complaints):
    """One warning says so."""
    from onehop.plan.known.rows import fingerprints
    from onehop.wsgi import get_wsgi_application

    monkeypatch.setitem(fingerprints()["core"], "AsyncToSync.__call__", ["0123456789ab"])
    with override_settings(MIDDLEWARE=[]):
        assert type(get_wsgi_application()) is WSGIHandler
    [warning] = complaints()
    assert "AsyncToSync.__call__ changed. Stock Django serves the requests." in warning
