"""
Where Onehop is better than stock Django on purpose.

An entry turns what stock Django did into what Onehop is to do; that is then compared as all else is. It changes only
what its sentence says, and only where that applies; each has a test in ``test_listed.py``.
"""

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise, zip_longest
from typing import Any

import django

from tests.parity.nouns import Spec
from tests.parity.recorder import ErrorPoint, Point
from tests.parity.stacks import RAISES

LISTED = []


@dataclass(frozen=True)
class Entry:
    """
    One improvement.

    Attributes:
        says: The improvement, in one sentence.
        where: Where it is described.
        improve: Called with the case, the request or None, and what stock Django did and Onehop did; returns what
            Onehop is to do.
    """

    says: str
    where: str
    improve: Callable[..., Any]

    def __str__(self):
        return self.improve.__name__.replace("_", " ")


def entry(says, where):
    def add(improve):
        LISTED.append(Entry(says, where, improve))
        return improve

    return add


def expected_of(case, request, stock, onehop, used):
    """Return what Onehop is to do where stock Django did this; count the entries that say so."""
    for each in LISTED:
        improved = each.improve(case, request, stock, onehop)
        if improved != stock:
            used[str(each)] += 1
            stock = improved
    return stock


@entry("A request has one database connection: the one its error handlers use.", "docs/lanes.md")
def one_connection_per_request(case, request, stock, onehop):
    """Stock Django runs an error handler on a thread that may have one of its own, left open there by chance."""
    statuses = [status or 0 for _, _, _, status, _, _ in stock.logs]
    statuses += [detail for point in stock.points for detail in point.details if isinstance(detail, int)]
    if not any(map(is_handler, stock.points)) and max(statuses, default=0) < 400:
        return stock
    opened = [at for at, point in enumerate(onehop.points) if point.who == "connection_created"]
    handled = next((at for at, point in enumerate(onehop.points) if is_handler(point)), -1)
    if len(opened) != 1 or (case.site.errors == "querying" and opened[0] > handled + 1):
        return stock
    points = numbered_anew([point for point in stock.points if point.who != "connection_created"])
    points.insert(opened[0], onehop.points[opened[0]])
    return replace(stock, points=points)


def numbered_anew(points):
    """Number the threads from 0 again, in the order of their first use, as when these points had been all."""
    used = dict.fromkeys(point.thread for point in points if str(point.thread).startswith("thread "))
    numbers = {thread: f"thread {number}" for number, thread in enumerate(used)}
    return [point._replace(thread=numbers.get(point.thread, point.thread)) for point in points]


def is_handler(point):
    """Tell whether an error handler was called there."""
    return isinstance(point, ErrorPoint) and point.what == "called"


@entry("Error handlers, and receivers of got_request_exception, run on the request's thread.", "docs/lanes.md")
def errors_on_the_request_thread(case, request, stock, onehop):
    behind = onehop.points[len(stock.points) :]  # closers that stock Django never calls: they make the thread known
    threads = {point.thread for point in [*stock.points, *behind] if not isinstance(point, ErrorPoint)}
    place = "thread 0" if "thread 0" in threads else "other"
    points = [point._replace(thread=place) if point.thread == "other" else point for point in stock.points]
    return replace(stock, points=points)


@entry("An exception leaves the handler with its own context: no task group takes its place.", "docs/decisions.md")
def own_context(case, request, stock, onehop):
    group = (stock.error or {}).get("context")
    if not group or group["error"] != "ExceptionGroup('unhandled errors in a TaskGroup',)" or group["group"] != [None]:
        return stock
    return replace(stock, error=stock.origin) if fails(stock, (stock.origin or {}).get("error")) else stock


@entry(
    "asgiref overwrites an exception's context at each crossing; Onehop crosses less, and elsewhere.", "docs/lanes.md"
)
def contexts_after_fewer_crossings(case, request, stock, onehop):
    if stock.error is None or onehop.error is None:
        return stock
    theirs, ours = contexts_of(stock.error), contexts_of(onehop.error)
    same_ends = theirs[0] == ours[0] and theirs[-1]["error"] == ours[-1]["error"]
    none_lost = {each["error"] for each in theirs} <= {each["error"] for each in ours}
    causes = {each["cause"]["error"] for each in theirs if each["cause"]}  # of raise … from
    raised = {each["error"] for each in theirs + contexts_of(stock.origin)} | causes | HANDLED | raised_at(stock.points)
    none_invented = {each["error"] for each in ours} <= raised
    return replace(stock, error=onehop.error) if same_ends and none_lost and none_invented else stock


def contexts_of(error):
    """Return an exception and those it was raised in, without their links, outermost first; nothing of None."""
    chain = []
    while error is not None:
        chain.append({**error, "context": None})
        error = error["context"]
    return chain


def raised_at(points):
    """Return what code of the case may have raised there: stock Django's crossings may have overwritten it early."""
    names = {name for point in points for name in (point.who, f"{point.who} {point.what}")}
    return {f"{type(make('')).__name__}('{name}',)" for name in names for make in RAISES.values()}


@entry("A token that process_request was given is valid in process_response, on the same hop.", "docs/lanes.md")
def tokens_are_valid(case, request, stock, onehop):
    points = [
        theirs._replace(details=ours.details) if (theirs.details, ours.details) == TOKEN_RESET else theirs
        for theirs, ours in zip_longest(stock.points, onehop.points[: len(stock.points)], fillvalue=NOTHING)
    ]
    return replace(stock, points=points)


TOKEN_RESET = ("in another context",), ("done",)
NOTHING = ErrorPoint("nobody", "nothing", (), None, ())


@entry("A sync iterator is not consumed first, so Django's warning that it has to be is not given.", "docs/streams.md")
def no_warning_for_sync_streams(case, request, stock, onehop):
    return replace(stock, warnings=[each for each in stock.warnings if not each[1].startswith(CONSUMES)])


CONSUMES = "StreamingHttpResponse must consume synchronous iterators"


@entry("Items of a sync stream are sent at once, so also those before one that fails.", "docs/streams.md")
def items_before_a_failing_one(case, request, stock, onehop):
    sent = onehop.messages[1:]
    if not (fails(stock, "Boom('stream',)") and len(stock.messages) == 1 and onehop.messages[:1] == stock.messages):
        return stock
    if not all(message["more_body"] for message in sent) or not b"onetwo".startswith(plain_of(onehop.messages)):
        return stock
    if request.send_fails_at == len(onehop.messages) and fails(onehop, CLIENT_IS_GONE):
        return replace(stock, messages=stock.messages + sent, error=onehop.error)
    if plain_of(onehop.messages) != b"onetwo":
        return stock
    context = stock.error["context"]
    error = {**stock.error, "context": None} if context and context["error"] == NOT_ASYNC else stock.error
    return replace(stock, messages=stock.messages + sent, error=error)


CLIENT_IS_GONE = "OSError('the client is gone',)"
"""What ``send`` raises."""
NOT_ASYNC = """TypeError("'async for' requires an object with __aiter__ method, got map",)"""
"""What Django's own code raises, and handles, to find out that an iterator is sync."""
NO_SESSION = """AttributeError("'ASGIRequest' object has no attribute 'session'",)"""
HANDLED = {NOT_ASYNC, NO_SESSION}
"""What Django's own code handles by raising another; stock Django's crossings may have overwritten it early."""


@entry("When send raises, no further item is taken from a sync iterator.", "docs/streams.md")
def items_that_nobody_gets_are_not_made(case, request, stock, onehop):
    if request is None or len(onehop.messages) != request.send_fails_at:
        return stock
    items = [point for point in stock.points if point.what == "item"]
    taken = [point for point in items if point in onehop.points]
    if taken != items[: len(taken)]:
        return stock
    made = [point for point in stock.points if point.what != "item" or point in taken]
    last = {point.who: point.details[0] for point in onehop.points if point.what == "item"}
    points = [
        point._replace(values=(f"{point.who} item {last[point.who]}", *point.values[1:]))
        if point.what == "stream ends" and point.who in last
        else point
        for point in made
    ]
    return replace(stock, points=points)


@entry(
    "Of the receivers of a signal the sync ones come first, then the async ones (Django 6.1 does so).", "docs/lanes.md"
)
def sync_receivers_come_first(case, request, stock, onehop):
    if django.VERSION >= (6, 1):
        return stock
    points = list(stock.points)
    for at, (first, second) in enumerate(pairwise(stock.points)):
        if first.who == second.who in ("request_started", "request_finished") and first.what == "async" != second.what:
            points[at : at + 2] = second, first
    return replace(stock, points=points)


def fails(stock, error):
    return stock.error is not None and stock.error["error"] == error


def plain_of(messages):
    """Return the body that messages carry, decompressed as far as it goes."""
    body = b"".join(message.get("body", b"") for message in messages[1:])
    gzipped = (b"Content-Encoding", b"gzip") in messages[0]["headers"]
    return zlib.decompressobj(31).decompress(body) if gzipped else body


@entry(
    "Whatever exception leaves the handler, the response is closed and request_finished sent, once.", "docs/lanes.md"
)
def closed_after_an_exception(case, request, stock, onehop):
    if request is None or stock.error is None:
        return stock
    same = len(stock.points)
    closing = onehop.points[same:]
    closed = {(each.who, each.what) for each in closing}
    once = len(closed) == len(closing)
    if not (once and closed <= CLOSING and onehop.points[:same] == stock.points):
        return stock
    missing = [Point(*each, ("is owed",), None, ()) for each in sorted(owed(case, request, stock) - closed)]
    return replace(stock, points=stock.points + closing + missing)


def owed(case, request, stock):
    """Return what has to be closed behind an exception that stock Django let leave the handler."""
    due = {("request_finished", point.what) for point in stock.points if point.who == "request_started"}
    if is_plain(case, request, stock) and fails(stock, CLIENT_IS_GONE):
        due |= CLOSES.get(case.site.views[request.to].does, lambda who: set())(f"view {request.to}")
    return due - {(point.who, point.what) for point in stock.points}


def is_plain(case, request, stock):
    """Tell whether what is sent is what the view has answered, whatever the settings."""
    if not any(point.what == "view" for point in stock.points) or any(
        isinstance(each, ErrorPoint) for each in stock.points
    ):
        return False
    if not isinstance(request.to, int) or case.site.prefixed or case.site.views[request.to].decorators:
        return False
    if request.scope or request.headers or request.method not in ("GET", "POST") or request.body:
        return False
    hooks_only = all(isinstance(each, Spec) and each.kind == "hooks" for each in case.site.stack)
    return hooks_only and all(does == "pass" for each in case.site.stack for does in each.hooks.values())


CLOSES = {
    "closers": lambda who: {(who, f"closer {number}") for number in (1, 2, 3)},
    "file": lambda who: {("file", "close")},
}
CLOSING = {
    ("request_finished", "sync"),
    ("request_finished", "async"),
    ("file", "close"),
    *(
        (f"view {number}", event)
        for number in range(10)
        for event in ("closer 1", "closer 2", "closer 3", "stream ends")
    ),
}


@entry(
    "An async iterator that is cut short is closed with the response, not by the garbage collector.", "docs/streams.md"
)
def async_iterators_are_closed_at_once(case, request, stock, onehop):
    if request is not None:
        return stock
    late = {f"view {number}" for number, view in enumerate(case.site.views) if view.does.endswith("async stream")}
    points = [point for point in stock.points if point.what != "stream ends" or point.who not in late]
    return replace(stock, points=points)


@entry("Onehop keeps marks of its own on the request.", "docs/decisions.md")
def marks_on_the_request(case, request, stock, onehop):
    marks = {name: value for name, value in onehop.attributes.items() if name.startswith("_onehop_")}
    return replace(stock, attributes={**stock.attributes, **marks})


@entry(
    "A hybrid runs in the mode that crosses least: Django's for remote users keep the user as that mode does.",
    "docs/lanes.md",
)
def users_of_the_other_mode(case, request, stock, onehop):
    if not any(each in REMOTE_USERS for each in case.site.stack):
        return stock
    theirs, ours = ({name: one.attributes[name] for name in USERS if name in one.attributes} for one in (stock, onehop))
    users = [*theirs.values(), *ours.values()]
    if not (theirs and ours and all(user == users[0] for user in users)):
        return stock
    others = {name: value for name, value in stock.attributes.items() if name not in USERS}
    return replace(stock, attributes={**others, **ours})


REMOTE_USERS = [f"django.contrib.auth.middleware.{name}RemoteUserMiddleware" for name in ("", "Persistent")]
USERS = ("_cached_user", "_acached_user")


@entry("A thread that user code has left something on is retired, which a DEBUG record says.", "docs/lanes.md")
def retired_threads(case, request, stock, onehop):
    ours = [each for each in case.site.stack if isinstance(each, Spec)]
    if request is None or not any("threading.local" in each.touches for each in (*ours, *case.site.views)):
        return stock
    logs = list(stock.logs)
    for at, each in enumerate(onehop.logs):
        if each in RETIRED:
            logs.insert(at, each)
    return replace(stock, logs=logs)


RETIRED = [
    ("onehop", "DEBUG", f"A request thread was retired: {name} holds 'value'.", None, None, False)
    for name in ("a tests.parity.recorder.Own", "tests.parity.recorder.own")  # its own, where there was time to look
]


@entry("A database connection that an error handler opened is closed.", "docs/lanes.md")
def connections_of_error_handlers_are_closed(case, request, stock, onehop):
    return replace(stock, warnings=[each for each in stock.warnings if each != UNCLOSED])


UNCLOSED = ("ResourceWarning", "unclosed database in <sqlite3.Connection object at 0x>")


@entry("The body is closed when an exception leaves the handler (Django 6.1 does the same).", "docs/streams.md")
def bodies_are_closed(case, request, stock, onehop):
    if django.VERSION >= (6, 1):
        return stock
    return replace(stock, warnings=[each for each in stock.warnings if each != UNCLOSED_BODY])


UNCLOSED_BODY = ("ResourceWarning", "Unclosed file <tempfile.SpooledTemporaryFile object at 0x>")


@entry("An uploaded file is closed when an exception leaves the handler.", "docs/lanes.md")
def uploads_are_closed(case, request, stock, onehop):
    return replace(stock, warnings=[each for each in stock.warnings if not UNCLOSED_UPLOAD.fullmatch(each[1])])


UNCLOSED_UPLOAD = re.compile(r"unclosed file <_io\.FileIO name='[^']+\.upload\.\w+' mode='rb\+' closefd=True>")


@entry(
    "A client that leaves during a second call of get_response is noticed; asgiref has lost the task.",
    "docs/decisions.md",
)
def second_calls_are_cancelled(case, request, stock, onehop):
    twice = any(isinstance(each, Spec) and each.around == "twice" for each in case.site.stack)
    in_time = [point for point in stock.points if point.what != "no longer waits"]  # and not because all is over
    if twice and request is None:
        return replace(stock, points=in_time)
    if not (twice and fails(stock, "TimeoutError()") and onehop.error is None):
        return stock
    behind = onehop.points[len(in_time) :]
    noticed = behind and behind[0].what == "no longer waits"
    return replace(stock, error=None, points=in_time + behind) if noticed else stock


@entry("What closes a response sees the context of its request (Django 6.1 does the same).", "docs/lanes.md")
def closed_in_the_context_of_the_request(case, request, stock, onehop):
    if django.VERSION >= (6, 1):
        return stock
    points = [
        theirs._replace(values=(*ours.values[:2], *theirs.values[2:]))
        if is_closing(theirs) and set(ours.values[:2]) <= values_of(stock.points[:at])
        else theirs
        for at, (theirs, ours) in enumerate(
            zip_longest(stock.points, onehop.points[: len(stock.points)], fillvalue=NOTHING)
        )
    ]
    return replace(stock, points=points)


def values_of(points):
    """Return what these points saw in the variable and the ``Local``, or their code may have put there."""
    return {None}.union(*[(*point.values[:2], point.who) for point in points])


def is_closing(point):
    return (point.who, point.what) in CLOSING and point.values[:2] == (None, None)
