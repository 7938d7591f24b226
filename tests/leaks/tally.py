"""
What was seen, added up: canaries read, leaks, and what stock Django always saw and the contender did not.

A *cell* is one store at one place of one shape of request. It is *steady* when stock Django saw the own canary there
every time, and often enough; there, the contender must see it every time, too, and must come there at all.
"""

import re
from collections import Counter

from tests.leaks import rows, stores

FEWEST = 10
ONE_IN = 1000
"""A cell that was seen less often, or in fewer of the requests, is not steady."""
SURELY_SOUGHT = 40
"""A contender that was to come to a cell so often, going by its number of requests, and never came, has lost it."""
MOST_EXAMPLES = 12

BITS = {name: 1 << number for number, name in enumerate(stores.NAMES)}
ROWS = [f"row of {source}" for source in rows.SOURCES]
PUT_BY_OTHERS = sum(BITS[store.name] for store in stores.BY_OTHERS)
STAMPS = {"log record factory": "thread local", "log record filter": "context variable"}
"""Stores that show what is in another one."""

LISTED = re.compile(r"^outer hybrid, .*: hybrid: (in|out): (thread .*|log record factory)$")
"""What Onehop does otherwise, and nobody else's canary is seen: a hybrid around a sync wrapper runs on the loop."""


class Tally:
    """
    The sums of one contender, or of a part of its requests.

    Attributes:
        steady: How often stock Django came to each steady cell, per request; None for stock Django itself.
    """

    def __init__(self, steady):
        self.steady = steady
        self.requests = 0
        self.reads = 0
        self.looks = Counter()
        self.canaries = Counter()
        self.rows = Counter()
        self.leaks = Counter()
        self.odd = Counter()
        self.examples = []
        self._row_cells = Counter()

    def add(self, ticket, status, expected):
        """Add what one request has seen, and how it was answered."""
        self.requests += 1
        relevant = ticket.puts | PUT_BY_OTHERS
        for stamp, store in STAMPS.items():
            if not ticket.puts & BITS[store]:
                relevant &= ~BITS[stamp]
        for place, own, read in ticket.looks:
            self.looks[ticket.shape, place, own & relevant, read & relevant] += 1
            self.reads += read.bit_count()
        for place, store, found in ticket.leaks:
            self._add_leak(store, f"{ticket.shape} {place}: {store} held {found}, not {ticket.canary}")
        if status != expected:
            self.odd[f"{ticket.shape.stack}, {ticket.shape.view}: {status}, not {expected}"] += 1

    def add_rows(self, tickets, written):
        """
        Add the rows that these requests have made the packages write.

        Args:
            tickets: By canary, those that were to write.
            written: Package, canary and user's name of each row.
        """
        authors = {kind: set() for kind in ROWS}  # one that has written nothing has lost its rows, too
        for package, canary, user in written:
            ticket = tickets.get(canary)
            kind = f"row of {package}"
            self.rows[kind] += 1
            authors[kind].add(canary)
            if ticket is None or user not in (None, ticket.user):
                self._add_leak(kind, f"{kind}: note {canary} was made by {user}")
            elif ticket.user is not None:
                self._row_cells[ticket.shape.view, kind, user is not None] += 1
                self.canaries[kind] += user is not None
        for kind, canaries in authors.items():
            for canary, ticket in tickets.items():
                if ticket.user is not None and canary not in canaries:
                    self._row_cells[ticket.shape.view, kind, False] += 1

    def _add_leak(self, kind, example):
        self.leaks[kind] += 1
        if len(self.examples) < MOST_EXAMPLES:
            self.examples.append(example)

    def cells(self):
        """Return, for each cell, how often the own canary was seen, and how often it was looked for."""
        seen, sought = Counter(), Counter()
        for (shape, place, own, read), count in self.looks.items():
            if shape.view == "waiting":
                continue  # how far it comes is a race
            for name, bit in BITS.items():
                if read & bit:
                    cell = f"{_label(shape)}: {place}: {name}"
                    sought[cell] += count
                    seen[cell] += count if own & bit else 0
        for (view, kind, own), count in self._row_cells.items():
            cell = f"rows, {view}: {kind}"
            sought[cell] += count
            seen[cell] += count if own else 0
        return seen, sought

    def report(self):
        """Return all figures, as JSON has them."""
        seen, sought = self.cells()
        canaries = Counter({**dict.fromkeys([*stores.NAMES, *ROWS], 0), **self.canaries})
        for (_, _, own, _), count in self.looks.items():
            for name, bit in BITS.items():
                if own & bit:
                    canaries[name] += count
        steady = self.steady or {}
        compared = steady.keys() & sought.keys()
        expected = {cell: round(steady[cell] * self.requests) for cell in steady.keys() - sought.keys()}
        lost = {cell: sought[cell] - seen[cell] for cell in compared if seen[cell] < sought[cell]}
        return {
            "requests": self.requests,
            "reads": self.reads,
            "canaries": canaries,
            "rows": dict(self.rows),
            "leaks": dict(self.leaks),
            "lost": {cell: count for cell, count in lost.items() if not LISTED.match(cell)},
            "listed": {cell: count for cell, count in lost.items() if LISTED.match(cell)},
            "compared": len(compared),
            "unsought": {cell: count for cell, count in expected.items() if count >= SURELY_SOUGHT},
            "odd": dict(self.odd),
            "examples": self.examples,
        }

    def steady_cells(self):
        """Return the cells where the own canary was seen every time, each with how often that was, per request."""
        seen, sought = self.cells()
        fewest = max(FEWEST, self.requests // ONE_IN)
        return {
            cell: count / self.requests for cell, count in sought.items() if count >= fewest and seen[cell] == count
        }


def _label(shape):
    return f"{shape.stack}, {shape.view}, {shape.putter if shape.known else 'anonymous'}"
