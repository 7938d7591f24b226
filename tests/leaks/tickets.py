"""
A ticket goes with one request: whose it is, what it puts where, and what each of its places saw.

It travels in the ASGI scope or the WSGI environ, so that it is certain which request a place belongs to.
"""

from typing import NamedTuple

USERS = 300
"""So many users take turns; a canary is one request's alone."""


class Shape(NamedTuple):
    """
    What kind of request it is.

    Attributes:
        putter: The place that puts the canary.
        known: False for an anonymous request, which puts nothing.
    """

    stack: str
    view: str
    putter: str
    known: bool


class Ticket:
    """
    One request.

    Attributes:
        canary: What it puts into stores; nobody else puts that.
        user: The name of its user; None for an anonymous one.
        puts: The stores it puts its canary into, as a mask of bits.
        meets: True for one that waits inside its view until another one is there.
        looks: What each place saw: its name, the stores that held the own canary, the stores that were read.
        stamps: What was written on its last log record, by the factory and by the filter.
        leaks: What was somebody else's: place, store, what was found.
    """

    __slots__ = ("canary", "leaks", "looks", "meets", "number", "puts", "shape", "stamps", "user")

    def __init__(self, number, shape, puts, meets=False):
        self.number = number
        self.shape = shape
        self.canary = str(number)
        self.user = f"user-{number % USERS}" if shape.known else None
        self.puts = puts
        self.meets = meets
        self.stamps = None, None
        self.looks = []
        self.leaks = []


def ticket_of(request):
    """Return the ticket of a request of Django's."""
    carrier = getattr(request, "scope", None)
    return (request.environ if carrier is None else carrier)["ticket"]
