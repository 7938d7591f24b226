"""``manage.py onehop …`` is the same command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROBE = """
import importlib.machinery, os, sys, types
import click
import onehop.cli as cli

@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--settings")
@click.argument("words", nargs=-1)
def command(settings, words):
    print(settings, words, cli.find_project(settings))

module = types.ModuleType("onehop.cli.probe")
module.__spec__ = importlib.machinery.ModuleSpec("onehop.cli.probe", None)
module.command = command
sys.modules[module.__name__] = module
cli.COMMANDS["probe"] = "Try something."
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a new project with ``onehop`` installed, and with an ``onehop probe``."""
    folder = tmp_path_factory.mktemp("project")
    run("-m", "django", "startproject", "shop", ".", cwd=folder)
    with (folder / "shop" / "settings.py").open("a") as settings:
        settings.write('\nINSTALLED_APPS += ["onehop"]\n')
    (folder / "shop" / "other.py").write_text("from .settings import *\n")
    manage = folder / "manage.py"
    manage.write_text(PROBE + manage.read_text().replace("#!/usr/bin/env python", ""))
    return folder


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    return subprocess.run([sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True)


def test_all_arguments_are_forwarded(project: Path) -> None:
    done = run("manage.py", "onehop", "probe", "/sync/", "--json", "-x", cwd=project)

    assert (done.stderr, done.stdout) == ("", "None ('/sync/', '--json', '-x') shop.settings\n")


def test_the_settings_that_manage_py_was_given_are_used(project: Path) -> None:
    done = run("manage.py", "onehop", "probe", "--settings", "shop.other", cwd=project)

    assert (done.stderr, done.stdout) == ("", "shop.other () shop.other\n")


def test_the_exit_code_is_handed_on(project: Path) -> None:
    done = run("manage.py", "onehop", "absent", cwd=project)

    assert done.returncode == 2
    assert "Usage: manage.py onehop" in done.stderr


@pytest.mark.parametrize("arguments", [("onehop", "--help"), ("help", "onehop")])
def test_help_is_that_of_the_command(project: Path, arguments: tuple[str, ...]) -> None:
    done = run("manage.py", *arguments, cwd=project)

    assert done.returncode == 0
    assert done.stdout.startswith("Usage: manage.py onehop")
    assert "Commands:" in done.stdout


def test_call_command_forwards_too(project: Path) -> None:
    code = (
        "import runpy, sys; sys.argv = ['manage.py', 'check']; runpy.run_path('manage.py');"
        "import os, django; os.environ['DJANGO_SETTINGS_MODULE'] = 'shop.settings'; django.setup();"
        "from django.core.management import call_command;"
        "call_command('onehop', 'probe', '/async/', '--json')"
    )

    done = run("-c", code, cwd=project)

    assert (done.stderr, done.stdout) == ("", "None ('/async/', '--json') shop.settings\n")
