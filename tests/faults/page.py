"""The page ``docs/faults.md``, made of a run."""

from collections import defaultdict

from tests.faults.judge import REASONS
from tests.faults.table import FAULTS, PHASES

HEAD = """\
# What happens when something goes wrong?

Each fault of this table happened at each phase of a request, on stock Django and on Onehop in the same process: to sync
and async code, to hooks on the thread and on the loop, to wrappers, to plain, large, rendered and streamed responses.
Compared was what was sent and raised, which code ran, what was logged, closed and signalled, and the next answer.

`=` as stock Django · a number: better, for the reason below · a letter: cannot happen there · **worse**: not mended yet
"""

ELSEWHERE = """\
What is left unclosed by both (and thus `=`): a response that is thrown away because a template or response hook, or its
own rendering, raises an ordinary exception; `request_finished`, where a closer of the response raises a `BaseException`
([streams.md](streams.md)).

* Workers that get SIGTERM, SIGINT or SIGKILL: `tests/transport/test_stop.py`
* More requests than `MAX_REQUEST_THREADS`: `tests/run/test_limit.py`
* Databases and caches that are down, locked or slow; `fork` and `multiprocessing` in a view; threads that are killed:
  `tests/faults/test_machine.py`
* Wrong values in `ONEHOP`, bad WSGI environs: `tests/faults/test_inputs.py`

Made by `python -m tests.faults --write`.
"""


def page_of(outcomes, versions):
    """
    Return the page.

    Args:
        outcomes: Pairs of a case and its reasons, None if it was worse.
        versions: What the run was made with.
    """
    cells, groups = defaultdict(list), defaultdict(list)
    for case, reasons in outcomes:
        if hasattr(case, "group"):
            groups[case.group].append(reasons)
        else:
            cells[case.fault, case.phase].append(reasons)
    whys = list(dict.fromkeys(fault.elsewhere for fault in FAULTS if fault.elsewhere))
    lines = [HEAD, f"{len(outcomes):,} pairs of requests; {versions}.", ""]
    lines += [f"| | {' | '.join(PHASES)} |", f"|---|{'---|' * len(PHASES)}"]
    for fault in FAULTS:
        row = [in_cell(cells.get((fault, phase)), letter(whys, fault)) for phase in PHASES]
        lines.append(f"| {fault.name} | {' | '.join(row)} |")
    lines += ["", "Phases: " + " · ".join(f"{phase} {name}" for phase, (name, _) in PHASES.items()), ""]
    lines += [f"{number}. {cited(reason)}" for number, reason in enumerate(REASONS, 1)]
    lines += ["", *(f"* {letter_at(number)}: {why}" for number, why in enumerate(whys)), ""]
    lines += ["## Bad input", "", "| | pairs | as stock Django | better | worse |", "|---|---|---|---|---|"]
    for group, found in groups.items():
        worse, equal = found.count(None), sum(reasons is not None and not reasons for reasons in found)
        better = sorted({REASONS.index(reason) + 1 for reasons in found if reasons for reason in reasons})
        why = f" ({', '.join(map(str, better))})" if better else ""
        lines.append(f"| {group} | {len(found)} | {equal} | {len(found) - equal - worse}{why} | {worse} |")
    return "\n".join([*lines, "", ELSEWHERE])


def in_cell(found, elsewhere):
    """Return the text of a cell: the worst of what was found in it."""
    if not found:
        return elsewhere
    if None in found:
        return "**worse**"
    numbers = sorted({REASONS.index(reason) + 1 for reasons in found for reason in reasons})
    return ", ".join(map(str, numbers)) or "="


def letter(whys, fault):
    return letter_at(whys.index(fault.elsewhere)) if fault.elsewhere else ""


def letter_at(number):
    return "abcdefgh"[number]


def cited(reason):
    page = reason.page and reason.page.removeprefix("docs/")
    return f"{reason.text[0].upper()}{reason.text[1:]}" + (f" ([{page}]({page}))." if page else ".")
