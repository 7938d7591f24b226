"""Which faults at which phases: one list, from which the tests and the page are made."""

import asyncio
from dataclasses import dataclass, replace

from django.core.handlers.asgi import ASGIHandler

from tests.faults import faults
from tests.faults.faults import Do, Hold, Meanwhile, Raise, Stand, Stuck
from tests.faults.scene import PATIENCE_S, Scene, play
from tests.faults.site import STACKS

PHASES = {
    "P0": ("before the body", ("first receive",)),
    "P1": ("during the body", ("second receive",)),
    "P2": ("after the body", ("request_started",)),
    "P3": ("request hook", ("request hook",)),
    "P4": ("`process_view`", ("view hook",)),
    "P5": ("view", ("view",)),
    "P6": ("template hook, rendering", ("template hook", "render")),
    "P7": ("response hook", ("response hook",)),
    "P8": ("before the response starts", ("send start",)),
    "P9": ("between pieces", ("item", "send body")),
    "P10": ("after the last piece", ("send end",)),
    "P11": ("`close`, `request_finished`", ("closer", "request_finished")),
}
SERVER = ("first receive", "second receive", "send start", "send body", "send end")
SENDING = ("send start", "send body", "send end")
RECEIVING = ("first receive", "second receive")
EVERY = tuple(point for _, points in PHASES.values() for point in points)
CODE = tuple(point for point in EVERY if point not in SERVER)
WATCHED = ("request_started", "request_finished", "closer")

NO_CODE = "no code of the project runs there"
NOT_SENDING = "nothing is being sent there"


@dataclass(frozen=True)
class Fault:
    """
    One row of the table.

    Attributes:
        name: What happens.
        make: Makes it, with ``strike`` and ``astrike``.
        points: Where it can happen.
        elsewhere: Why it cannot happen at the other points.
        is_sudden: It comes from outside while code runs.
        is_odd: It is an exception that coroutines cannot pass on.
        raises: The exception's class, by name.
        is_answered: It is an ordinary exception of the project's code: the request is answered all the same.
    """

    name: str
    make: object
    points: tuple = EVERY
    elsewhere: str = ""
    is_sudden: bool = False
    is_odd: bool = False
    raises: str = ""
    is_answered: bool = False

    is_error = False

    @property
    def breaks_files(self):
        """It keeps the body from being written to the disk."""
        return "EMFILE" in self.name or "ENOSPC" in self.name

    @property
    def sticks(self):
        """It makes the request wait for ever."""
        return getattr(self.make, "sticks", False)


NO_FAULT = Fault("nothing", lambda: None)


@dataclass(frozen=True)
class Case:
    """One request with one fault."""

    fault: Fault
    phase: str
    point: str
    kind: str
    stack: str

    def __str__(self):
        return f"{self.fault.name} at {self.phase} ({self.point}, {self.kind}, {self.stack})"

    @property
    def iterates_on_thread(self):
        return self.stack in ("thread", "bridged")

    @property
    def unkept(self):
        """The laws of closing that neither stock Django nor Onehop keeps then."""
        if self.phase in ("P6", "P7") and self.fault.is_answered:
            return ("closers", "closed")  # of the response that the hook was given, or that could not be rendered
        if self.point == "closer" and self.fault.raises and not self.fault.is_answered:
            return ("signals", "closed")  # Django's `close` calls the closers, then sends the signal
        return ()

    def undisturbed(self):
        """Return what stock Django sends without the fault."""
        return replace(self, fault=NO_FAULT).play(ASGIHandler)["messages"]

    def play(self, make_handler):
        """Send the request to a new handler; return what was seen."""
        hangs = self.fault.is_odd and make_handler is ASGIHandler  # on Python 3.11 and 3.12
        patience_s = 1 if hangs else PATIENCE_S
        scene = Scene(STACKS[self.stack], self.point, self.kind, self.fault.make(), patience_s=patience_s)
        return play(make_handler, scene)


def cases_of(fault, phase):
    """Return the requests of one cell: for each point, kind of response and stack that there is."""
    return [
        Case(fault, phase, point, kind, stack)
        for point in PHASES[phase][1]
        if point in fault.points
        for kind in kinds_at(point)
        for stack in STACKS
        if point not in WATCHED or STACKS[stack].receivers
    ]


def kinds_at(point):
    """Return the kinds of response with which a request comes to a point."""
    if point in ("template hook", "render"):
        return ("template",)
    if point == "item":
        return ("stream",)
    if point == "send body":
        return ("large", "stream")
    if point in ("send end", "closer"):
        return ("plain", "stream")
    return ("plain",)


def raising(error, *arguments, is_odd=False):
    name, make = error.__name__, lambda: Raise(lambda: error(*arguments))
    return Fault(
        f"`{name}` is raised", make, CODE, NO_CODE, is_odd=is_odd, raises=name, is_answered=issubclass(error, Exception)
    )


def meanwhile(name, act):
    return Fault(name, lambda: Meanwhile(act), is_sudden=True)


FAULTS = [
    meanwhile("the client leaves", faults.leave),
    meanwhile("the server cancels", faults.cancel),
    meanwhile("the server cancels twice", faults.cancel_twice),
    meanwhile("the client leaves, the server cancels", faults.leave_and_cancel),
    meanwhile("`receive` raises `OSError`", faults.break_receiving),
    Fault("`receive` answers its cancellation with a disconnect", lambda: Do(faults.swallow_cancel)),
    Fault("`send` raises `OSError`", lambda: Do(faults.break_sending), SENDING, NOT_SENDING),
    Fault("`send` waits for ever", Stuck, SENDING, NOT_SENDING),
    Fault("`send` waits until the client leaves", lambda: Stand(faults.leave), SENDING, NOT_SENDING),
    Fault("`send` waits until the server cancels", lambda: Stand(faults.cancel), SENDING, NOT_SENDING),
    Fault("the client reads slowly", lambda: Do(faults.send_slowly), SENDING, NOT_SENDING),
    raising(ValueError, "of the project"),
    raising(SystemExit, 3),
    raising(KeyboardInterrupt),
    raising(GeneratorExit, is_odd=True),
    raising(asyncio.CancelledError),
    raising(BaseExceptionGroup, "several", [SystemError("one"), GeneratorExit("two")]),
    raising(ExceptionGroup, "several", [ValueError("one"), OSError("two")]),
    raising(StopIteration, "early", is_odd=True),
    raising(StopAsyncIteration, "early", is_odd=True),
    Fault("memory is exhausted", lambda: Do(faults.exhaust_memory), CODE, NO_CODE, is_answered=True),
    Fault("endless recursion", lambda: Do(faults.recurse), CODE, NO_CODE, is_answered=True),
    Fault("no thread can be started from here on", lambda: Hold(faults.no_new_thread)),
    Fault("no file can be opened from here on (EMFILE)", lambda: Hold(faults.no_new_file)),
    Fault(f"the loop stands still for {faults.STALL_S} s", lambda: Meanwhile(faults.stall)),
    Fault(
        "the disk of temporary files is full (ENOSPC)",
        lambda: Hold(faults.full_disk),
        RECEIVING,
        "the body is read before",
    ),
    Fault("garbage is collected all the time", lambda: Hold(faults.garbage_collected_often)),
    Fault("`gc.freeze()`", lambda: Hold(faults.frozen_garbage)),
    Fault("the clock is set back", lambda: Hold(faults.clock_set_back)),
]

CASES = [case for fault in FAULTS for phase in PHASES for case in cases_of(fault, phase)]


ONCE_BROKEN = [
    case
    for case in CASES
    if (case.fault.raises == "StopIteration" and case.stack == "greenlet" and case.phase in ("P3", "P7"))
    or (case.fault.raises == "StopIteration" and case.point in ("request_started", "request_finished"))
    or (case.fault.breaks_files and case.phase in ("P0", "P1"))
]
"""What a run has found, and what is mended since."""


def some(cases):
    """Return a seventh of the cases, in which the six stacks take turns, and what was broken once."""
    return list(dict.fromkeys([*cases[::7], *ONCE_BROKEN]))
