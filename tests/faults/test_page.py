"""The page is that of the table."""

import pytest

from tests.faults.__main__ import PAGE
from tests.faults.inputs import INPUTS
from tests.faults.judge import ONCE, REASONS
from tests.faults.page import cited, page_of
from tests.faults.table import CASES, FAULTS, PHASES


@pytest.fixture(scope="module")
def page():
    return PAGE.read_text()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_every_fault_has_its_row(page, fault):
    """With a cell for each phase, none of them empty."""
    (row,) = [line for line in page.splitlines() if line.startswith(f"| {fault.name} |")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]

    assert len(cells) == 1 + len(PHASES)
    assert all(cells)


def test_every_reason_and_group_is_there(page):
    """The numbers in the cells mean what they meant when the page was written."""
    for number, reason in enumerate(REASONS, 1):
        assert f"{number}. {cited(reason)}" in page
    for group in {given.group for given in INPUTS}:
        assert f"| {group} |" in page
    assert f"{len(CASES) + len(INPUTS):,} pairs of requests" in page


def test_a_cell_shows_the_worst_of_its_requests():
    """Equal, better with its reason, worse."""
    case = next(case for case in CASES if case.phase == "P5")
    rows = {}
    for name, found in {"equal": [set()], "better": [set(), {ONCE}], "worse": [{ONCE}, None]}.items():
        page = page_of([(case, each) for each in found], "no versions")
        (row,) = [line for line in page.splitlines() if line.startswith(f"| {case.fault.name} |")]
        rows[name] = row.split("|")[2 + list(PHASES).index("P5")].strip()

    assert rows == {"equal": "=", "better": "1", "worse": "**worse**"}
