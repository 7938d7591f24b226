"""The driver does to an application what uvicorn does to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

VIEWS = ("/sync/", "/async/")
SERVERS = ("h11", "httptools")


def by_lane(events: list[list[Any]]) -> dict[str, list[Any]]:
    """Return the events of each lane, in order."""
    return {lane: [event for event in events if event[0] == lane] for lane in ("loop", "thread")}


@pytest.fixture(scope="module")
def recorded(script: Any) -> Callable[[str, str], dict[str, list[list[Any]]]]:
    """Return a function that records the events of each view, once for each contender and server."""

    @cache
    def record(contender: str, server: str) -> Any:
        return json.loads(script("record_events.py", contender, server, *VIEWS))

    return record


@pytest.mark.parametrize("server", SERVERS)
def test_stock_django_sees_the_same_events_in_the_same_order(recorded, server):
    """Messages both ways, signals and closing happen exactly as under uvicorn."""
    assert recorded("stock", "driver") == recorded("stock", server)


@pytest.mark.parametrize("server", SERVERS)
def test_onehop_sees_the_same_events_in_the_same_order_on_each_lane(recorded, server):
    """Onehop closes on a thread while the loop goes on, so only the order on each lane is fixed."""
    driven, served = recorded("onehop", "driver"), recorded("onehop", server)
    assert {view: by_lane(driven[view]) for view in VIEWS} == {view: by_lane(served[view]) for view in VIEWS}


def test_nothing_of_a_request_is_left_out(recorded):
    """Body, signals, disconnect listener and closing are all among the events of stock Django."""
    events = recorded("stock", "driver")["/async/"]
    happened = [event[1] for event in events]
    assert happened.count("receive is awaited") == 2
    assert happened.count("sent") == 2
    for once in (
        "scope",
        "request_started",
        "response closes",
        "request_finished",
        "the application returned",
    ):
        assert happened.count(once) == 1, once
    assert happened.index("request_finished") > happened.index("response closes") > happened.index("sent")
