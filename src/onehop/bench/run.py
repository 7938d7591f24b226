"""Run the benchmark: prepare, count, then time in interleaved rounds, one fresh process after another."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onehop.bench.answers import Answer, compare
from onehop.bench.children import Child, python_path, run_child
from onehop.bench.contenders import CONTENDERS, PROJECT, VIEWS, views_of
from onehop.bench.machine import Facts
from onehop.bench.reports import CountReport, FloorReport, TimeReport
from onehop.bench.straight import VIEW as STRAIGHT_VIEW

FLOOR = "floor"
"""The name under which the floor takes its turn between the contenders."""


@dataclass(frozen=True, slots=True)
class Options:
    """
    What to measure.

    Attributes:
        contenders: Keys of ``CONTENDERS``; unique, in the order of the first round.
        named: The user has named the contenders.
        views: URLs; unique, in the order of measuring.
        settings: The settings module of the project.
        rounds: How often every contender is timed.
        block_s: How long each timed block lasts at least.
        concurrencies: Numbers of clients.
    """

    contenders: tuple[str, ...] = tuple(CONTENDERS)
    named: bool = False
    views: tuple[str, ...] = VIEWS
    settings: str = PROJECT
    rounds: int = 2
    block_s: float = 0.3
    concurrencies: tuple[int, ...] = (50, 200)

    @property
    def built_in(self) -> bool:
        """The run measures the built-in project."""
        return self.settings == PROJECT

    def views_of(self, contender: str) -> tuple[str, ...]:
        """Return the views this contender is measured on, in order; may be empty."""
        return views_of(contender, self.views, self.named, self.built_in)

    @property
    def measured(self) -> tuple[str, ...]:
        """The contenders that have a view to be measured on, in order."""
        return tuple(name for name in self.contenders if self.views_of(name))


@dataclass(slots=True)
class Record:
    """
    What has been measured so far.

    Attributes:
        options: What was to be measured.
        facts: Versions and machine, once known.
        counts: By contender.
        times: One mapping for each round, by contender; the last may lack some.
        floors: One report for each round that has one.
        orders: The order of processes in each round.
        answers: Expected answers by view, and who gave them.
        complete: Nothing is missing.
    """

    options: Options
    facts: Facts | None = None
    counts: dict[str, CountReport] = field(default_factory=dict)
    times: list[dict[str, TimeReport]] = field(default_factory=list)
    floors: list[FloorReport | None] = field(default_factory=list)
    orders: list[list[str]] = field(default_factory=list)
    answers: dict[str, tuple[str, Answer]] = field(default_factory=dict)
    complete: bool = False

    def check(self, contender: str, answers: dict[str, Answer]) -> None:
        """
        Compare answers with the first ones seen, which are stock Django's.

        Raises:
            AnswersDiffer: One is not the same, or has not status 200.
        """
        for view, answer in answers.items():
            reference, expected = self.answers.setdefault(view, (contender, answer))
            compare(view, contender, answer, reference, expected)


def order_of(round_index: int, names: tuple[str, ...]) -> list[str]:
    """Return the order of a round: as given in even rounds, backwards in odd ones (A B, B A, A B, …)."""
    return list(reversed(names)) if round_index % 2 else list(names)


def steps_in(options: Options) -> int:
    """Return how many steps ``run`` yields."""
    counts = sum(len(options.views_of(name)) for name in _counted(options))
    return 1 + counts + options.rounds * (len(options.measured) + 1)


def run(record: Record) -> Iterator[str]:
    """
    Measure, filling ``record``. Yields a line about each step before it is done.

    Raises:
        BenchError: A process failed.
        AnswersDiffer: A contender does not answer what stock Django answers.
    """
    options = record.options
    with tempfile.TemporaryDirectory(prefix="onehop-bench-") as folder:
        environment = {"DJANGO_SETTINGS_MODULE": options.settings, "PYTHONPATH": python_path()}
        if sys.dont_write_bytecode:  # else every process would compile Django anew, a second each
            environment["PYTHONPYCACHEPREFIX"] = str(Path(folder, "pycache"))
        if options.built_in:
            environment["ONEHOP_BENCH_DATABASE"] = str(Path(folder, "db.sqlite3"))

        def report_of(mode: str, name: str, *arguments: str) -> Any:
            return run_child(Child(name, (mode, *arguments), environment))

        yield "preparing the project"
        record.facts = report_of("prepare", "prepare")
        for name in _counted(options):
            counted = record.counts[name] = {"views": {}, "answers": {}}
            for view in options.views_of(name):  # a process each: the threads of one view would show in the next
                yield f"counting hops: {name} {view}"
                counts: CountReport = report_of("count", name, *_arguments(options, name, [view]))
                record.check(name, counts["answers"])
                counted["views"].update(counts["views"])
                counted["answers"].update(counts["answers"])
        for index in range(options.rounds):
            times: dict[str, TimeReport] = {}
            order = order_of(index, (*options.measured, FLOOR))
            record.times.append(times)
            record.floors.append(None)
            record.orders.append(order)
            for name in order:
                yield f"round {index + 1} of {options.rounds}: {name}"
                if name == FLOOR:
                    floor: FloorReport = report_of("floor", FLOOR, f"--block-s={options.block_s}")
                    _check_straight_line(record, floor)
                    record.floors[index] = floor
                else:
                    views = options.views_of(name)
                    report: TimeReport = report_of("time", name, *_arguments(options, name, views))
                    record.check(name, report["answers"])
                    times[name] = report
    record.complete = True


def _check_straight_line(record: Record, floor: FloorReport) -> None:
    if STRAIGHT_VIEW in record.answers:
        record.check("the straight line", floor["answers"])


def _counted(options: Options) -> tuple[str, ...]:
    """Return the contenders to count: stock first, even if it is not measured, as its answers are right."""
    others = tuple(name for name in options.measured if name != "stock")
    return ("stock", *others)


def _arguments(options: Options, contender: str, views: Iterable[str]) -> list[str]:
    return [
        f"--contender={contender}",
        *(f"--view={view}" for view in views),
        *(f"--concurrency={clients}" for clients in options.concurrencies),
        f"--block-s={options.block_s}",
    ]
