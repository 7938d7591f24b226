"""Run the benchmark in processes of its own: the settings of the other tests must not reach it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
BENCH = [sys.executable, "-W", "error", "-m", "onehop", "bench"]


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return this process's environment as a user's: without other tests' settings. Django is compiled once for all."""
    dropped = ("DJANGO_SETTINGS_MODULE", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return {**kept, "PYTHONPYCACHEPREFIX": str(tmp_path_factory.mktemp("pycache"))}


@pytest.fixture(scope="session")
def bench(environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs ``onehop bench`` with some arguments in a folder."""

    def run(*arguments: str, folder: Path = HERE) -> subprocess.CompletedProcess[str]:
        command = [*BENCH, *arguments]
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)

    return run


@pytest.fixture(scope="session")
def script(environment: dict[str, str]) -> Callable[..., str]:
    """Return a function that runs a script of this folder and returns what it printed."""

    def run(name: str, *arguments: str) -> str:
        command = [sys.executable, "-W", "error", str(HERE / name), *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
