"""The tests that Onehop may fail where stock Django passes, each with its reason."""

from typing import NamedTuple


class Known(NamedTuple):
    """
    A known difference.

    Attributes:
        test: The id of the test.
        modes: The modes in which it fails, as letters.
        releases: The releases of Django on which it fails.
        reason: Why that is as it should be.
    """

    test: str
    modes: str
    releases: tuple[str, ...]
    reason: str


KNOWN: tuple[Known, ...] = ()


def rows_for(release, mode):
    """Return the reasons of what is known for a release in a mode, by the id of the test."""
    return {row.test: row.reason for row in KNOWN if mode in row.modes and release in row.releases}
