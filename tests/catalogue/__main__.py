"""``python -m tests.catalogue``: say which bugs are shown by which test; with ``--write``, in ``docs/catalogue.md``."""

import ast
import re
from importlib import import_module
from pathlib import Path

import click

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "catalogue.md"
NAME = re.compile(r"test_bug_((?:\d+_)+)(\w+)")
IDS = range(1, 97)
HEAD = """\
# Which known bugs were looked for?

Bugs of Django, servers, libraries and agents that a handler like Onehop's could have too. Each has a test that fails if
it is there, or a reason why it cannot be. `python -m tests.catalogue --write` makes this page from
`tests/catalogue/entries_*.py` and the names of the tests.

| | reported as | what went wrong | what shows that it does not happen here |
|---|---|---|---|
"""


def entries():
    """Return all entries, by id."""
    halves = (import_module(f"tests.catalogue.{file.stem}") for file in Path(__file__).parent.glob("entries_*.py"))
    return dict(sorted(pair for half in halves for pair in half.ENTRIES.items()))


def shown_by():
    """Return for each id the tests that are named after it, as pairs of file and words."""
    found = {}
    for file in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            named = NAME.fullmatch(node.name) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else None
            for number in named[1].split("_")[:-1] if named else ():
                found.setdefault(int(number), []).append((file.relative_to(TESTS.parent), named[2].replace("_", " ")))
    return found


def page():
    """Return the text of ``docs/catalogue.md``."""
    tests, lines = shown_by(), []
    for number, entry in entries().items():
        shown = (f"[{words}](../{file.as_posix()})" for file, words in tests.get(number, ()))
        lines.append(f"| {number} | {entry.source} | {entry.symptom} | {entry.reason or '<br>'.join(shown)} |\n")
    return HEAD + "".join(lines)


@click.command()
@click.option("--write", is_flag=True, help="Write docs/catalogue.md.")
def main(write):
    """Show which bug is shown by which test, or why it is none of ours."""
    if write:
        PAGE.write_text(page(), encoding="utf-8")
    else:
        click.echo(page(), nl=False)


if __name__ == "__main__":
    main()
