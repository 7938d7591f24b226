"""
``python -m tests.conformance.page RESULT…``: write docs/conformance.md from the results of a whole run.

It needs the standard library only, and writes nothing unless there is a complete result for each release, all of
Onehop's present source.
"""

import json
import sys
from collections import defaultdict
from pathlib import Path

from tests.conformance.figures import SIDES, first_line, ratio, requests_of, total
from tests.conformance.source import digest
from tests.conformance.suite import ROOT
from tests.conformance.tiers import MODES

PAGE = ROOT / "docs" / "conformance.md"

INTRODUCTION = """\
# Does Django's own test suite pass on Onehop?

{verdict}

This page is written by `make conformance`, never by hand. It runs Django's own tests, unmodified, from the sdist of the
installed release: first on stock Django, then with `onehop.install()` in the settings, and compares the two test by
test. That is done in three modes, which send the requests

{modes}

In the modes B and C the tests meet an async chain that they were not written for, so some fail on stock Django too. A
test that Onehop fails and stock passes is run once more on both sides, with its whole module, so that it meets again
what earlier tests have left behind. If it fails again it is a difference, and `make conformance` fails unless
`tests/conformance/known.py` has a row with its reason. It fails, too, if the test then passes and stock Django has
never failed it; if a row is no longer needed; and if requests did not go through a plan.

Tier 1 is handlers, middleware, transport, signals and clients; tier 2 is applications through the test client.

Written on {date}, Onehop's source `{source}`:
"""

COMMANDS = """\
## Run it

```console
$ make conformance                                     # all of it; writes this page
$ make conformance ARGS="-- --quick --tier 1"          # Onehop only; stock only for what has failed
$ nox -s conformance-6.1 -- --mode C handlers asgi     # one release, one mode, some modules
```
"""


def main(files):
    """Write the page, or say why not."""
    results = [json.loads(Path(file).read_text()) for file in files if Path(file).exists()]
    if reason := why_not(files, results):
        print(f"docs/conformance.md stays as it is: {reason}.")
    else:
        PAGE.write_text(page(results))
        print("docs/conformance.md is written.")


def why_not(files, results):
    """Return why these results make no page; None if they do."""
    if len(results) < len(files):
        return f"there are results of {len(results)} of {len(files)} releases"
    for result in results:
        if not result["complete"]:
            return f"the last run on Django {result['release']} was not a whole one"
        if result["source"] != digest():
            return f"Onehop has changed since the run on Django {result['release']}"
    return None


def page(results):
    """Return the text of the page."""
    latest = max(result["date"] for result in results)
    modes = "\n".join(f"* **{mode}**: {what}" for mode, what in MODES.items())
    introduction = INTRODUCTION.format(verdict=verdict(results), modes=modes, date=latest, source=results[0]["source"])
    sections = [
        introduction,
        table(["", *(f"Django {each['release']}" for each in results)], versions(results)),
        "## How many tests pass\n",
        "Skipped tests are not counted. *Planned* requests are those that went through Onehop's plan; the others were\n"
        "sent by sync test clients in mode A, or to WSGI handlers.\n",
        table(["Django", "mode", "tier", "stock", "Onehop", "requests", "planned"], sums(results)),
        listed("Known differences", differences(results), "None: whatever stock Django passes, Onehop passes."),
        listed("What only stock Django fails", named(results, "mended"), "Nothing."),
        listed("What differed at first, and not when it ran again", flakes(results), "Nothing."),
        listed("What fails on both sides", texts(results, "baseline"), "Nothing."),
        listed("What fails on both sides in another way", otherwise(results), "Nothing."),
        COMMANDS,
        "## Module by module\n",
        *(f"### Django {each['release']}\n\n{modules(each)}" for each in results),
    ]
    return "\n".join(section.rstrip("\n") + "\n" for section in sections)


def verdict(results):
    """Say in one sentence what was found."""
    parts = [part for result in results for part in result["parts"]]
    passed = sum(total(part, "stock")["passed"] for part in parts)
    differing = sum(len(part["differences"]) for part in parts)
    now_and_then = sum(each["sides"] == ["onehop"] for part in parts for each in part["flakes"])
    releases = ", ".join(result["release"] for result in results)
    told = f"of {passed:,} tests that stock Django {releases} passes here, Onehop fails"
    if now_and_then:
        return f"Nearly: {told} {differing}, and {now_and_then} now and then."
    return f"Nearly: {told} {differing}." if differing else f"Yes: {told} none."


def versions(results):
    for name in results[0]["versions"]:
        yield [name, *(result["versions"][name] for result in results)]


def sums(results):
    for result in results:
        for part in result["parts"]:
            seen = part["requests"]["onehop"]
            yield [
                *(result["release"], part["mode"], str(part["tier"])),
                *(f"{total(part, side)['passed']:,}/{total(part, side)['ran']:,}" for side in ("stock", "onehop")),
                *(f"{requests_of(seen):,}", f"{seen.get('planned', 0):,}"),
            ]


def modules(result):
    """Return the table of the modules of a release: one row each, both sides of each mode."""
    rows = defaultdict(list)
    for part in result["parts"]:
        for module, counted in part["modules"].items():
            rows[module] += [ratio(counted["stock"]), ratio(counted["onehop"])]
    headings = [f"{mode} {side}" for mode in MODES for side in ("stock", "Onehop")]
    return table(["module", *headings], ([f"`{module}`", *cells] for module, cells in sorted(rows.items())))


def differences(results):
    return gathered(
        results, lambda part: ((each["test"], each["reason"] or "**no reason yet**") for each in part["differences"])
    )


def texts(results, kind):
    return gathered(results, lambda part: ((test, code(text)) for test, text in part[kind].items()))


def flakes(results):
    return gathered(
        results,
        lambda part: (
            (each["test"], f"{' and '.join(map(SIDES.get, each['sides']))} {code(each['text'])}")
            for each in part["flakes"]
        ),
    )


def otherwise(results):
    return gathered(
        results,
        lambda part: (
            (each["test"], f"stock {code(each['stock'])}, Onehop {code(each['onehop'])}") for each in part["otherwise"]
        ),
    )


def named(results, kind):
    return gathered(results, lambda part: ((test, "") for test in part[kind]))


def gathered(results, pairs):
    """Yield a line for each test: where it was found, and what there is to say."""
    places, said = defaultdict(lambda: defaultdict(list)), {}
    for result in results:
        for part in result["parts"]:
            for test, text in pairs(part):
                places[test][result["release"]].append(part["mode"])
                said.setdefault(test, text)
    for test, by_release in sorted(places.items()):
        where = "; ".join(f"{release} {', '.join(modes)}" for release, modes in by_release.items())
        yield f"* `{test}` ({where})" + (f": {said[test]}" if said[test] else "")


def listed(heading, lines, nothing):
    return f"## {heading}\n\n" + ("\n".join(lines) or nothing) + "\n"


def code(text):
    """Return the first line of an exception as code."""
    return f"`` {first_line(text)} ``"


def table(headings, rows):
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


if __name__ == "__main__":
    main(sys.argv[1:])
