"""Run the contenders' processes, and end them by their own process id."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
SILENCE_S = 180
"""A process that reports no batch for so long hangs."""
MOST_EXAMPLES = 12


class Failed(Exception):
    """A process did not come to its end. The message says which, and what it wrote last."""


class Children:
    """
    The processes of one run, and the folder for what they tell each other.

    Attributes:
        often: How many shapes of request each contender is sent often.
        ended: True when the run is to end.
    """

    def __init__(self, seed, often):
        self.seed, self.often = seed, often
        self._folder = tempfile.TemporaryDirectory(prefix="onehop-leaks-")
        self._running = set()
        self.ended = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()
        self._folder.cleanup()

    def run(self, name, baseline, requests, shard=0, told=lambda done: None):
        """
        Send requests to a contender, and return its report.

        Args:
            name: One of ``contenders.CONTENDERS``.
            baseline: The contender that sees what this one must see; for stock itself, its own name.
            requests: How many.
            shard: Which part of this contender's requests it is: each has a seed of its own.
            told: Called with how many requests are done, from time to time.

        Returns:
            The report; None when the run has been ended before it sent anything.

        Raises:
            Failed: The process failed, or hangs.
        """
        steady = Path(self._folder.name, baseline)
        command = [sys.executable, "-m", "tests.leaks.child", name, str(requests), str(self.seed), str(shard)]
        command += [str(self.often), str(steady)]
        if self.ended:
            return None
        with self._started(command) as (process, errors):
            line = "{}"
            with _watchdog(process) as fed:
                for line in process.stdout:
                    fed()
                    told(json.loads(line).get("done", requests))
            if process.wait() == -signal.SIGTERM and self.ended:
                return None
            if process.returncode or "canaries" not in line:
                raise Failed(f"{name}: the process failed ({process.returncode}). {_last_of(errors)}")
            return json.loads(line)

    def end(self):
        """Have all processes end after the batch they are at, and report; start none."""
        self.ended = True
        for process in list(self._running):
            process.terminate()

    @contextmanager
    def _started(self, command):
        with tempfile.TemporaryFile("w+") as errors:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, "PYTHONWARNINGS": "ignore"},
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,  # Ctrl-C is ours
            )
            self._running.add(process)
            if self.ended:  # meanwhile
                process.terminate()
            try:
                yield process, errors
            finally:
                self._running.discard(process)
                process.kill()
                process.wait()
                process.stdout.close()


@contextmanager
def _watchdog(process):
    """Kill a process that is silent; yield what tells that it is not."""
    heard = threading.Event()
    over = threading.Event()

    def watch():
        while heard.wait(SILENCE_S):
            if over.is_set():
                return
            heard.clear()
        process.kill()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield heard.set
    finally:
        over.set()
        heard.set()
        watcher.join()


def _last_of(errors):
    errors.seek(0)
    return " | ".join(errors.read().strip().splitlines()[-3:])


def merge(reports):
    """Add up the reports of the parts of one contender's requests."""
    total = {}
    for report in reports:
        for key, value in report.items():
            if isinstance(value, dict):
                before = total.get(key, {})
                total[key] = {each: before.get(each, 0) + value.get(each, 0) for each in {**before, **value}}
            elif isinstance(value, list):
                total[key] = (total.get(key, []) + value)[:MOST_EXAMPLES]
            else:
                total[key] = total.get(key, 0) + value
    return total
