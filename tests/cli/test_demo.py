"""``onehop demo`` from end to end, and interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from onehop.demo.nouns import VIEWS

WAYS = {"stock", "onehop"}
Running = Callable[[Iterable[int]], list[int]]


@contextmanager
def demo(temporary: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start ``onehop demo`` with its folder inside ``temporary``; kill it if the test fails half-way."""
    process = subprocess.Popen(
        [sys.executable, "-m", "onehop", "demo", *arguments],
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        except BaseException:
            process.terminate()
            raise


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what one short demo printed as JSON, with its folder, exit code and lines of progress."""
    temporary = tmp_path_factory.mktemp("demo")
    with demo(temporary, "--seconds", "0.3", "--json") as process:
        output, errors = process.communicate()
    assert process.returncode == 0, output + errors
    left = [path.name for path in temporary.iterdir()]
    return {**json.loads(output), "left": left, "progress": errors.splitlines()}


def test_every_view_has_a_row(printed: dict[str, Any]) -> None:
    rows = [(row["stack"], row["path"], row["clients"]) for row in printed["rows"]]

    assert rows == [(view.stack.name, view.path, view.clients) for view in VIEWS]


def test_every_number_is_there_for_both(printed: dict[str, Any]) -> None:
    for row in printed["rows"]:
        for name in ("hops", "threads_started", "requests_per_s", "p50_ms", "p99_ms"):
            assert set(row[name]) == WAYS
        assert all(0 < row["p50_ms"][way] <= row["p99_ms"][way] for way in WAYS)
        assert row["ratio"] == pytest.approx(row["requests_per_s"]["onehop"] / row["requests_per_s"]["stock"])
        assert [block["way"] for block in row["blocks"]] == ["stock", "onehop", "onehop", "stock"]


def test_stock_django_is_counted_as_the_ticket_says(printed: dict[str, Any]) -> None:
    counted = {(row["stack"], row["path"]): row["hops"]["stock"] for row in printed["rows"]}

    assert counted["S0", "/sync/"] == 16
    assert counted["S0", "/async/"] == counted["S0", "/async-io/"] == counted["S0", "/aggregate/"] == 15


def test_both_answer_the_same(printed: dict[str, Any]) -> None:
    answers = printed["answers"]

    assert (answers["same"], answers["differences"]) == (True, [])
    assert answers["compared"] == 30
    assert answers["ignored"] == [
        "value of the Date header",
        "expiry time of cookies (their Max-Age is compared)",
        "random value of the cookie csrftoken",
        "random value of the cookie sessionid",
        "value of the Expires header",
        "length of gzip bodies, which Django pads at random (the unpacked bodies are compared)",
    ]


def test_ten_users_do_not_wait_for_each_other(printed: dict[str, Any]) -> None:
    waited = printed["ten_users"]["seconds"]

    assert set(waited) == WAYS
    assert 1 <= waited["onehop"] < 3


def test_nothing_is_left_behind(printed: dict[str, Any], running: Running) -> None:
    # Two make the project, one loads; each stack has two servers and two counters.
    assert len(printed["pids"]) == 3 + 2 * 4
    assert running(printed["pids"]) == []
    assert (printed["left"], printed["folder"]) == ([], None)


def test_piped_progress_is_plain_lines(printed: dict[str, Any]) -> None:
    assert printed["progress"][0] == "made a project with startproject and migrated its database"
    assert len(printed["progress"]) == 1 + 2 * 4 + 4 * len(VIEWS) + 2


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_demo_ends_its_servers(
    tmp_path: Path, running: Running, number: signal.Signals, code: int
) -> None:
    with demo(tmp_path, "--seconds", "20") as process:
        assert process.stderr is not None
        while "serving it" not in (line := process.stderr.readline()):
            assert line, "the demo ended too early"
        servers = children_of(process.pid)
        process.send_signal(number)
        _output, errors = process.communicate(timeout=30)

    assert len(servers) >= 2
    assert running(servers) == []
    assert (process.returncode, "Traceback" in errors) == (code, False)
    assert list(tmp_path.iterdir()) == []


def test_keep_says_where_the_project_is(tmp_path: Path) -> None:
    with demo(tmp_path, "--keep") as process:
        assert process.stderr is not None
        while "made a project" not in (line := process.stderr.readline()):
            assert line, "the demo ended too early"
        process.send_signal(signal.SIGINT)
        _output, errors = process.communicate(timeout=30)

    (folder,) = tmp_path.iterdir()
    assert f"The project is in {folder}" in errors
    stock, onehop = ((folder / "mysite" / name).read_text() for name in ("asgi.py", "asgi_onehop.py"))
    words = zip(stock.split(), onehop.split(), strict=True)
    assert [pair for pair in words if pair[0] != pair[1]] == [("django.core.asgi", "onehop.asgi")]


def children_of(parent: int) -> set[int]:
    """Return the pids of the running children of ``parent``."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    pairs = [tuple(map(int, line.split())) for line in listed.splitlines()]
    return {pid for pid, ppid in pairs if ppid == parent}
