"""The project is found as django-admin finds it, and a missing one is explained."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from onehop.cli import VARIABLE, ProjectNotFound, find_project

MANAGE = """
import os, sys
raise SystemExit("manage.py was executed")
def main():
    os.environ.setdefault("OTHER", "x.y")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "{name}.settings")
"""


def make_site(folder: Path, name: str, settings: str = "") -> str:
    (folder / name).mkdir()
    (folder / name / "__init__.py").touch()
    (folder / name / "settings.py").write_text(settings)
    return f"{name}.settings"


def test_manage_py_is_read_not_executed(folder: Path) -> None:
    make_site(folder, "found_by_manage")
    (folder / "manage.py").write_text(MANAGE.format(name="found_by_manage"))

    assert find_project(None) == "found_by_manage.settings"
    assert os.environ[VARIABLE] == "found_by_manage.settings"
    assert "found_by_manage.settings" in sys.modules
    assert str(folder) in sys.path


def test_the_environment_goes_before_manage_py(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, make_site(folder, "found_by_variable"))
    (folder / "manage.py").write_text(MANAGE.format(name="found_by_manage"))

    assert find_project(None) == "found_by_variable.settings"


def test_the_option_goes_before_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "absent.settings")
    name = make_site(folder, "found_by_option")

    assert find_project(name) == name
    assert os.environ[VARIABLE] == name


def test_nothing_found_names_what_was_looked_for(folder: Path) -> None:
    with pytest.raises(ProjectNotFound) as caught:
        find_project(None)

    assert caught.value.exit_code == 2
    assert caught.value.message == (
        f"No Django project found. Looked for --settings, {VARIABLE} and manage.py in {folder}. "
        "Run onehop in the project's folder, or name the settings: --settings shop.settings"
    )


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("import os", f"names no {VARIABLE}."),
        (
            MANAGE.format(name="one") + MANAGE.format(name="two"),
            "names several settings modules (one.settings, two.settings).",
        ),
        ("def :", "cannot be read. invalid syntax"),
    ],
)
def test_a_manage_py_that_does_not_tell_is_named(folder: Path, text: str, fact: str) -> None:
    (folder / "manage.py").write_text(text)

    with pytest.raises(ProjectNotFound) as caught:
        find_project(None)

    assert f"{folder / 'manage.py'} {fact}" in caught.value.message


def test_a_wrong_name_says_where_it_came_from(folder: Path) -> None:
    with pytest.raises(ProjectNotFound) as caught:
        find_project("shop_absent.settings")

    assert caught.value.message == (
        "Settings module 'shop_absent.settings', named by --settings, cannot be imported. There is no module "
        f"'shop_absent' in {folder} or on sys.path. "
        "Correct the name, or run onehop in the folder that holds it."
    )
    assert os.environ[VARIABLE] == ""


def test_settings_that_fail_say_why(folder: Path) -> None:
    name = make_site(folder, "shop_failing", "import a_module_that_is_not_installed")

    with pytest.raises(ProjectNotFound) as caught:
        find_project(name)

    assert "ModuleNotFoundError: No module named 'a_module_that_is_not_installed'" in caught.value.message


def test_improperly_configured_is_left_to_the_command(folder: Path) -> None:
    text = "from django.core.exceptions import ImproperlyConfigured\nraise ImproperlyConfigured('Set SECRET.')"
    name = make_site(folder, "shop_misconfigured", text)

    with pytest.raises(ImproperlyConfigured, match=r"Set SECRET\."):
        find_project(name)
