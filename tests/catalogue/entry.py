"""What the catalogue knows of one bug: somebody's, found elsewhere, that Onehop must not have."""

from typing import NamedTuple


class Entry(NamedTuple):
    """
    One bug of the catalogue.

    Attributes:
        source: Where it was reported: a project and a number, or "measured" for what nobody has reported.
        symptom: What went wrong, in one line.
        reason: Why it does not concern Onehop; None if a test named after its id shows that Onehop lacks it.
    """

    source: str
    symptom: str
    reason: str | None = None
