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
UPLOAD = (
    b'--limit\r\nContent-Disposition: form-data; name="f"; filename="f.txt"\r\n'
    b"Content-Type: text/plain\r\n\r\nhello file\r\n--limit--\r\n"
)
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
    "uploads are closed": Case(
        Site((Spec("hybrid function", touches=("form",)),), (View("raise"),), settings=TEMPORARY),
        (Request(method="POST", headers=((b"content-type", b"multipart/form-data; boundary=limit"),), body=UPLOAD),),
    ),
    "second calls are cancelled": Case(
        Site(
            (Spec("classic", around="twice"), SESSIONS, "django.middleware.csrf.CsrfViewMiddleware"),
            (View("waits", "async"),),
        ),
        (
            Request("/login/", csrf="header"),
            Request(
                method="POST", headers=((b"content-type", b"multipart/form-data"),), body=b"no boundary", csrf="header"
            ),
        ),
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
    monkeypatch.setattr(seen, "PATIENCE_S", 2)  # one of them never ends on stock Django
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


def test_a_connection_of_the_thread_for_errors_alone_gives_the_request_another_thread(world):
    """That stock Django numbers it second; here there is one."""
    settings = (("CSRF_USE_SESSIONS", True),)
    site = Site(
        (Spec("hooks", hooks={"process_response": "pass"}), Spec("async function"), SESSIONS), settings=settings
    )
    compare.compare(Case(site, (Request("/login/"), Request("/nowhere/"))), world)


def test_a_thread_of_which_only_an_error_and_a_connection_were_seen(world):
    """In stock Django these were two threads, and only the one of the connection has a name."""
    settings = (("SESSION_SAVE_EVERY_REQUEST", True), ("DEBUG", True))
    site = Site((Spec("hooks"), SESSIONS), (View("none", "async"),), settings=settings, errors="querying")
    compare.compare(Case(site, (Request("/login/"), Request())), world)


def test_closers_that_stock_django_never_calls_run_where_the_receivers_of_errors_ran(world):
    """They are the first that tell which thread that was."""
    stack = (Spec("async function", around="raise after"),)
    site = Site(stack, (View("closers", "async"),), settings=(("CSRF_USE_SESSIONS", True),))
    compare.compare(Case(site), world)


def test_a_connection_that_only_an_error_page_has_opened(world):
    """Stock Django does that on a thread of its own, which nothing else tells of."""
    stack = (Spec("hooks", hooks={"process_request": "pass"}), SESSIONS, "django.middleware.common.CommonMiddleware")
    site = Site((*stack, AUTHENTICATION), settings=(("CSRF_USE_SESSIONS", True),))
    compare.compare(Case(site, (Request("/login/", csrf="header"), Request("/v0", csrf="header"))), world)


def test_an_iterator_that_fails_before_send_does(world):
    case = Case(Site((Spec("hooks"),), (View("failing stream"),)), (Request(csrf="header", send_fails_at=3),))
    compare.compare(case, world)


def test_a_traceback_does_not_tell_in_which_mode_a_hybrid_ran(world):
    stack = (Spec("classic"), Spec("hybrid function", touches=("form",)))
    latin = ((b"content-type", b"application/x-www-form-urlencoded; charset=latin-1"),)
    request = Request(method="POST", headers=latin, body=b"a=\xfc", csrf="header")
    compare.compare(Case(Site(stack, settings=(("DEBUG", True),)), (request,)), world)


def test_what_django_raises_from_another_error_has_that_in_its_context(world):
    """Stock Django's crossings overwrite it with an earlier one; the cause is still there."""
    case = Case(
        Site(
            ("django.contrib.messages.middleware.MessageMiddleware",), settings=(("DATA_UPLOAD_MAX_NUMBER_FIELDS", 1),)
        ),
        (
            Request(headers=((b"cookie", b"csrftoken=short"),), csrf="header"),
            Request(
                method="POST",
                headers=((b"content-type", b"application/x-www-form-urlencoded"),),
                body=b"a=1&b=2&a=3",
                csrf="header",
            ),
        ),
    )
    compare.compare(case, world)
