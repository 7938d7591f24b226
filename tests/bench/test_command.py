"""``onehop bench`` measures, compares answers, and says in one line what went wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.bench.conftest import BENCH, HERE

SETTINGS = """
print("settings print this")
SECRET_KEY = "x"
ALLOWED_HOSTS = [".shop.example"]
ROOT_URLCONF = "urls"
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
"""
URLS = """
import itertools, os, sys
from django.http import HttpResponse
from django.urls import path

numbers = itertools.count()

def handler(request):
    return HttpResponse(type(request).__name__)

def counter(request):
    return HttpResponse(str(next(numbers)))

def last_words(request):
    print("these are\\nthe last words", file=sys.stderr)
    os._exit(7)

def shaky(request):
    if next(numbers) == 4:
        raise ValueError("the fifth")
    return HttpResponse("ok")

urlpatterns = [path(f"{view.__name__}/", view) for view in (handler, counter, last_words, shaky)]
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Path:
    """A user's project: a settings module and some URLs in a folder of their own."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "shop_settings.py").write_text(SETTINGS)
    (folder / "urls.py").write_text(URLS)
    return folder


@pytest.fixture(scope="module")
def quick(bench):
    """The result of a quick run over two views of the built-in project."""
    contenders = ("--contender", "stock", "--contender", "onehop")
    done = bench("--quick", "--json", "--view", "/sync/", "--view", "/async/", *contenders)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def row(result, contender, view):
    (found,) = (row for row in result["rows"] if (row["contender"], row["view"]) == (contender, view))
    return found


def test_a_quick_run_measures_every_contender_on_every_view(quick):
    """Rows in the order of the call; each cell has its value for each round."""
    contenders = ["stock", "onehop"]
    expected = [(view, name) for view in ("/sync/", "/async/") for name in contenders]
    assert [(row["view"], row["contender"]) for row in quick["rows"]] == expected
    assert quick["complete"] is True
    assert quick["orders"] == [[*contenders, "floor"]]
    for found in quick["rows"]:
        values = [found["sequential_us"], *found["req_per_s"].values()]
        assert len(values) == 3
        assert all(len(value["values"]) == 1 and value["median"] > 0 for value in values)
        assert all(value["vs_stock"] > 0 for value in values)


@pytest.mark.parametrize("view, hops", [("/sync/", 16), ("/async/", 15)])
def test_stock_django_hops_and_starts_threads_as_ticket_37177_says(quick, view, hops):
    """Fifteen hops around an async view, one more into a sync one, and two threads each time."""
    counts = row(quick, "stock", view)["counts"]
    assert (counts["hops"], counts["pool_hops"], counts["posts"]) == (hops, 0, None)
    assert counts["threads_started"] == 2
    assert all(peak > int(clients) for clients, peak in counts["peak_threads"].items())


def test_the_floor_is_measured_in_every_run(quick):
    """Nobody is below the straight line, and driving costs a small part of what is driven."""
    floor = quick["floor"]
    assert floor["bare_hop_us"]["median"] > 0
    assert floor["multiples"]["stock"] > floor["multiples"]["onehop"] > 0.5
    assert 0 < floor["driver_us"]["median"] < row(quick, "stock", "/async/")["sequential_us"]["median"] / 20


def test_the_result_says_what_was_measured_and_where(quick):
    """Versions and machine come from a measuring process; raw reports hold the number of requests."""
    assert {"Python", "Django", "asgiref", "django-onehop"} <= set(quick["facts"]["versions"])
    assert quick["facts"]["machine"]["event_loop"] == "_UnixSelectorEventLoop"
    assert quick["raw"]["rounds"][0]["stock"]["views"]["/sync/"]["requests"]["sequential"] >= 20


def test_piped_output_is_plain_text(bench):
    """No colours, no lines drawn, one line for each contender; sync-only flags save hops, not threads."""
    done = bench("--quick", "--contender", "stock", "--contender", "sync-only", "--view", "/sync/")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith("/sync/")]
    assert [[line[1], *line[-4:]] for line in lines] == [
        ["stock", "16", "0", "\N{EN DASH}", "2"],
        ["sync-only", "6", "0", "\N{EN DASH}", "2"],
    ]
    assert "straight line, /async/: " in done.stdout


def test_another_answer_than_stocks_stops_the_run(bench, shop):
    """A body that differs is shown on both sides; nothing is timed, and stdout stays empty."""
    arguments = ("--quick", "--settings", "shop_settings", "--url", "/handler/")
    done = bench(*arguments, "--contender", "stock", "--contender", "wsgi", folder=shop)
    assert (done.returncode, done.stdout) == (1, "")
    line = done.stderr.splitlines()[-1]
    assert "'/handler/' differs between 'stock' and 'wsgi'" in line
    assert "'ASGIRequest'" in line and "'WSGIRequest'" in line


def test_an_answer_other_than_200_stops_the_run(bench, shop):
    """A missing page is quick, and worth nothing."""
    done = bench("--quick", "--settings", "shop_settings", "--url", "/missing/", folder=shop)
    assert done.returncode == 1
    assert "'/missing/' under 'stock' has status 404" in done.stderr


def test_a_dead_process_is_reported_with_its_last_words(bench, shop):
    """One line: how it ended, its last line on stderr, and how to run it alone."""
    done = bench("--quick", "--settings", "shop_settings", "--url", "/last_words/", folder=shop)
    assert (done.returncode, done.stdout) == (2, "")
    line = done.stderr.splitlines()[-1]
    assert "'stock' ended with exit code 7 and no report. the last words Run it alone: DJANGO_SETTINGS_MODULE=" in line
    assert "-m onehop.bench.child count --contender=stock --view=/last_words/" in line


def test_a_request_that_fails_under_repetition_stops_the_run(bench, shop):
    """A rare failure may not come again, so the error says what was raised, whatever the project prints."""
    done = bench("--quick", "--settings", "shop_settings", "--url", "/shaky/", folder=shop)
    assert (done.returncode, done.stdout) == (2, "")
    assert "1 of 5 requests failed (the first: status 500, ValueError('the fifth'))" in done.stderr


def test_a_body_that_varies_is_measured_with_a_warning(bench, shop):
    """Only the status can be compared then. WSGI, measured on any URL of one's own, hops nowhere."""
    arguments = ("--quick", "--json", "--settings", "shop_settings", "--url", "/counter/")
    done = bench(*arguments, "--contender", "stock", "--contender", "wsgi", folder=shop)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["warnings"][0].startswith("/counter/ gives a different body at each request")
    assert result["floor"]["straight_line_us"]["median"] is None
    assert result["wsgi_multiples"]["/counter/"]["stock"] > 1
    counts = row(result, "wsgi", "/counter/")["counts"]
    assert (counts["hops"], counts["threads_started"], counts["peak_threads"]) == (0, 0, {})


@pytest.mark.parametrize(
    "arguments, text",
    [
        (["--view", "/sync/", "--url", "/x/"], "Give one of them"),
        (["--settings", "shop.settings"], "Add --url /path/"),
        (["--url", "x/"], "does not start with a slash"),
        (["--contender", "rocket"], "'stock', 'sync-only', 'onehop', 'wsgi'"),
    ],
)
def test_a_wrong_call_is_refused(bench, arguments, text):
    """Before anything is started, with the fix."""
    done = bench(*arguments)
    assert done.returncode == 2
    assert text in " ".join(done.stderr.split())


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the children in Linux's /proc")
def test_ctrl_c_ends_the_child_and_prints_what_was_measured(environment):
    """The signal goes to the parent only, so the child ends because the parent ends it."""
    command = [*BENCH, "--quick", "--json", "--rounds", "50", "--contender", "stock", "--view", "/async/"]
    seen: list[int] = []
    with subprocess.Popen(command, cwd=HERE, env=environment, stdout=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while len(seen) < 5 and time.monotonic() < deadline:  # prepare, count, stock, floor, floor again
            seen += [child for child in children_of(process.pid) if child not in seen]
        process.send_signal(signal.SIGINT)
        stdout, _ = process.communicate(timeout=30)
    left = [pid for pid in seen if is_running(pid)]
    assert (process.returncode, left) == (130, [])
    result = json.loads(stdout)
    assert result["complete"] is False
    assert result["rows"][0]["sequential_us"]["values"][0] > 0
