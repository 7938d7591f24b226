"""Give the tests of the command line a folder, a throw-away command and a place for tiny ASGI sites."""

from __future__ import annotations

import importlib.machinery
import os
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import click
import pytest

from onehop import cli
from onehop.demo.children import Children


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in an empty folder, with no settings chosen; forget afterwards what was imported from it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv(cli.VARIABLE, "")
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Return a function that makes ``onehop probe`` call the function it is given."""

    def install(function: Callable[[], None]) -> None:
        name = f"{cli.__name__}.probe"
        module = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        module.command = click.Command("probe", callback=function)  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, module)
        monkeypatch.setitem(cli.COMMANDS, "probe", "Try something.")

    return install


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Children]:
    """Return children that live in an empty folder and end with the test."""
    with Children(tmp_path, {**os.environ}) as started:
        yield started


@pytest.fixture
def site(tmp_path: Path) -> Callable[..., None]:
    """Return a function that writes the two ASGI modules of a site without Django."""

    def write(stock: str, onehop: str) -> None:
        package = tmp_path / "mysite"
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "asgi.py").write_text(stock)
        (package / "asgi_onehop.py").write_text(onehop)

    return write


@pytest.fixture(scope="session")
def running() -> Callable[[Iterable[int]], list[int]]:
    """Return a function that returns those of the given pids that belong to a process, in order."""

    def is_running(pid: int) -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return True

    return lambda pids: list(filter(is_running, pids))
