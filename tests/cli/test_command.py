"""The frame of the ``onehop`` command: what it lists, what it prints on errors, how it ends."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from onehop import cli
from onehop.__main__ import main
from onehop.errors import OnehopError

SOURCE = Path(cli.__file__).parents[2]
Probe = Callable[[Callable[[], None]], None]


def raising(error: BaseException) -> Callable[[], None]:
    def callback() -> None:
        raise error

    return callback


def test_help_lists_the_commands_and_imports_no_django() -> None:
    code = (
        "import sys; from onehop.__main__ import main; code = main(['--help']);"
        "print(sorted(name for name in sys.modules if name.split('.')[0] == 'django')); sys.exit(code)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    *help_lines, django_modules = done.stdout.splitlines()
    assert (done.returncode, done.stderr, django_modules) == (0, "", "[]")
    assert f"  demo  {cli.COMMANDS['demo']}".split() in [line.split() for line in help_lines]


def test_a_command_without_a_module_is_neither_listed_nor_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(cli.COMMANDS, "absent", "Nothing.")

    assert main(["--help"]) == 0
    assert "absent" not in capsys.readouterr().out
    assert main(["absent"]) == 2
    assert "No such command 'absent'" in capsys.readouterr().err


def test_a_command_is_imported_only_when_invoked() -> None:
    shown = "print('onehop.cli.demo' in sys.modules)"
    code = f"import sys; from onehop.__main__ import main; main(['--help']); {shown}"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert done.stdout.splitlines()[-1] == "False"


def test_version_is_printed_by_the_module_too() -> None:
    done = subprocess.run([sys.executable, "-m", "onehop", "--version"], capture_output=True, text=True)

    assert (done.returncode, done.stdout.split()[0], done.stderr) == (0, "onehop", "")


def test_without_click_one_line_says_what_to_install() -> None:
    # -S: no site-packages, so click is really not there.
    code = f"import sys; sys.path.insert(0, {str(SOURCE)!r}); from onehop.__main__ import main; sys.exit(main())"

    done = subprocess.run([sys.executable, "-S", "-E", "-c", code], capture_output=True, text=True)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        'The onehop command needs click and rich, which are not installed. Run: pip install "django-onehop[cli]"\n'
    )


def test_without_rich_it_says_the_same(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "rich", None)

    assert main(["--help"]) == 2
    assert capsys.readouterr().err.startswith("The onehop command needs click and rich")


@pytest.mark.parametrize("kind", [OnehopError, ImproperlyConfigured])
def test_an_error_the_user_can_mend_is_one_line(
    kind: type[Exception], probe: Probe, capsys: pytest.CaptureFixture[str]
) -> None:
    probe(raising(kind("'shop.X' is wrong.\n  Mend it.")))

    assert main(["probe"]) == 2
    assert capsys.readouterr() == ("", "'shop.X' is wrong. Mend it.\n")


def test_any_other_error_keeps_its_traceback(probe: Probe) -> None:
    probe(raising(ValueError("a bug")))

    with pytest.raises(ValueError, match="a bug"):
        main(["probe"])


def test_ctrl_c_ends_with_130_and_no_traceback(probe: Probe, capsys: pytest.CaptureFixture[str]) -> None:
    probe(raising(KeyboardInterrupt()))

    assert main(["probe"]) == 130
    assert capsys.readouterr().err.strip() == ""


def test_a_command_may_choose_its_exit_code(probe: Probe) -> None:
    import click

    probe(raising(click.exceptions.Exit(1)))

    assert main(["probe"]) == 1
