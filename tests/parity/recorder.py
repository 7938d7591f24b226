"""What code of a case saw at one point, noted in the list that all tests share."""

import asyncio
import contextvars
import threading
from typing import Any, NamedTuple

from asgiref.local import Local

from tests.project.recorder import record

variable: contextvars.ContextVar[Any] = contextvars.ContextVar("variable", default=None)
token_variable: contextvars.ContextVar[Any] = contextvars.ContextVar("token_variable", default=None)
local = Local()


class Own(threading.local):
    """A ``threading.local`` with nothing in it; a new one for each world."""


own = Own()


class Point(NamedTuple):
    """
    Something that happened.

    Attributes:
        who: The middleware, view or receiver.
        what: The hook or event.
        details: Arguments and outcomes, by type and value.
        thread: Identity of the thread; later its name within the request.
        values: What was found in the context variable, the ``Local`` and the ``threading.local``.
    """

    who: str
    what: str
    details: tuple
    thread: Any
    values: tuple


DECLARED = "anywhere"


def note(who, what, *details, mode=None):
    """
    Note a point.

    Args:
        mode: Given for code whose lane is up to its mode ("sync", "async") or to nobody (``DECLARED``): then it is
            noted whether it runs where it may, and nothing of the thread.
    """
    values = (variable.get(), getattr(local, "value", None))
    if mode is None:
        thread = lane()
        values += (getattr(own, "value", None),)
    elif mode == DECLARED or (lane() == "loop") == (mode == "async"):
        thread = "where it may be"
    else:
        thread = f"{mode} code on the wrong lane"
    record.append(Point(who, what, details, thread, values))


class ErrorPoint(Point):
    """A point in the handling of an error, which stock Django may do on a thread of its own."""


def note_error(who, what, *details):
    """Note a point of error handling."""
    record.append(ErrorPoint(who, what, details, lane(), (variable.get(), getattr(local, "value", None))))


def lane():
    """Return "loop", or the identity of this thread."""
    return "loop" if asyncio._get_running_loop() is not None else threading.get_ident()
