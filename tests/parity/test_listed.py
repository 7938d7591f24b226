"""Each listed improvement: Onehop does it, stock Django does not, and nothing but its entry lets it pass."""

import sys

import django
import pytest

from tests.parity import compare, listed, seen
from tests.parity.nouns import Case, Request, Site, Spec, View

PROPAGATING = (("DEBUG_PROPAGATE_EXCEPTIONS", True),)
SEEING = Spec("hooks", hooks={"process_request": "pass", "process_response": "pass"})
LOCALE = "django.middleware.locale.LocaleMiddleware"
SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"
AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"
TEMPORARY = (("FILE_UPLOAD_MAX_MEMORY_SIZE", 20), *PROPAGATING)
CASES = {
    "errors on the request thread": Case(Site((SEEING,), errors="plain"), (Request("/nowhere/"),)),
    "one connection per request": Case(Site(views=(View("raise", touches=("query",)),), errors="querying")),
    "own context": Case(Site(views=(View("raise"),), settings=PROPAGATING)),
    "contexts after fewer crossings": Case(
        Site((SEEING, SEEING), (View("raise"),), settings=(("CSRF_USE_SESSIONS", True),))
    ),
    "tokens are valid": Case(Site((Spec("hooks", hooks=SEEING.hooks, touches=("token",)),))),
    "no warning for sync streams": Case(Site(views=(View("stream"),))),
    "items before a failing one": Case(Site(views=(View("failing stream"),))),
    "items that nobody gets are not made": Case(
        Site(views=(View("big stream"),)), (Request(send_fails_at=1), Request(send_fails_at=1))
    ),
    "sync receivers come first": Case(Site(views=(View("waits", "async"),), receivers="both")),
    "closed after an exception": Case(
        Site(views=(View("closers"),), receivers="sync"), (Request(send_fails_at=0), Request(send_fails_at=1))
    ),
    "marks on the request": Case(Site((LOCALE,)), (Request(), Request())),
    "users of the other mode": Case(Site((Spec("classic"), SESSIONS, AUTHENTICATION, *listed.REMOTE_USERS[:1]))),
    "retired threads": Case(Site(views=(View(touches=("threading.local",)),)), (Request(), Request())),
    "connections of error handlers are closed": Case(Site(errors="querying"), (Request("/nowhere/"),)),
    "bodies are closed": Case(
        Site(views=(View("raise"),), settings=TEMPORARY), (Request(method="POST", body=b"x" * 40, csrf=""),)
    ),
    "async iterators are closed at once": Case(
        Site(views=(View("async stream"),)), (Request(), Request(csrf="header", send_fails_at=1))
    ),
    "closed in the context of the request": Case(
        Site((Spec("async", touches=("variable",)),), (View(mode="async"),), receivers="sync")
    ),
}
ONLY_BEFORE_6_1 = {
    "async iterators are closed at once",
    "bodies are closed",
    "closed in the context of the request",
    "sync receivers come first",
}
RACES = {"sync receivers come first"}  # stock Django's order is left to chance
ONLY_FROM_6_1 = {"own context"}
ONLY_FROM_PYTHON_3_13 = {"connections of error handlers are closed"}  # before, nobody says that one is left open


def shows_here(name):
    return not (
        (name in ONLY_BEFORE_6_1 and django.VERSION >= (6, 1))
        or (name in ONLY_FROM_6_1 and django.VERSION < (6, 1))
        or (name in ONLY_FROM_PYTHON_3_13 and sys.version_info < (3, 13))
    )


def test_every_entry_has_a_case():
    assert {str(entry) for entry in listed.LISTED} == set(CASES)


@pytest.mark.parametrize("name", list(filter(shows_here, CASES)))
def test_an_improvement_is_let_pass_by_its_entry_alone(world, monkeypatch, name):
    counts = compare.Counts()
    compare.compare(CASES[name], world, counts)
    if name in RACES:
        assert_sync_receivers_come_first(seen.run(CASES[name], world, seen.make_onehop))
        return
    assert counts.used[name]

    monkeypatch.setattr(listed, "LISTED", [entry for entry in listed.LISTED if str(entry) != name])
    with pytest.raises(compare.Difference):
        compare.compare(CASES[name], world)


def assert_sync_receivers_come_first(onehop):
    points = [point for one in onehop for point in one.points]
    for signal in ("request_started", "request_finished"):
        assert [point.what for point in points if point.who == signal] == ["sync", "async"]


def test_the_end_of_a_cut_short_generator_sees_what_its_items_saw(world):
    """Its ``finally`` runs in their context."""
    case = Case(Site(views=(View("big stream"),)), (Request(send_fails_at=1),))
    _, request, _ = seen.run(case, world, seen.make_onehop)
    [end] = [point for point in request.points if point.what == "stream ends"]
    assert end.values[0] is not None
