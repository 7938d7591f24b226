"""Start the processes that measure, one at a time, and end them by their own process id."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from onehop.bench.answers import BenchError
from onehop.bench.contenders import PROJECT
from onehop.bench.machine import DISTORTING

LIMIT_S = 300.0
GRACE_S = 3.0


@dataclass(frozen=True, slots=True)
class Child:
    """
    A process to run.

    Attributes:
        name: How errors call it.
        arguments: What follows ``python -m onehop.bench.child``.
        environment: Variables set for it, on top of ``child_environment``.
    """

    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]

    @property
    def command(self) -> list[str]:
        """The command, ready for ``subprocess``."""
        return [sys.executable, "-m", "onehop.bench.child", *self.arguments]

    @property
    def command_line(self) -> str:
        """The command as one types it into a shell."""
        variables = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        return " ".join([*variables, shlex.join(self.command)])


def run_child(child: Child, limit_s: float = LIMIT_S) -> Any:
    """
    Run a child to its end and return its report.

    Whatever happens, the process is gone afterwards.

    Raises:
        BenchError: It failed, printed no report, or took longer than ``limit_s``.
    """
    with _started(child) as process:
        try:
            stdout, stderr = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            raise BenchError(
                f"The process of '{child.name}' hangs. It did not end within {limit_s:g} s. "
                f"Run it alone: {child.command_line}"
            ) from None
    if process.returncode:
        raise BenchError(_failure(child, process.returncode, stderr))
    try:
        return json.loads(stdout)
    except ValueError:
        raise BenchError(_failure(child, 0, stderr)) from None


@contextmanager
def _started(child: Child) -> Iterator[subprocess.Popen[str]]:
    """Start a process, and end it whatever happens: Ctrl-C waits until it is known whom to end."""
    with _interrupts_deferred() as allow:
        process = subprocess.Popen(
            child.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="backslashreplace",
            env=_environment(child),
        )
        try:
            allow()
            yield process
        finally:
            _end(process)


@contextmanager
def _interrupts_deferred() -> Iterator[Callable[[], None]]:
    """
    Hold Ctrl-C back, and give a function that lets it through from then on.

    By a handler, not by blocking the signal: the thread that draws the progress bar would take it.
    """
    if threading.current_thread() is not threading.main_thread():  # no KeyboardInterrupt comes here
        yield lambda: None
        return
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: came.append(number))

    def allow() -> None:
        signal.signal(signal.SIGINT, before)
        if came:
            came.clear()
            raise KeyboardInterrupt

    try:
        yield allow
    finally:
        signal.signal(signal.SIGINT, before)


def _failure(child: Child, code: int, stderr: str) -> str:
    """Say how a child ended: its last line on stderr, and how to run it alone."""
    lines = [line for line in stderr.splitlines() if line.strip()]
    ended = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    reason = lines[-1].strip() if lines else "It printed nothing on stderr."
    return f"The process of '{child.name}' {ended} and no report. {reason} Run it alone: {child.command_line}"


def _end(process: subprocess.Popen[str]) -> None:
    """End a process if it still runs: ask, then insist. Close its pipes."""
    with process:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _environment(child: Child) -> dict[str, str]:
    """Return this process's environment without what slows Python down, with the child's variables."""
    built_in = child.environment.get("DJANGO_SETTINGS_MODULE") == PROJECT
    dropped = DISTORTING | ({"DJANGO_ALLOW_ASYNC_UNSAFE"} if built_in else set())
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return {**kept, **child.environment}


def python_path() -> str:
    """Return the PYTHONPATH with which a child can import all that this process can; may be empty."""
    own = {os.path.realpath(path) for path in sysconfig.get_paths().values()}
    own.add(os.path.realpath(sysconfig.get_config_var("DESTSHARED") or ""))
    folders = [os.path.abspath(path) for path in sys.path if os.path.isdir(path or ".")]
    return os.pathsep.join(dict.fromkeys(path for path in folders if os.path.realpath(path) not in own))
