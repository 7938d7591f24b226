"""The pages of the built-in project do what a page of a real project does."""

from __future__ import annotations

import json


def test_a_page_is_for_a_logged_in_user_and_makes_three_queries(script):
    """Session and user come first; the async page has the same bytes, each time."""
    recorded = json.loads(script("record_pages.py"))
    assert recorded["page"].startswith("(200, b'<!doctype html>")
    assert "<h1>Ada</h1>" in recorded["page"] and "3 groups" in recorded["page"]
    assert recorded["apages"] == [recorded["page"]] * 2
    session, user, *own = recorded["queries"]
    assert "django_session" in session and '"auth_user"' in user
    assert len(own) == 3
