"""The example project: its own tests, its views on stock Django and on Onehop, its start and its end."""

import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.examples.conftest import EXAMPLES, environment

PROJECT = EXAMPLES / "aggregation"
PATHS = {"/async/": 200, "/sync/": 200, "/pool/": 200, "/itself/": 200, "/live/": 200, "/": 302, "/missing/": 404}
VARIES = re.compile(rb'(?<="took_ms": )\d+|<title>.*?</title>|<h1>.*?</header>', re.DOTALL)


def test_the_examples_own_tests_pass():
    command = [sys.executable, "-W", "error", "manage.py", "test"]
    done = subprocess.run(command, cwd=PROJECT, env=environment(), capture_output=True, text=True, timeout=120)

    assert done.returncode == 0, done.stderr
    assert re.search(r"^Ran [1-9]\d* tests", done.stderr, re.MULTILINE)


def test_the_services_of_the_views_and_of_the_upstream_are_the_same():
    code = "import json, shop.services, upstream; print(json.dumps([shop.services.SERVICES, list(upstream.DELAYS_MS)]))"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, env=environment(), capture_output=True, check=True)

    asked, answering = json.loads(done.stdout)

    assert asked == answering


@pytest.fixture(scope="module")
def answers(onehop, stock):
    """Ask all views of both at once; return what must be the same, by path: Onehop's, stock Django's."""

    def ask(running, path):
        status, headers, body = running.get(path)
        assert re.fullmatch(r"total;dur=\d+\.\d", headers.pop("server-timing"))
        del headers["date"]
        headers.pop("content-length", None)  # of a body with the name of what it runs on
        return status, headers, VARIES.sub(b"", body)

    with ThreadPoolExecutor(2 * len(PATHS)) as pool:
        asked = {path: [pool.submit(ask, running, path) for running in (onehop, stock)] for path in PATHS}
        return {path: [answer.result() for answer in both] for path, both in asked.items()}


@pytest.mark.parametrize("path", PATHS)
def test_a_view_answers_the_same_on_stock_django_and_on_onehop(answers, path):
    ours, stocks = answers[path]

    assert ours == stocks
    assert ours[0] == PATHS[path]


def test_the_line_and_the_page_tell_what_it_runs_on(onehop, stock):
    assert onehop.line == f"http://127.0.0.1:{onehop.port}/live/ on Onehop. Ctrl-C ends it."
    assert stock.line == f"http://127.0.0.1:{stock.port}/live/ on stock Django. Ctrl-C ends it."
    assert b"on Onehop, Django" in onehop.get("/live/")[2]
    assert b"on stock Django, Django" in stock.get("/live/")[2]


@pytest.mark.parametrize("path", ["/async/", "/pool/"])
def test_an_aggregation_at_once_takes_the_slowest_upstream_and_not_their_sum(answers, onehop, path):
    def took():
        answer = json.loads(onehop.get(path)[2])
        delays_ms = [service["delay_ms"] for service in answer["answers"].values()]
        return max(delays_ms), answer["took_ms"], sum(delays_ms)

    slowest_ms, took_ms, sum_ms = min(took() for _ in range(2))  # the better one of two: others use the machine

    assert slowest_ms - 5 <= took_ms < (slowest_ms + sum_ms) / 2


def test_an_aggregation_one_after_the_other_takes_the_sum_and_one_hop(onehop):
    before = onehop.figures()
    answer = json.loads(onehop.get("/sync/")[2])

    assert answer["took_ms"] >= sum(service["delay_ms"] for service in answer["answers"].values()) - 5
    assert onehop.figures()["hops"] - before["hops"] == 1


def test_async_requests_hop_nowhere_and_start_no_thread(onehop):
    onehop.get("/async/")
    before = onehop.figures()
    for _ in range(2):
        assert onehop.get("/async/")[0] == 200
    after = onehop.figures()

    assert after["answered"] - before["answered"] == 3
    assert after["hops"] == before["hops"]
    assert after["threads_started"] == before["threads_started"]


def test_sync_views_may_ask_their_own_server(onehop):
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(onehop.get, ["/itself/"] * 10))

    assert [status for status, _, _ in answers] == [200] * 10
