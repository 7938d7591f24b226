"""Run Django's own tests, unmodified, in a process of their own, and read what became of each."""

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LIMIT_S = 3600
POLL_S, PATIENCE_S = 0.2, 10
TAIL = 4000


class CouldNotRun(Exception):
    """Django's tests have not run to their end."""


@dataclass
class Run:
    """
    What one run has shown.

    Attributes:
        outcomes: By test id: "passed", "failed" or "skipped".
        texts: By the id of a failed test, its exceptions.
        requests: How many requests of each kind the tests made.
        seconds: How long it took.
        log: What the run has printed.
    """

    outcomes: dict[str, str]
    texts: dict[str, str]
    requests: dict[str, int]
    seconds: float
    log: str = field(repr=False, default="")


def run(tests, side, mode, labels, workers, progress=lambda done, test: None):
    """
    Run some of Django's tests.

    Args:
        tests: The folder with ``runtests.py``.
        side: "stock" or "onehop".
        mode: A letter.
        labels: Modules, classes or tests.
        workers: How many processes the tests are spread over.
        progress: Called for each test that is done, with the number of those that are, and its id.

    Raises:
        CouldNotRun: They did not run to their end, or the stock side has imported Onehop.
    """
    command = (sys.executable, "runtests.py", "--settings=inside.settings", f"--parallel={workers}", *labels)
    with tempfile.TemporaryDirectory() as folder:
        outcomes, ticks, log = (Path(folder, name) for name in ("outcomes", "ticks", "log"))
        environment = {
            **os.environ,
            "PYTHONPATH": str(HERE),
            "ONEHOP_DISABLE": "",
            "CONFORMANCE_SIDE": side,
            "CONFORMANCE_MODE": mode,
            "CONFORMANCE_OUTCOMES": str(outcomes),
            "CONFORMANCE_PROGRESS": str(ticks),
        }
        ticks.touch()
        start = time.monotonic()
        with open(log, "wb") as file:
            child = subprocess.Popen(
                command, cwd=tests, env=environment, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
            )
        try:
            with open(ticks) as lines:
                done = itertools.count(1)
                while child.poll() is None:
                    if time.monotonic() - start > LIMIT_S:
                        raise CouldNotRun(f"Django's tests did not end within {LIMIT_S} s.")
                    for test in lines:
                        progress(next(done), test.strip())
                    time.sleep(POLL_S)
        finally:
            end(child)
        seconds, text = time.monotonic() - start, log.read_text(errors="replace")
        if not outcomes.exists():
            raise CouldNotRun(f"Django's tests ended early, with exit code {child.returncode}:\n{text[-TAIL:]}")
        told = json.loads(outcomes.read_text())
    if told["onehop_imported"] != (side == "onehop"):
        raise CouldNotRun(f"The side {side!r} has {'' if told['onehop_imported'] else 'not '}imported Onehop.")
    return Run(
        {test: outcome for test, (outcome, _) in told["outcomes"].items()},
        {test: "\n".join(texts) for test, (outcome, texts) in told["outcomes"].items() if outcome == "failed"},
        told["requests"],
        seconds,
        text,
    )


def end(child):
    """End a process and those it has started, if it still runs."""
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGTERM)
        try:
            child.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def label_of(test):
    """Return the label under which a test is run alone. Failed ``setUpClass`` methods have ids of their own."""
    held = re.search(r"\((.+)\)$", test)
    return held[1] if held else test


def module_of(test, labels):
    """Return the label among ``labels`` to which a test belongs, or the first part of its id."""
    label = label_of(test)
    return max(
        (each for each in labels if f"{label}.".startswith(f"{each}.")), key=len, default=label.partition(".")[0]
    )
