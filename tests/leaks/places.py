"""A place in a request, a hook or a view: it looks into every store, puts the canary, and lets others run."""

import asyncio
import time

from tests.leaks.stores import EVERY, IN_MEMORY, PUT_BY_ASYNC_CODE, PUT_BY_SYNC_CODE
from tests.leaks.tickets import ticket_of

STACKS_WITH_DATABASE = ("database", "rows")
SHORT_SLEEP_S = 0.0005


def visit(request, place):
    """Be at a place in sync code."""
    ticket = ticket_of(request)
    look(request, ticket, place, EVERY if ticket.shape.stack in STACKS_WITH_DATABASE else IN_MEMORY)
    _put(request, ticket, place, PUT_BY_SYNC_CODE)
    time.sleep(_nap_of(ticket))


async def avisit(request, place):
    """Be at a place in async code, which puts nothing where all requests on the loop would share it."""
    ticket = ticket_of(request)
    look(request, ticket, place, IN_MEMORY)
    _put(request, ticket, place, PUT_BY_ASYNC_CODE)
    await asyncio.sleep(_nap_of(ticket))


def look(request, ticket, place, group):
    """Read the stores of a group, and note which hold the own canary and which somebody else's."""
    own = 0
    for bit, store in group.stores:
        found = store.read(request)
        if found is not None:
            if found == store.image(ticket):
                own |= bit
            else:
                ticket.leaks.append((place, store.name, str(found)))
    ticket.looks.append((place, own, group.mask))


def _put(request, ticket, place, group):
    if place == ticket.shape.putter:
        for bit, store in group.stores:
            if ticket.puts & bit:
                store.put(request, ticket)


def _nap_of(ticket):
    """Return 0, which only lets others run, or now and then some time."""
    return SHORT_SLEEP_S if (ticket.number + len(ticket.looks)) % 8 == 0 else 0
