"""What a contender answered, and what makes a measurement worthless."""

from __future__ import annotations

import hashlib
from typing import TypedDict

from onehop.errors import OnehopError

SHOWN = 60


class BenchError(OnehopError):
    """The benchmark cannot measure this."""


class AnswersDiffer(BenchError):
    """A contender does not answer what stock Django answers, or a view does not answer with status 200."""


class Answer(TypedDict):
    """One view's answer: enough to compare it and to show where it differs."""

    status: int
    size_bytes: int
    sha256: str
    start: str
    varies: bool
    """Two requests to the same contender had different bodies."""


def answer_of(status: int, first: bytes, second: bytes) -> Answer:
    """Describe two answers to the same request."""
    return {
        "status": status,
        "size_bytes": len(first),
        "sha256": hashlib.sha256(first).hexdigest(),
        "start": first[:SHOWN].decode("utf-8", "backslashreplace"),
        "varies": first != second,
    }


def compare(view: str, contender: str, answer: Answer, reference: str, expected: Answer) -> None:
    """
    Make sure that a contender answers a view with status 200 and with the reference's body.

    Bodies are compared byte by byte, unless the view gives two different ones to the same contender.

    Args:
        view: The URL.
        contender: Who answered.
        answer: What it answered.
        reference: Whose answer is right, normally stock Django.
        expected: The reference's answer.

    Raises:
        AnswersDiffer: It does not.
    """
    if answer["status"] != 200:
        raise AnswersDiffer(
            f"'{view}' under '{contender}' has status {answer['status']}. Only status 200 is measured. "
            "Name a URL that answers a GET request without login and without redirect."
        )
    if answer["varies"] or expected["varies"] or answer["sha256"] == expected["sha256"]:
        return
    raise AnswersDiffer(
        f"'{view}' differs between '{reference}' and '{contender}'. "
        f"{reference} sent {_described(expected)}, {contender} sent {_described(answer)}. "
        f"Times of different answers cannot be compared: mend the view, or leave '{contender}' out."
    )


def _described(answer: Answer) -> str:
    return f"{answer['size_bytes']} bytes {answer['start']!r}"
