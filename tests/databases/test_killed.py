"""PostgreSQL and Redis, killed and started again under load: nothing is lost that was confirmed, and it goes on."""

import time

import pytest

from tests.databases.conftest import Load

ROWS = ["row", "row-async", "row-atomic"]
KEYS = ["key", "key-async"]
ANSWERS = 60
SETTLES_S = 1


def kill_under_load(daemon, sites, views):
    """Have clients ask both sites while a daemon is killed and started; return the load, and when it was up again."""
    loads = [Load(site, views) for site in sites]
    try:
        for load in loads:
            load.wait_for(ANSWERS)
        daemon.kill()
        for load in loads:
            load.wait_for_failure()
        daemon.start()
        up = time.monotonic()
        for load in loads:
            load.wait_for(ANSWERS, since=up + SETTLES_S)
    finally:
        for load in loads:
            load.stop()
    return loads, up


@pytest.mark.parametrize("max_age", ["0", "None"])
def test_no_confirmed_row_is_lost_when_postgresql_is_killed(serve, postgres, max_age):
    """
    Both rows of a transaction are there, or none; and what is asked after the start is answered.

    Stock Django is asked without CONN_MAX_AGE only: with it, it leaves a connection behind each request, and PostgreSQL
    soon has too many clients.
    """
    sites = serve(max_age=max_age)
    if max_age == "None":
        sites.pop().end()
    loads, up = kill_under_load(postgres, sites, ROWS)

    for site, load in zip(sites, loads, strict=True):
        rows = postgres.rows(site.name)
        assert load.foreign == []
        assert [name for name in load.confirmed if rows[name] != 1] == []
        assert [name for name in rows if name.endswith(" too") and rows[name.removesuffix(" too")] != 1] == []
        assert load.failed(since=up) == []


def test_no_answer_is_anothers_when_redis_is_killed(serve, redis_server):
    """Each request reads the key that it wrote; and what is asked a while after the start is answered."""
    sites = serve()
    loads, up = kill_under_load(redis_server, sites, KEYS)

    for load in loads:
        assert load.foreign == []
    assert [load.failed(since=up + SETTLES_S) for load in loads] == [[], []]


def test_a_kept_connection_that_died_meanwhile_is_not_used(serve, postgres):
    """Stock Django has a new connection for each request; a thread that is used again has not."""
    onehop, stock = serve(max_age="None")
    answers = {}
    for site in (onehop, stock):
        for number in range(3):
            assert site.fetch(f"/row/before-{number}/")[0] == 200
    assert postgres.connected(onehop.name) == 1
    postgres.kill()
    postgres.start()
    for site in (onehop, stock):
        answers[site] = [site.fetch(f"/row/after-{number}/")[0] for number in range(3)]

    assert answers == {onehop: [200] * 3, stock: [200] * 3}
