"""What the demo talks about: views, the two ways to run them, and what came out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from onehop.errors import OnehopError

MODULES = {"stock": "mysite.asgi", "onehop": "mysite.asgi_onehop"}
"""The two ways to run the project and the module that does it, stock Django first."""

Report = Callable[[str], None]
"""Called with one line about the step that has just ended."""


class DemoError(OnehopError):
    """The demo cannot go on.

    Attributes:
        lines: The last lines of the log that tells why, in order; may be empty.
    """

    def __init__(self, message: str, lines: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.lines = tuple(lines)


@dataclass(frozen=True, slots=True)
class Stack:
    """A settings module of the project, under the name that the mission gives its middleware."""

    name: str
    settings: str
    described: str


@dataclass(frozen=True, slots=True)
class View:
    """One address to load, with the number of keep-alive clients that load it."""

    stack: Stack
    path: str
    clients: int


@dataclass(frozen=True, slots=True)
class Pair:
    """The same quantity on stock Django and on Onehop."""

    stock: float
    onehop: float

    @property
    def ratio(self) -> float | None:
        """Onehop's share of stock's, ``None`` when stock's is 0."""
        return self.onehop / self.stock if self.stock else None


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. Hops and threads are per request; a rate is that of all blocks together."""

    view: View
    hops: Pair
    threads: Pair
    requests_per_s: Pair
    p50_ms: Pair
    p99_ms: Pair
    blocks: tuple[tuple[str, float], ...]
    """Way and requests per second of each block, in the order they were run."""


@dataclass(slots=True)
class Answers:
    """How the answers of the two ways compare.

    Attributes:
        compared: Number of requests sent to both.
        ignored: What was left out because it varies by nature, in the order met; unique.
        differences: One line each, in the order met; empty when all answers are the same.
    """

    compared: int = 0
    ignored: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)

    def ignore(self, what: str) -> None:
        """Note once that ``what`` was left out."""
        if what not in self.ignored:
            self.ignored.append(what)


@dataclass(frozen=True, slots=True)
class Result:
    """All that one demo found out; the rows are in the order of the table."""

    rows: tuple[Row, ...]
    ten_users_s: Pair
    answers: Answers


S0 = Stack("S0", "mysite.settings", "the middleware of startproject")
S1 = Stack("S1", "mysite.settings_s1", "12 middleware: Prometheus, CORS, GZip, a home-made logger and Django's")
VIEWS = (
    View(S0, "/sync/", 50),
    View(S0, "/async/", 50),
    View(S0, "/async-io/", 50),
    View(S0, "/aggregate/", 4),
    View(S0, "/aggregate-sync/", 4),
    View(S1, "/sync/", 50),
    View(S1, "/async/", 50),
    View(S1, "/async-io/", 50),
)
