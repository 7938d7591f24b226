"""Each fault at each phase: Onehop does what stock Django does, or better for a reason that is written down."""

import os
from pathlib import Path

import pytest

from onehop.run.closing import Closing
from tests.faults.judge import REASONS, Worse, judge, tried
from tests.faults.table import CASES, FAULTS, PHASES, cases_of, some

ROOT = Path(__file__).parent.parent.parent
CHOSEN = CASES if os.environ.get("ONEHOP_LONG") else some(CASES)


@pytest.mark.parametrize("case", CHOSEN, ids=str)
def test_a_fault_is_as_in_stock_django_or_better(case):
    """The fault strikes, and the request ends as in stock Django; where not, closed properly, for a listed reason."""
    tried(case)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_phase_without_a_fault_has_a_reason(fault):
    """No cell of the table is empty."""
    missing = [phase for phase in PHASES if not cases_of(fault, phase)]

    assert not missing or fault.elsewhere


@pytest.mark.parametrize("reason", [each for each in REASONS if each.page], ids=lambda reason: reason.page)
def test_a_reason_is_what_its_page_says(reason):
    """Who changes the page sees which cells lean on it."""
    assert reason.quote in " ".join((ROOT / reason.page).read_text().split())


def test_a_request_that_is_not_closed_is_seen(monkeypatch):
    """The comparison can fail: without its closing, Onehop is worse at a plain end already."""
    case = next(case for case in CASES if case.fault.name == "the clock is set back" and case.stack == "thread")
    monkeypatch.setattr(Closing, "_finish", lambda closing, *send: closing.body_file.close())

    with pytest.raises(Worse, match="signals"):
        tried(case)


def test_another_message_is_seen():
    """What no law is about has to be equal."""
    case = next(case for case in CASES if not case.fault.is_sudden)
    seen = {"ended": "returned", "messages": [{"body": b"a"}], "steps": [], "logs": [], "closed": [True]}

    with pytest.raises(Worse, match="messages"):
        judge(case, seen, {**seen, "messages": [{"body": b"b"}]})
