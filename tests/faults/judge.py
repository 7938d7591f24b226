"""Compare what was seen of a request on stock Django and on Onehop: equal, better, or worse."""

from dataclasses import dataclass

import django
from django.core.handlers.asgi import ASGIHandler

from onehop.handler import OnehopASGIHandler

LAWS = {
    "signals": lambda seen: seen["signals"][0] == seen["signals"][1],
    "closers": lambda seen: seen["closers"][0] == seen["closers"][1],
    "closed": lambda seen: all(seen["closed"]),
    "open bodies": lambda seen: seen["open bodies"] == 0,
    "noise": lambda seen: not seen["noise"],
    "next": lambda seen: seen["next"] == 200,
}
"""What holds after a request that was ended well, whatever happened to it."""
CLOSING = ("signals", "closers", "closed", "open bodies")
"""Those that hold on Onehop after every fault, but where the case says that both leave them unkept."""


@dataclass(frozen=True)
class Reason:
    """
    Why Onehop differs from stock Django.

    Attributes:
        text: For the page.
        page: The page that says so, from the root of the repository; None if it is decided here.
        quote: What that page says.
    """

    text: str
    page: str | None = None
    quote: str = ""


ONCE = Reason(
    "each request that was started is finished, its responses and its body are closed, each once",
    "docs/streams.md",
    "one `close()` of the response that is sent, or of the last one that was made if none is; "
    "one `request_finished`; the body closed last",
)
LISTENER = Reason(
    "nobody has to listen for a disconnect before the request first waits for something, and a hook on the loop runs "
    "to its end",
    "docs/decisions.md",
    "The listener is a task. It can run only when the request's own task waits for something",
)
LEFT = Reason("of a request that was left, no further part is begun")
STREAM = Reason(
    "a sync iterator is sent item by item: what came before the fault has arrived",
    "docs/streams.md",
    "sends each item when it exists",
)
SPARE = Reason(
    "a request that needs no thread, or has one already, does not need another",
    "docs/lanes.md",
    "A request that never hops has no thread.",
)
ITSELF = Reason("what was raised arrives itself, not the `RuntimeError` that asgiref or an async generator makes of it")
WORDS = Reason("what is no message, or no list of middleware, is an error as well, with another text or class")
WAITS = Reason("stock Django waits for ever there on Python 3.11 and 3.12 (a `StopIteration` that no future can hold)")
NEWER = Reason(
    "on Django 5.2 and 6.0 as on 6.1: no `RequestAborted` comes out of a request that was answered, and no "
    "cancellation is lost"
)
NO_FUTURE = "returned and raised RuntimeError: StopIteration interacts badly with generators"
"""How a receiver's ``StopIteration`` ends a request from Python 3.13 on, and on Onehop before."""
REASONS = (ONCE, LISTENER, LEFT, STREAM, SPARE, ITSELF, WORDS, WAITS, NEWER)


class Worse(AssertionError):
    """Onehop differs from stock Django, and no reason holds."""


def tried(case):
    """Play a case on both, and judge it."""
    return judge(case, case.play(ASGIHandler), case.play(OnehopASGIHandler))


def judge(case, stock, onehop):
    """
    Compare what was seen.

    Returns:
        The reasons for which Onehop is better; empty where both are equal.

    Raises:
        Worse: In all other cases.
    """
    differing = [name for name in {**stock, **onehop} if stock.get(name) != onehop.get(name)]
    reasons, unexplained = set(), []
    if reason := _about_steps(case, stock, onehop, differing):
        reasons.add(reason)
    for name in differing:
        if name == "next" and WORDS in reasons and not LAWS[name](stock):
            continue
        if name in LAWS:
            if LAWS[name](onehop) and (reasons or not LAWS[name](stock)):
                if not LAWS[name](stock):
                    reasons.add(ONCE)
                continue
        elif name in ("steps", "messages", "logs", "ended") and reasons - {ONCE}:
            continue
        unexplained.append(name)
    broken = [name for name in CLOSING if name in onehop and not LAWS[name](onehop)]
    broken = [name for name in broken if name not in case.unkept or stock[name] != onehop[name]]
    if "waited for ever" in onehop["ended"] and not case.fault.sticks:
        broken.append("ended")
    unexplained += [name for name in broken if name not in unexplained]
    if unexplained:
        lines = [
            f"{name}:\n  stock:  {stock.get(name)!r}\n  onehop: {onehop.get(name)!r}"[:1000] for name in unexplained
        ]
        raise Worse("\n".join([f"{case} is worse than stock Django, or different without a reason.", *lines]))
    return reasons


def _about_steps(case, stock, onehop, differing):
    """Return the reason why other code ran, other messages were sent, or something else was raised."""
    if not {"steps", "messages", "logs", "ended"}.intersection(differing):
        return None
    both_fail = all("raised" in seen["ended"] for seen in (stock, onehop))
    if case.fault.is_error and both_fail and {"ended", "next", *CLOSING}.issuperset(differing):
        return WORDS
    if stock["ended"].startswith("waited for ever") and onehop["ended"] == "returned":
        return WAITS if onehop["messages"][0].get("status") == 500 and _is_complete(onehop) else None
    if stock["ended"].startswith("waited for ever") and onehop["ended"].startswith(NO_FUTURE):
        return WAITS if {"ended", *LAWS}.issuperset(differing) else None
    is_stream = case.kind == "stream" and case.iterates_on_thread
    is_stream = is_stream and _begins(onehop["messages"], stock["messages"]) and stock["logs"] == onehop["logs"]
    others = [name for name in differing if name not in LAWS and name != "ended"]
    is_older = django.VERSION < (6, 1) and (is_stream or not others)
    if is_older and ("RequestAborted" in stock["ended"] or "CancelledError" in onehop["ended"]):
        return NEWER
    on_the_loop = case.stack in ("loop", "greenlet")
    further = _begins_with(onehop, stock)
    if case.fault.is_sudden and stock["ended"] == onehop["ended"]:
        if further and (on_the_loop or case.phase == "P2"):
            return LISTENER
        if _begins_with(stock, onehop):
            return LEFT
    if case.fault.is_odd and all(
        _is_itself(stock[name], onehop[name], case.fault.raises) or (is_stream and name != "ended")
        for name in differing
        if name not in LAWS
    ):
        return ITSELF
    if "can't start new thread" in stock["ended"] and onehop["ended"] == "returned":
        return SPARE if onehop["messages"] == case.undisturbed() else None
    if is_stream and stock["ended"] == onehop["ended"]:
        return STREAM
    return None


def _begins_with(longer, shorter):
    steps = _begins(longer["steps"], shorter["steps"])
    return steps and _begins(longer["messages"], shorter["messages"]) and longer["logs"] == shorter["logs"]


def _begins(longer, shorter):
    return longer[: len(shorter)] == shorter


def _is_itself(stock, onehop, raised):
    """Tell whether stock Django has made another exception of the one that Onehop passes on."""
    return "RuntimeError" in repr(stock) and "RuntimeError" not in repr(onehop) and raised in repr(onehop)


def _is_complete(seen):
    return bool(seen["messages"]) and not seen["messages"][-1].get("more_body")
