"""Forward ``manage.py onehop …`` to the ``onehop`` command."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from django.core.management.base import BaseCommand

from onehop.__main__ import main


class Command(BaseCommand):
    """The same commands as ``onehop``, with the settings that ``manage.py`` has chosen."""

    help = "Show, trace, measure and convert: see `manage.py onehop --help`."
    requires_system_checks: list[str] = []

    def run_from_argv(self, argv: list[str]) -> None:
        """Run what follows ``manage.py onehop`` and end the process with its exit code."""
        sys.exit(main(argv[2:], prog_name=f"{argv[0]} onehop"))

    def print_help(self, prog_name: str, subcommand: str) -> None:
        """Print the help of the ``onehop`` command for ``manage.py help onehop``."""
        main(["--help"], prog_name=f"{prog_name} {subcommand}")

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Take every word as it is, for ``call_command("onehop", …)``."""
        parser.add_argument("arguments", nargs=argparse.REMAINDER)

    def handle(self, *args: Any, arguments: list[str], **options: Any) -> None:
        """Run ``arguments``; raise ``SystemExit`` with the exit code when it is not 0."""
        if code := main(arguments, prog_name="onehop"):
            sys.exit(code)
