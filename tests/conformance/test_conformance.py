"""The command that runs Django's own tests, on a small folder of cases in their place."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.conformance import page
from tests.conformance.compare import bare, compare
from tests.conformance.figures import complaints, vacuous
from tests.conformance.suite import ROOT, Run

SMALL = Path(__file__).parent / "small"
LIMIT_S = 120
MODULES = ("cases.Kinds", "cases.FailingSetUp", "cases.Left")


@pytest.fixture
def conformance(tmp_path):
    """Run the command; return its exit code, what it has printed, and its result."""

    def command(*arguments):
        file = tmp_path / "result.json"
        done = subprocess.run(
            [sys.executable, "-m", "tests.conformance", "--tests", SMALL, "--json", file, *arguments],
            cwd=ROOT,
            env={**os.environ, "SEEN": str(tmp_path / "seen")},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )
        print(done.stdout, done.stderr)
        result = json.loads(file.read_text())
        return SimpleNamespace(code=done.returncode, printed=done.stdout, progress=done.stderr, result=result)

    return command


def kinds(part):
    """Return the short names of the tests that a part has found, by what it has found."""
    names = {kind: list(part[kind]) for kind in ("mended", "baseline")}
    names |= {kind: [each["test"] for each in part[kind]] for kind in ("differences", "otherwise", "flakes")}
    return {kind: sorted(name.removeprefix("cases.Kinds.test_") for name in found) for kind, found in names.items()}


def test_each_kind_of_outcome_is_told_from_the_others(conformance):
    found = conformance(*MODULES, "--mode", "B", "--workers", "1")
    (part,) = found.result["parts"]
    assert kinds(part) == {
        "differences": [
            *("cases.FailingSetUp.test_after_set_up", "cases.Left.test_2_finds_nothing"),
            *("only_stock_passes", "setUpClass (cases.FailingSetUp)"),
        ],
        "flakes": ["only_the_second_run_passes"],
        "mended": ["only_onehop_passes"],
        "baseline": ["both_fail", "both_fail_otherwise"],
        "otherwise": ["both_fail_otherwise"],
    }
    assert all("Error" in each["onehop"] for each in part["differences"] if "after_set_up" not in each["test"])
    assert "tier given, Onehop: run 2 of 2, 1 tests" in found.progress
    assert part["modules"]["cases.Kinds"]["stock"] == {"passed": 3, "ran": 6, "skipped": 1}
    assert found.code == 1


def test_a_quick_run_on_two_processes_finds_the_same_without_a_whole_run_of_stock(conformance):
    pytest.importorskip("tblib", reason="Django's runner needs it to bring failures from one process to another")
    found = conformance(*MODULES, "--mode", "B", "--workers", "2", "--quick")
    (part,) = found.result["parts"]
    assert kinds(part) == {
        "differences": [
            *("cases.Left.test_2_finds_nothing", "only_stock_passes", "setUpClass (cases.FailingSetUp)"),
        ],
        "flakes": ["only_the_second_run_passes"],
        "mended": [],
        "baseline": ["both_fail", "both_fail_otherwise"],
        "otherwise": ["both_fail_otherwise"],
    }
    (flake,) = part["flakes"]
    assert flake["sides"] == ["onehop"] and "the first time" in flake["text"]
    assert list(part["seconds"]) == ["onehop"]
    assert part["requests"]["onehop"]["planned"] == 7
    assert found.code == 1


def test_the_modes_are_what_they_say(conformance):
    found = conformance("cases.Requests", "--workers", "1")
    assert found.code == 0, found.printed
    assert [(part["mode"], kinds(part)["baseline"]) for part in found.result["parts"]] == [
        ("A", []),
        ("B", []),
        ("C", []),
    ]
    requests = {part["mode"]: part["requests"] for part in found.result["parts"]}
    assert all(sides["stock"].get("planned", 0) == 0 for sides in requests.values())
    assert requests["A"]["onehop"]["sync"] > requests["A"]["onehop"]["planned"] == 1
    assert requests["B"]["onehop"]["planned"] == requests["B"]["stock"]["async"]
    assert requests["C"]["onehop"]["planned"] == requests["C"]["stock"]["asgi"]


def test_a_run_that_shows_nothing_does_not_pass(conformance):
    found = conformance("cases.Quiet", "--mode", "A", "--workers", "1", "--quick")
    assert (found.code, kinds(found.result["parts"][0])["differences"]) == (1, [])
    assert "VACUOUS" in found.printed


def test_what_could_not_run_has_an_exit_code_of_its_own(conformance, tmp_path):
    found = conformance("--tests", tmp_path, "--quick", "--mode", "A")
    assert (found.code, found.result["parts"], found.result["complete"]) == (2, [], False)
    assert "runtests.py" in found.printed
    assert "Nothing found" not in found.printed


def test_a_known_difference_has_its_reason_until_it_no_longer_occurs():
    stock, onehop = ran("passed"), ran("failed", "AssertionError")
    known = {"a.Test.one": "log wording"}
    found = compare(stock, onehop, lambda tests, alone: (stock, onehop), known)
    assert [each["reason"] for each in found["differences"]] == ["log wording"]
    assert found["stale"] == []
    assert compare(stock, stock, None, known)["stale"] == ["a.Test.one"]


def ran(outcome, text=""):
    """Return a run of one test."""
    return Run({"a.Test.one": outcome}, {"a.Test.one": text} if outcome == "failed" else {}, {}, 0)


@pytest.mark.parametrize(
    ("runs", "sides", "found"),
    [
        ({"stock": "pp", "onehop": "fp"}, ["onehop"], ["a.Test.one fails now and then"]),
        ({"stock": "pf", "onehop": "fp"}, None, []),
        ({"stock": "fp", "onehop": "pp"}, ["stock"], []),
        ({"stock": "fp", "onehop": "pf"}, None, ["a.Test.one fails"]),
    ],
)
def test_a_flake_is_excused_only_if_stock_flakes_too(runs, sides, found):
    """The letters are two runs each, the second one of the whole module."""
    outcomes = {"p": "passed", "f": "failed"}
    first, second = (
        [ran(outcomes[letters[index]], "OSError: busy") for letters in runs.values()] for index in range(2)
    )
    part = compare(*first, lambda tests, alone: second, {})
    part |= {"mode": "B", "requests": {"onehop": {"async": 1, "planned": 1}}}
    assert [each["sides"] for each in part["flakes"]] == ([sides] if sides else [])
    assert complaints(part) == found


def test_only_addresses_are_the_same_for_all():
    assert bare("<Request at 0x7f01> of 140123456789012") == bare("<Request at 0x7f02> of 140123456789099")
    assert bare("404 != 200") != bare("500 != 200")


@pytest.mark.parametrize(
    ("mode", "stock", "onehop", "found"),
    [
        ("A", None, {"sync": 9, "async": 1, "planned": 1}, ""),
        ("A", None, {"sync": 9}, "no request went through Onehop"),
        ("A", None, {"sync": 7, "async": 3, "planned": 1}, "only 1 of 3 async requests were planned"),
        ("B", {"sync": 2, "async": 8}, {"sync": 2, "async": 8, "planned": 8}, ""),
        ("B", {"sync": 2, "async": 8}, {"sync": 3, "async": 7, "planned": 7}, "only 7 of 10 requests were planned"),
        ("C", None, {"sync": 4, "async": 6, "planned": 6}, ""),
        ("C", None, {"sync": 6, "async": 4, "planned": 4}, "only 4 of 10 requests were planned"),
    ],
)
def test_enough_requests_have_to_go_through_a_plan(mode, stock, onehop, found):
    requests = {"onehop": onehop} | ({"stock": stock} if stock else {})
    assert vacuous({"mode": mode, "requests": requests}) == found


def result_of(release, **facts):
    """Return the result of a whole run in which one test was different."""
    counted = {"passed": 1, "ran": 2, "skipped": 0}
    part = {
        "mode": "B",
        "tier": 1,
        "modules": {"handlers": {"stock": {**counted, "passed": 2}, "onehop": counted}},
        "requests": {"stock": {"async": 1234}, "onehop": {"async": 1234, "planned": 1230}},
        "differences": [{"test": "handlers.Test.one", "onehop": "AssertionError", "reason": "log wording"}],
        **{kind: [] for kind in ("mended", "otherwise", "stale")},
        "flakes": [{"test": "handlers.Test.three", "sides": ["onehop"], "text": "OSError: busy"}],
        "baseline": {"handlers.Test.two": "KeyError: 'environ'\n+ more"},
    }
    versions = {"Django": f"{release}.1", "Python": "3.13.0"}
    told = {"release": release, "versions": versions, "date": "2026-11-21", "source": page.digest(), "complete": True}
    return {**told, "parts": [part], **facts}


def test_the_page_says_what_was_found():
    text = page.page([result_of("6.0"), result_of("6.1")])
    assert "Nearly: of 4 tests that stock Django 6.0, 6.1 passes here, Onehop fails 2, and 2 now and then." in text
    assert "| 6.1 | B | 1 | 2/2 | 1/2 | 1,234 | 1,230 |" in text
    assert "* `handlers.Test.one` (6.0 B; 6.1 B): log wording\n" in text
    assert "* `handlers.Test.three` (6.0 B; 6.1 B): Onehop `` OSError: busy ``\n" in text
    assert "* `handlers.Test.two` (6.0 B; 6.1 B): `` KeyError: 'environ' ``\n" in text


@pytest.mark.parametrize(
    ("results", "reason"),
    [
        ([], "there are results of 0 of 1 releases"),
        ([result_of("6.1", complete=False)], "the last run on Django 6.1 was not a whole one"),
        ([result_of("6.1", source="other")], "Onehop has changed since the run on Django 6.1"),
        ([result_of("6.1")], None),
    ],
)
def test_the_page_is_written_only_from_whole_runs_of_the_present_source(results, reason):
    assert page.why_not(["6.1.json"], results) == reason
