"""A run of some seconds holds all laws, and each leak that is planted breaks its own."""

import json
import re
import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from tests.process import ROOT
from tests.soak.__main__ import INTERRUPTED, command
from tests.soak.contender import Contender
from tests.soak.laws import LAWS
from tests.soak.load import KINDS
from tests.soak.plants import PLANTS
from tests.soak.run import Found, Options, Record, soak

REQUESTS = 60
BREAKS = {
    "a signal": {"started"},
    "a stream": {"streams entered"},
    "a body": {"bodies opened"},
    "a dropped body": {"bodies opened"},
    "a file": {"files open"},
    "a lease": {"leases taken", "threads not idle", "leases alive"},
    "a waiting lease": {"leases waiting"},
    "a call": {"calls begun"},
    "a sent stream": {"streams alive"},
    "a closed response": {"responses alive", "started"},
    "a task": {"tasks left"},
    "a response": {"responses made"},
    "a response twice": {"responses closed again", "started"},
    "a greenlet": {"greenlets alive"},
    "a request": {"requests alive"},
}
"""The laws that each leak breaks, by their first number."""
GROUPS = [
    ("a signal", "a stream", "a body", "a file", "a lease", "a task"),
    ("a response", "a response twice", "a dropped body", "a greenlet", "a request"),
    ("a waiting lease", "a call", "a sent stream", "a closed response"),
]


@pytest.fixture
def soaked(folder):
    """Return a function that soaks Onehop with leaks for one turn, and returns its history and what was found."""

    def run(*plants):
        options = Options(0.001, requests=REQUESTS, leaving=0, patience_s=1, names=("onehop",), plants=plants)
        record = Record.of(options)
        with pytest.raises(Found) as found:
            list(soak(record, folder))
        return record.histories["onehop"], str(found.value)

    return run


def test_a_short_run_holds_every_law_and_says_what_it_saw(prepared, tmp_path):
    """Both contenders are asked all kinds of requests, some clients leave, and every answer is right."""
    file = tmp_path / "soak.json"

    done = CliRunner().invoke(command, ["--minutes", "0.01", "--requests", "150", "--json", str(file)])

    assert done.exit_code == 0, done.output
    assert "Nothing found" in done.output
    written = json.loads(file.read_text())
    for history in written["contenders"].values():
        assert history["wrong"] == 0 and history["left"]
        assert len(history["answered"]) > len(KINDS) * 0.8
        for name in ("responses made", "streams entered", "bodies opened", "started"):
            assert history["state"][name] > 0
    assert written["contenders"]["onehop"]["broken"] == written["found"] == []
    assert written["contenders"]["onehop"]["state"]["leases taken"] > 0


@pytest.mark.parametrize("plants", GROUPS, ids=lambda plants: ", ".join(plants))
def test_each_leak_breaks_its_law(soaked, plants):
    history, found = soaked(*plants)

    expected = set().union(*map(BREAKS.get, plants))
    assert {re.match(r"\D+", law)[0].strip() for law in history.broken} == expected
    assert all(law in found for law in history.broken)


def test_a_wrong_answer_and_a_complaint_in_the_log_are_found(soaked):
    history, found = soaked("an answer", "a coroutine")

    assert history.wrong == history.answered.get("async view", 0) + history.wrong > 0
    assert "was answered (200, 'somebody-else'" in found
    assert "never awaited in the log" in found


def test_each_law_has_a_leak_and_all_leaks_are_tried():
    assert {law.left for law in LAWS} == set().union(*BREAKS.values())
    assert {*BREAKS, "an answer", "a coroutine"} == set(PLANTS)
    assert {plant for plants in GROUPS for plant in plants} == set(BREAKS)


def test_disconnects_happen_at_each_point(folder):
    """Clients leave before their body is done, in the view, and between chunks; nobody else's answer is wrong."""
    record = Record.of(Options(0.001, requests=REQUESTS, leaving=1, names=("stock",)))

    list(soak(record, folder))

    history = record.histories["stock"]
    assert set(history.left) == {"before the body is done", "in the view", "between chunks"}
    assert sum(history.left.values()) == REQUESTS and history.wrong == 0


def test_a_connection_that_is_kept_open_keeps_no_response(folder):
    """The server's timer has a copy of the request's context, as long as the client is idle."""
    server = Contender("onehop", "uvicorn", folder / "prepared")
    try:
        connection = server.wait().connect()
        server.fetch("/sync/?id=1", connection=connection)
        state = server.quiet_point(census=True, patience_s=1)
        connection.close()
    finally:
        server.end()

    assert (state["responses alive"], state["leases alive"]) == (0, 0)


def test_ctrl_c_writes_what_there_is(prepared, tmp_path):
    """An interrupted run prints its table, writes its files, and says with its exit code that it was interrupted."""
    file = tmp_path / "soak.json"
    arguments = ["-m", "tests.soak", "--minutes", "5", "--requests", "40", "--json", str(file)]
    run = subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert any("of 5 min" in line for line in run.stderr)
        time.sleep(0.2)
        run.send_signal(signal.SIGINT)
        output, errors = run.communicate(timeout=20)
    finally:
        run.kill()

    assert run.returncode == INTERRUPTED, errors
    assert "requests" in output
    assert json.loads(file.read_text())["contenders"]["onehop"]["samples"]
