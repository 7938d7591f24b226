"""How many connections to PostgreSQL there are: at most one for each thread, and none longer than CONN_MAX_AGE."""

import time

import pytest

from tests.databases.conftest import LOAD_S, Load
from tests.process import wait_until

SETTLES_S = 0.5
ANSWERS = 200


@pytest.mark.parametrize("max_age", ["0", "None"])
def test_there_are_never_more_connections_than_threads(serve, postgres, max_age):
    """PostgreSQL forgets a connection some time after it was closed; more for longer than that would be a lost one."""
    site, _ = serve(max_age=max_age)
    load = Load(site, ["row", "row-async", "row-atomic"])
    most, since = 0, None
    try:
        deadline = time.monotonic() + LOAD_S
        while len(load.confirmed) < ANSWERS and time.monotonic() < deadline:
            connected, threads = postgres.connected(site.name), site.state()["threads"]
            most = max(most, connected)
            since = (since or time.monotonic()) if connected > threads else None
            assert since is None or time.monotonic() - since < SETTLES_S, (connected, threads)
    finally:
        load.stop()

    assert len(load.confirmed) >= ANSWERS and most > 1 and load.failed(since=0) == []


def test_without_a_max_age_every_request_has_a_connection_of_its_own(serve, postgres):
    """As many as with stock Django; and none is left."""
    for site in serve():
        for number in range(20):
            assert site.fetch(f"/row/{number}/")[0] == 200
        wait_until(lambda site=site: postgres.connected(site.name) == 0, "the end of all connections")
        wait_until(lambda site=site: postgres.sessions(site.name) == 1 + 20, "that many connections, and the table's")


def test_a_connection_is_kept_for_as_long_as_max_age_says(serve, postgres):
    """And is closed by the first request after that."""
    site, _ = serve(max_age="3")
    kept = set()
    for number in range(2):
        site.fetch(f"/row/{number}/")
        kept.add(backend(postgres, site))
    time.sleep(3.1)
    site.fetch("/row/late/")

    assert len(kept) == 1
    assert backend(postgres, site) not in kept


def test_what_a_session_was_told_ends_with_its_connection(serve):
    """Without CONN_MAX_AGE nobody finds it, as with stock Django. A kept connection keeps it, as under WSGI."""
    for max_age, expected in (("0", b"second"), ("None", b"second first")):
        onehop, stock = serve(max_age=max_age)
        for site in (onehop, stock):
            assert site.fetch("/row/first/?marks")[2] == b"first"
        assert stock.fetch("/row/second/")[2] == b"second"
        assert onehop.fetch("/row/second/")[2] == expected


def backend(postgres, site):
    """Return the process of PostgreSQL's that serves the site's one connection."""
    with postgres.connect("postgres") as connection:
        query = "SELECT pid FROM pg_stat_activity WHERE application_name = %s"
        ((pid,),) = connection.execute(query, [site.name]).fetchall()
    return pid


def test_a_transaction_that_was_left_open_stays_with_its_request(serve, postgres):
    """The connection is not handed on: nothing of it is committed, and the next request writes its own row."""
    for site in serve(max_age="None"):
        assert site.fetch("/leave-open/left/")[0] == 200
        for number in range(5):
            assert site.fetch(f"/row/{number}/")[0] == 200
        assert postgres.rows(site.name) == dict.fromkeys(map(str, range(5)), 1)
