"""Start the demo's processes and end each of them, whatever happens in between."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Any, Self

from onehop.demo.nouns import DemoError

GRACE_S = 5.0
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Children:
    """The processes of one demo. As a context it ends them all, also after an error, Ctrl-C or SIGTERM.

    Attributes:
        pids: Of every process ever started here, in order.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.pids: list[int] = []
        self._environment = dict(environment)
        self._running: list[subprocess.Popen[bytes]] = []
        self._terminate: Any = None

    def __enter__(self) -> Self:
        if _in_main_thread():
            self._terminate = signal.signal(signal.SIGTERM, _leave)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        with held_signals():
            self.end(*self._running)
        if self._terminate is not None:
            signal.signal(signal.SIGTERM, self._terminate)

    def start(
        self,
        arguments: Sequence[str],
        *,
        settings: str | None,
        log: IO[bytes] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a process in the project's folder; it is registered before a signal can interrupt.

        Args:
            arguments: The command, its program first.
            settings: Settings module of the process, if it needs one.
            log: Where it writes; ``None`` for pipes, with one to its stdin as well.
        """
        environment = {**self._environment, "DJANGO_SETTINGS_MODULE": settings or ""}
        pipe = subprocess.PIPE
        streams = (subprocess.DEVNULL, log, log) if log else (pipe, pipe, pipe)
        with held_signals():
            process = subprocess.Popen(
                arguments,
                cwd=self.folder,
                env=environment,
                stdin=streams[0],
                stdout=streams[1],
                stderr=streams[2],
            )
            self.pids.append(process.pid)
            self._running.append(process)
        return process

    def ask(self, arguments: Sequence[str], question: object, *, timeout_s: float, settings: str | None) -> Any:
        """Start a process, give it ``question`` as JSON and return its answer, which is JSON or nothing.

        Raises:
            DemoError: It failed or took longer than ``timeout_s``; the error carries its last lines.
        """
        process = self.start(arguments, settings=settings)
        named = " ".join(arguments[1:4])
        try:
            output, errors = process.communicate(json.dumps(question).encode(), timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise DemoError(f"`{named}` was still running after {timeout_s:.0f} s. Run the demo again.") from None
        finally:
            with held_signals():
                self.end(process)
        if process.returncode:
            lines = errors.decode(errors="replace").splitlines()[-15:]
            raise DemoError(f"`{named}` failed with exit code {process.returncode}. Its last lines are above.", lines)
        return json.loads(output) if output.strip() else None

    def end(self, *processes: subprocess.Popen[bytes]) -> None:
        """End ``processes``: ask all of them, wait, kill those that stay. Each by its own pid."""
        for process in processes:
            if process.poll() is None:
                process.terminate()
        for process in processes:
            try:
                process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None and not stream.closed:
                    stream.close()
        self._running = [process for process in self._running if process not in processes]


@contextmanager
def held_signals() -> Iterator[None]:
    """Hold Ctrl-C and SIGTERM back while the body runs, and deliver the first of them afterwards."""
    if not _in_main_thread():
        yield
        return
    held: list[tuple[int, FrameType | None]] = []
    usual = {number: signal.getsignal(number) or signal.SIG_DFL for number in SIGNALS}
    for number in SIGNALS:
        signal.signal(number, lambda number, frame: held.append((number, frame)))
    try:
        yield
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
    if held:
        signal.raise_signal(held[0][0])


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
