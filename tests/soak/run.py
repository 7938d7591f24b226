"""
Run the soak: load the contenders in turns, and look at each one when nothing is in flight.

One load process loads one contender at a time, with the same requests for both: what else the machine does hits both
alike. In every second pair of turns, from the first on, the signals of a request have receivers.
"""

import itertools
import json
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from http.client import HTTPException
from operator import attrgetter

from tests.process import ROOT
from tests.soak import laws
from tests.soak.contender import Contender, make_folder
from tests.soak.load import Order

CENSUS_EVERY = 5
"""Each so many turns all objects of the process are counted, behind a garbage collection."""
WARM_UP_SHARE = 0.2
OF_ORDER = attrgetter("seed", "requests", "clients", "leaving")
SAMPLED = (
    *("rss_mb", "peak_rss_mb", "threads", "descriptors", "files open", "tasks left"),
    *("objects", "blocks", "greenlets alive", "leases alive", "streams alive", "requests alive", "responses alive"),
)


class CouldNotRun(Exception):
    """The servers did not start."""


class Found(Exception):
    """Something that must not be: a broken law, a wrong answer, a complaint in the log."""


@dataclass(frozen=True, slots=True)
class Options:
    """
    What to run.

    Attributes:
        minutes: How long.
        requests: How many in each turn.
        leaving: The share of clients that hang up before they have their answer.
        names: The contenders, in the order of their turns.
        patience_s: How long is waited at a quiet point until the laws hold.
        plants: The leaks that the site is to have, by their names in ``plants``.
        traced: Whether the interpreters trace their memory.
    """

    minutes: float
    server: str = "uvicorn"
    seed: int = 1
    requests: int = 400
    clients: int = 8
    leaving: float = 0.05
    names: tuple[str, ...] = ("onehop", "stock")
    patience_s: float = 10
    plants: tuple[str, ...] = ()
    traced: bool = False


@dataclass(slots=True)
class History:
    """
    What one contender has done so far.

    Attributes:
        answered: Right answers, by kind of request.
        left: Disconnects, by the point at which the client left.
        samples: What was seen at each quiet point, with ``s``, the seconds since the start.
        state: The last state.
        broken: The laws that did not hold at the last quiet point, in words.
        complaints: What the server's log complains of, and how often.
        grown: The lines that allocated most since the warm-up, if memory is traced.
    """

    answered: dict[str, int] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)
    wrong: int = 0
    shown: list[str] = field(default_factory=list)
    loaded_s: float = 0.0
    samples: list[dict[str, float]] = field(default_factory=list)
    state: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    complaints: dict[str, int] = field(default_factory=dict)
    grown: list[str] = field(default_factory=list)

    def requests(self):
        return sum(self.answered.values()) + sum(self.left.values()) + self.wrong

    def add(self, outcome):
        """Add what came of a turn."""
        for mine, more in ((self.answered, outcome["answered"]), (self.left, outcome["left"])):
            for name, count in more.items():
                mine[name] = mine.get(name, 0) + count
        self.wrong += outcome["wrong"]
        self.shown = (self.shown + outcome["shown"])[:5]
        self.loaded_s += outcome["elapsed_s"]

    def points(self, name, since_s=0.0):
        """Return the seconds and values of one number, from a second on."""
        return [(each["s"], each[name]) for each in self.samples if name in each and each["s"] >= since_s]


@dataclass(slots=True)
class Record:
    """
    A run: what was asked for and what was seen so far.

    Attributes:
        histories: One for each contender, by name.
        elapsed_s: How long the run has been going on.
    """

    options: Options
    histories: dict[str, History]
    elapsed_s: float = 0.0

    @classmethod
    def of(cls, options):
        return cls(options, {name: History() for name in options.names})

    @property
    def warm_up_s(self):
        return self.elapsed_s * WARM_UP_SHARE


class Load:
    """The process that loads one server at a time."""

    def __enter__(self):
        command = [sys.executable, "-m", "tests.soak.load"]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.communicate()

    def carry_out(self, order):
        """Return the outcome of an order."""
        print(json.dumps(asdict(order)), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        assert line, "the load process has ended"
        return json.loads(line)


def soak(record, folder):
    """
    Run until the time is over, and yield after each turn. What was seen is added to the record.

    Args:
        record: The record, new.
        folder: Where the contenders may write; it must be there.

    Raises:
        CouldNotRun: The servers did not start.
        Found: The run is over before its time.
    """
    options = record.options
    with ExitStack() as stack:
        try:
            contenders = _start(options, folder, stack)
        except (AssertionError, OSError, subprocess.SubprocessError) as error:
            raise CouldNotRun(str(error)) from error
        load = stack.enter_context(Load())
        began = time.monotonic()
        for turn in itertools.count():
            for contender in contenders:
                history = record.histories[contender.name]
                try:
                    state = _take_turn(options, turn, load, contender, history)
                except (OSError, HTTPException) as error:
                    raise Found(f"{contender.name} no longer answers: {error!r}") from error
                record.elapsed_s = time.monotonic() - began
                seen = {each: state[each] for each in SAMPLED if each in state}
                history.samples.append({"s": record.elapsed_s, **seen})
                yield
                if contender.name == "onehop":
                    _judge(history)
            if record.elapsed_s >= options.minutes * 60:
                return


def _start(options, folder, stack):
    """Return the contenders, which listen. They are ended with the stack."""
    prepared = folder / "prepared"
    if not prepared.exists():
        make_folder(prepared)
    contenders = []
    for name in options.names:
        contenders.append(Contender(name, options.server, prepared, plants=options.plants, traced=options.traced))
        stack.callback(contenders[-1].end)
    return [contender.wait() for contender in contenders]


def _take_turn(options, turn, load, contender, history):
    """Load one contender, wait until nothing is in flight, and return its state then."""
    contender.state(f"watch={(turn + 1) % 2}")
    history.add(load.carry_out(Order(contender.port, turn, *OF_ORDER(options))))
    census = turn % CENSUS_EVERY == 0
    state = contender.quiet_point(census=census, patience_s=options.patience_s)
    if census and options.traced and history.loaded_s > options.minutes * 60 * WARM_UP_SHARE / len(options.names):
        history.grown = contender.state("grown=1")["grown"]
    history.state |= state
    history.broken = laws.broken(state, laws.LAWS)
    history.complaints = contender.complaints()
    return state


def _judge(history):
    """Raise ``Found`` if a history has what must not be."""
    found = [*history.broken, *history.shown, *(f"{what} in the log: {n}" for what, n in history.complaints.items())]
    if found:
        raise Found("; ".join(found))
