"""Hold the ``onehop`` command together: find the project, find the command, print errors as one line."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

COMMANDS = {
    "demo": "Make a small project and race stock Django against Onehop.",
    "show": "Print the plan: every hook, where it runs and why.",
    "trace": "Send one request and print every hop it made.",
    "verify": "Check that Onehop can run this project.",
    "parity": "Compare the answers of stock Django and of Onehop.",
    "bench": "Measure stock Django and Onehop.",
    "convert": "Rewrite middleware that forces a thread.",
}
VARIABLE = "DJANGO_SETTINGS_MODULE"


class ProjectNotFound(click.ClickException):
    """No Django project was found, or its settings cannot be imported."""

    exit_code = 2


class LazyGroup(click.Group):
    """A group; each command is the attribute ``command`` of ``onehop.cli.<name>``, imported when invoked."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names whose module is there, in the order of ``COMMANDS``."""
        return [name for name in COMMANDS if importlib.util.find_spec(f"{__name__}.{name}")]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command called ``cmd_name``, importing its module; ``None`` if there is none."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command = importlib.import_module(f"{__name__}.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name]) for name in self.list_commands(ctx)])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="django-onehop", prog_name="onehop", message="%(prog)s %(version)s")
def group() -> None:
    """Run an unchanged Django project with the fewest hops between event loop and threads."""


def run(arguments: Sequence[str], prog_name: str) -> int:
    """Run the group once and turn what users can mend into one line on stderr.

    Args:
        arguments: Words after the program's name, in order.
        prog_name: How usage lines call the program.

    Returns:
        The exit code, see ``onehop.__main__.main``.
    """
    try:
        code = group.main(list(arguments), prog_name=prog_name, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return 130
    except Exception as error:
        if not isinstance(error, _mendable()):
            raise
        click.echo(" ".join(str(error).split()), err=True)
        return 2
    return code if isinstance(code, int) else 0


def find_project(settings: str | None = None) -> str:
    """Find the Django project as django-admin does and make its settings importable.

    Looks at ``settings``, then at ``DJANGO_SETTINGS_MODULE``, then at ``manage.py`` in the current
    folder (read, not executed). Puts the current folder first on ``sys.path`` and sets
    ``DJANGO_SETTINGS_MODULE``; calling ``django.setup()`` is left to the caller.

    Args:
        settings: Dotted path of the settings module, or ``None`` to look for it.

    Returns:
        The dotted path of the settings module, which has been imported.

    Raises:
        ProjectNotFound: Nothing was found, or the module cannot be imported.
    """
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    if settings:
        source = "--settings"
    elif settings := os.environ.get(VARIABLE):
        source = VARIABLE
    else:
        settings, source = _named_in(Path("manage.py")), "manage.py"
    _import_settings(settings, source)
    os.environ[VARIABLE] = settings
    return settings


def _mendable() -> tuple[type[Exception], ...]:
    """Return the errors that are the user's to mend. An error whose module is not loaded was not raised."""
    names = {"onehop.errors": "OnehopError", "django.core.exceptions": "ImproperlyConfigured"}
    return tuple(getattr(sys.modules[module], name) for module, name in names.items() if module in sys.modules)


def _named_in(manage: Path) -> str:
    """Return the settings module that ``manage`` names in ``os.environ.setdefault``.

    Raises:
        ProjectNotFound: No such file, or it names none or several.
    """
    fix = "Run onehop in the project's folder, or name the settings: --settings shop.settings"
    try:
        tree = ast.parse(manage.read_bytes(), filename=str(manage))
    except FileNotFoundError:
        raise ProjectNotFound(
            f"No Django project found. Looked for --settings, {VARIABLE} and manage.py in {Path.cwd()}. {fix}"
        ) from None
    except (OSError, SyntaxError, ValueError) as error:
        raise ProjectNotFound(f"{manage.resolve()} cannot be read. {error}. {fix}") from None
    names = list(dict.fromkeys(_defaults(tree)))
    if len(names) == 1:
        return names[0]
    found = f"several settings modules ({', '.join(names)})" if names else f"no {VARIABLE}"
    raise ProjectNotFound(f"{manage.resolve()} names {found}. {fix}")


def _defaults(tree: ast.AST) -> Iterator[str]:
    """Yield the second argument of each ``….environ.setdefault("DJANGO_SETTINGS_MODULE", "…")``."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Attribute(attr="setdefault"),
                args=[ast.Constant(value=variable), ast.Constant(value=str(name))],
            ) if variable == VARIABLE:
                yield name


def _import_settings(name: str, source: str) -> None:
    """Import the settings module ``name``, which ``source`` named.

    Raises:
        ProjectNotFound: It is not there, or importing it fails for any reason but ``ImproperlyConfigured``.
    """
    try:
        importlib.import_module(name)
    except Exception as error:
        if isinstance(error, _mendable()):
            raise
        if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
            fact = f"There is no module '{error.name}' in {Path.cwd()} or on sys.path"
            fix = "Correct the name, or run onehop in the folder that holds it"
        else:
            fact = f"Importing it raised {type(error).__name__}: {error}"
            fix = f"Mend it until `python -c 'import {name}'` works"
        where = f"Settings module '{name}', named by {source}, cannot be imported"
        raise ProjectNotFound(f"{where}. {fact}. {fix}.") from error
