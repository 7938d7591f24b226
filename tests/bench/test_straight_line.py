"""The straight line is the work of a request, all of it, without the machinery."""

from __future__ import annotations

import json


def test_calls_every_hook_that_stock_django_calls(script):
    """Same hooks, same order, same answer: thirteen hooks for the default stack."""
    recorded = json.loads(script("record_hooks.py"))
    hooks, answer = recorded["straight line"]
    assert [hooks, answer] == recorded["stock"]
    assert len(hooks) == 13
    assert answer == repr((200, b"ok"))
