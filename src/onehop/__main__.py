"""Start the ``onehop`` command, or say in one line what it needs."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence

NEEDED = ("click", "rich")


def main(arguments: Sequence[str] | None = None, prog_name: str = "onehop") -> int:
    """Run the command line.

    Args:
        arguments: Words after the program's name, in order; ``None`` takes those of this process.
        prog_name: How usage lines call the program.

    Returns:
        The exit code: 0 done, 1 a comparison failed, 2 a mistake in the call, the project or the
        installation, 130 interrupted.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        print(
            'The onehop command needs click and rich, which are not installed. Run: pip install "django-onehop[cli]"',
            file=sys.stderr,
        )
        return 2
    try:
        from onehop.cli import run

        return run(sys.argv[1:] if arguments is None else list(arguments), prog_name)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
