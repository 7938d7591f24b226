"""Run the tests on each Django that Onehop supports, each with a Python of its own; and the linters.

``make test`` and ``make lint`` call this. One release: ``nox -s test-6.1``, some of its tests:
``nox -s test-6.1 -- tests/cli``.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import nox

MATRIX = {"5.2": "3.11", "6.0": "3.12", "6.1": "3.13"}
# These declare Django<6.1 and work on 6.1: installed there without what they need, which comes by itself.
UNDECLARED = {"6.1": {"django-prometheus": ["prometheus-client"], "django-currentuser": []}}
# The tools, and what no Django has a part in: on the newest release only.
TOOLS = (
    *("tests/bench", "tests/cli", "tests/examples", "tests/soak", "tests/databases", "tests/conformance"),
    *("tests/parity/test_finds_faults.py", "tests/plan/test_build_is_minimal.py"),
)
# What takes long: on the oldest and the newest release only.
LONG = ("tests/cancel", "tests/leaks", "tests/runserver", "tests/transport")
# Many tests wait for a server or a thread: more workers than processors.
WORKERS = ("-n", str(1 + (os.cpu_count() or 1)), "--dist", "loadfile")
CONSTRAINTS = ("-c", "constraints.txt")
PYPROJECT = nox.project.load_toml("pyproject.toml")
TEST = nox.project.dependency_groups(PYPROJECT, "test")
CONFORMANCE = nox.project.dependency_groups(PYPROJECT, "conformance")
ROOT = Path(__file__).parent
LINT = nox.project.dependency_groups(PYPROJECT, "lint")

# No downloaded interpreters, and an output that ends with pytest's own last line.
os.environ["UV_PYTHON_DOWNLOADS"] = "never"
logging.getLogger("nox").setLevel(logging.ERROR)


def find_python(version: str) -> str | None:
    """Return the path of a Python that runs and is ``version``: first on PATH, then among pyenv's."""
    candidates = [shutil.which(f"python{version}"), shutil.which("python3"), sys.executable]
    for root in pyenv_roots():
        candidates += map(str, sorted(root.glob(f"versions/{version}*/bin/python"), reverse=True))
    for candidate in filter(None, candidates):
        if version_of(candidate) == tuple(map(int, version.split("."))):
            return candidate
    return None


def pyenv_roots() -> list[Path]:
    """Return where pyenv keeps its versions; empty without pyenv."""
    if not (pyenv := shutil.which("pyenv")):
        return []
    told = subprocess.run([pyenv, "root"], capture_output=True, text=True, check=False).stdout.strip()
    return [Path(told), Path(pyenv).resolve().parents[1]]


def version_of(python: str) -> tuple[int, ...] | None:
    """Return major and minor version of a Python; ``None`` if it does not run, as some pyenv shims."""
    code = "import sys; print(*sys.version_info[:2])"
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return None
    return tuple(map(int, done.stdout.split()))


def choose_backend() -> str:
    """Return ``uv`` if it reaches a package index, else ``virtualenv``, whose pip has settings of its own."""
    probe = ["-m", "uv", "pip", "install", "--dry-run", "--no-deps", "--python", sys.executable, "hatchling"]
    environment = {**os.environ, "UV_HTTP_TIMEOUT": "5", "UV_HTTP_RETRIES": "0"}
    try:
        subprocess.run([sys.executable, *probe], env=environment, capture_output=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return "virtualenv"
    return "uv"


BACKEND = choose_backend()
PYTHONS = {django: find_python(python) for django, python in MATRIX.items()}


def test(session: nox.Session, django: str) -> None:
    """Run pytest on one release of Django."""
    print(f"Django {django} on Python {MATRIX[django]}", flush=True)
    install(session, django)
    session.run("pytest", *(session.posargs or (*WORKERS, *left_out(django))))


def install(session: nox.Session, django: str) -> None:
    """Install Onehop, all that its tests need, and one release of Django."""
    apart = UNDECLARED.get(django, {})
    declared = [requirement for requirement in TEST if not requirement.startswith(tuple(apart))]
    needed = [name for names in apart.values() for name in names]
    session.install(*CONSTRAINTS, "-e", ".[cli]", *declared, *needed, f"Django~={django}.0")
    if apart:
        session.install(*CONSTRAINTS, "--no-deps", *apart)


def left_out(django: str) -> list[str]:
    """Return options that leave some tests to other releases."""
    left = () if django == newest() else TOOLS if django == min(MATRIX) else (*TOOLS, *LONG)
    return [f"--ignore={path}" for path in left]


def newest() -> str:
    """Return the newest release for which there is a Python here."""
    return max((release for release, python in PYTHONS.items() if python), default=max(MATRIX))


def long_run(session: nox.Session, program: str, django: str) -> None:
    """Run a program of the tests that goes on for long."""
    install(session, django)
    session.run("python", "-m", program, *session.posargs)


def skip(session: nox.Session, django: str) -> None:
    """Say that a release is not tested; fail if none is."""
    print(f"Django {django}: skipped, no Python {MATRIX[django]} found", flush=True)
    if not any(PYTHONS.values()):
        session.error(f"Nothing was tested. Install one of Python {', '.join(MATRIX.values())}.")


def conformance(session: nox.Session, django: str) -> None:
    """Run Django's own tests, from its sdist, on stock Django and on Onehop, and compare them."""
    session.install(*CONSTRAINTS, "-e", ".[cli]", "pip", *CONFORMANCE, f"Django~={django}.0")
    options = ("--tests", str(unpack_sdist(session)), "--json", conformance_result(django))
    session.run("python", "-m", "tests.conformance", *options, *session.posargs)


def conformance_result(django: str) -> str:
    """Return the file to which a session writes what it has found."""
    return str(ROOT / ".nox" / "conformance" / f"{django}.json")


def unpack_sdist(session: nox.Session) -> Path:
    """Return the tests folder of the sdist of the session's Django, which is downloaded if it is not here yet."""
    version = str(session.run("python", "-c", "import django; print(django.__version__)", silent=True)).strip()
    folder = ROOT / ".nox" / "sdists" / version
    if not folder.exists():
        there = Path(session.create_tmp())
        options = ("--quiet", "--disable-pip-version-check", "--no-deps", "--no-binary=:all:", "-d", str(there))
        session.run("python", "-m", "pip", "download", *options, f"Django=={version}")
        (archive,) = there.glob("[dD]jango-*.tar.gz")
        shutil.unpack_archive(archive, there)
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(there / archive.name.removesuffix(".tar.gz"), folder)
    return folder / "tests"


def for_each_release(run: Callable[..., None], tag: str, what: str) -> None:
    """Make a session of a function for each release. What is skipped comes first, so that the last line is a run's."""
    for django, python in sorted(PYTHONS.items(), key=lambda item: item[1] is not None):
        release = partial(run if python else skip, django=django)
        release.__doc__ = f"{what} on Django {django} and Python {MATRIX[django]}."
        nox.session(
            release, name=f"{tag}-{django}", python=python or False, venv_backend=BACKEND, reuse_venv=True, tags=[tag]
        )


def on_newest(tag: str) -> None:
    """Make a session that stands for the one on the newest release."""

    def notify(session: nox.Session) -> None:
        session.notify(f"{tag}-{newest()}", session.posargs)

    notify.__doc__ = f"The same as {tag}-{newest()}."
    nox.session(notify, name=tag, python=False)


for_each_release(test, "test", "Run pytest")
for_each_release(conformance, "conformance", "Run Django's own tests")


for name, program in (("fuzz", "tests.parity"), ("leaks", "tests.leaks"), ("soak", "tests.soak")):
    for_each_release(partial(long_run, program=program), name, f"Run {program}")
    on_newest(name)


@nox.session(name="conformance-page", python=False, tags=["conformance"])
def conformance_page(session: nox.Session) -> None:
    """Write docs/conformance.md, if Django's own tests have run on all releases."""
    session.run(sys.executable, "-m", "tests.conformance.page", *map(conformance_result, MATRIX))


@nox.session(venv_backend=BACKEND, reuse_venv=True)
def lint(session: nox.Session) -> None:
    """Run ruff, mypy and import-linter."""
    session.install(*CONSTRAINTS, "-e", ".[cli]", *TEST, *LINT)
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")
    session.run("lint-imports")


@nox.session(venv_backend="uv", default=False)
def pins(session: nox.Session) -> None:
    """Write constraints.txt anew from what resolves today, on all Pythons of the matrix."""
    versions: dict[str, dict[str, str]] = {}
    for django, python in MATRIX.items():
        folder = Path(session.create_tmp(), python)
        session.run("uv", "venv", "--clear", "-p", PYTHONS[django] or session.error(python), str(folder))
        apart = UNDECLARED.get(django, {})
        wanted = [item for item in [*TEST, *CONFORMANCE, *LINT] if not item.startswith(tuple(apart))]
        into = ("uv", "pip", "install", "-p", str(folder))
        session.run(*into, "-e", ".[cli]", "nox", "uv", f"Django~={django}.0", *wanted)
        if apart:
            session.run(*into, "--no-deps", *apart)
        frozen = session.run("uv", "pip", "freeze", "-p", str(folder), "--exclude-editable", silent=True)
        for line in str(frozen).splitlines():
            name, found, version = line.partition("==")
            if found and name.lower() != "django":
                versions.setdefault(name.lower(), {})[python] = version
    lines = [
        "# Every version that demo, test and lint use, but Django's, which each session chooses.",
        "# Written by `nox -s pins`.",
    ]
    for name, by_python in sorted(versions.items()):
        if len(set(by_python.values())) == 1:
            lines.append(f"{name}=={next(iter(by_python.values()))}")
        else:
            lines += [f'{name}=={version} ; python_version == "{on}"' for on, version in by_python.items()]
    Path("constraints.txt").write_text("\n".join(lines) + "\n")
