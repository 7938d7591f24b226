"""Each bug of the catalogue is shown by a test, or has a reason why it is none of ours."""

from tests.catalogue.__main__ import IDS, PAGE, entries, page, shown_by


def test_each_bug_has_an_entry():
    """With a source, and with what went wrong in a sentence."""
    assert list(entries()) == list(IDS)
    assert [number for number, entry in entries().items() if not (entry.source and entry.symptom.endswith("."))] == []


def test_each_bug_has_a_test_or_a_reason():
    """Never both, and no test is named after a bug that is not there."""
    with_reason = {number for number, entry in entries().items() if entry.reason}

    assert sorted([*with_reason, *shown_by()]) == list(IDS)


def test_the_page_says_what_is_there():
    """``docs/catalogue.md`` is written anew with ``python -m tests.catalogue --write``."""
    assert PAGE.read_text(encoding="utf-8") == page()
