"""
What holds after a request, however it has ended. Each law is a generator of sentences that say what is wrong.

The kinds of breach that are counted by themselves have names: a close that was lost, or happened twice, and the same
for ``request_finished``.
"""

import sqlite3
import sys
from collections import Counter

from onehop.run import threads
from tests.cancel.points import present

KINDS = LOST, DOUBLE, LOST_SIGNAL, DOUBLE_SIGNAL = (
    "lost closes",
    "double closes",
    "lost request_finished",
    "double request_finished",
)
LAWS = []


def law(kind=None):
    """Add a law, with the kind of its breach."""

    def add(check):
        LAWS.append((check, kind))
        return check

    return add


def broken_laws(run, scenario):
    """Return what is wrong after a run, and add it up in the run's ``breaches``."""
    found = [(wrong, kind) for check, kind in LAWS for wrong in check(run, scenario)]
    run.breaches.update(kind for _, kind in found if kind)
    return [wrong for wrong, _ in found]


OUTCOMES = {
    "disconnect": {"returned"},
    "blocking_send": {"returned"},
    "failing_send": {"returned", "OSError"},
    "cancel": {"returned", "CancelledError"},
    "cancel_twice": {"returned", "CancelledError"},
    "swallowed_cancel": {"returned", "CancelledError"},
}
"""What may come out of the application after each fault: as under stock Django, or what its view raises itself."""

WAIT_FOR_SWALLOWS = sys.version_info < (3, 12)
"""Whether asyncio's own ``wait_for`` swallows a cancellation that comes when what it waits for has just ended."""


@law()
def it_ends_as_under_stock(run, scenario):
    allowed = set.union({"returned"}, *(OUTCOMES[fault.__name__] for fault in run.faults.values()))
    if "stream that fails" in scenario.name:
        allowed = allowed | {"LookupError"}
    if scenario.unheard:
        allowed = allowed | {"stuck"}
    if run.outcome not in allowed:
        yield f"it ended with {run.outcome}"


@law()
def a_cancellation_is_not_swallowed(run, scenario):
    """Where the server's cancellation came while the task waited, the server gets it back."""
    if scenario.name.startswith("wait_for") and WAIT_FOR_SWALLOWS:
        return
    cancelled = [
        number for number, fault in run.faults.items() if fault.__name__ == "cancel" and number < len(run.trace)
    ]
    waits = any(run.trace[number].endswith(" waits") for number in cancelled)
    if waits and run.outcome == "returned" and not scenario.drops_responses:
        yield "the server's cancellation was swallowed"


@law(LOST_SIGNAL)
def a_finished_for_each_started(run, scenario):
    if scenario.watch != "nobody" and run.finished < run.started:
        yield _signals(run)
    if scenario.watch in ("sync", "async") and run.heard_finished < run.finished:
        yield _signals(run)


@law(DOUBLE_SIGNAL)
def one_of_each_at_most(run, scenario):
    if scenario.watch != "nobody" and (run.started > 1 or run.finished > run.started):
        yield _signals(run)
    if scenario.watch in ("sync", "async") and run.heard_finished > run.finished:
        yield _signals(run)


def _signals(run):
    sent = f"request_started was sent {run.started} times, request_finished {run.finished} times"
    return f"{sent}, its receiver heard it {run.heard_finished} times"


@law(LOST)
def every_response_is_closed(run, scenario):
    if not scenario.drops_responses:
        for response in run.responses:
            if not response.closed:
                yield f"{response!r} was not closed"


@law(LOST)
def everything_opened_is_closed(run, _):
    for name in run.opened - run.closed:
        yield f"{name} was opened {run.opened[name]} times and closed {run.closed[name]} times"


@law(DOUBLE)
def everything_opened_is_closed_once(run, _):
    for name in run.closed - run.opened:
        yield f"{name} was opened {run.opened[name]} times and closed {run.closed[name]} times"


@law(DOUBLE)
def every_request_is_closed_once_at_most(run, scenario):
    for request, times in Counter(run.requests).items():
        if times > 1 and not scenario.drops_responses:
            yield f"{request} was closed {times} times"


@law(LOST)
def every_file_is_closed(run, _):
    for file in run.files:
        if not file.closed:
            yield f"{file!r} is open"


@law()
def every_greenlet_is_dead(run, _):
    for greenlet in run.greenlets:
        if not greenlet.dead:
            yield f"{greenlet!r} is alive"


@law(LOST)
def every_connection_is_closed(run, _):
    for connection in run.connections:
        if connection.closed_in != "no transaction":
            yield f"a database connection was closed in: {connection.closed_in}"


@law()
def every_thread_is_given_back(*_):
    pool = threads.pool
    if pool._busy or pool._closing or pool._waiting:
        yield f"busy: {pool._busy}, closing: {pool._closing}, waiting: {len(pool._waiting)}"
    if len(pool._threads) != len(pool._idle):
        yield f"of {len(pool._threads)} request threads {len(pool._idle)} are idle"


class NotedConnection(sqlite3.Connection):
    """A database connection that tells whether it was closed, and in which state."""

    closed_in = "none: it is open"

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.execute("PRAGMA synchronous = OFF")
        if present.run is not None:
            present.connections.append(self)

    @property
    def is_open(self):
        return self.closed_in is NotedConnection.closed_in

    def close(self):
        self.closed_in = "a transaction" if self.in_transaction else "no transaction"
        super().close()
