"""Compare what stock Django and Onehop do with a case."""

import hashlib
import pprint
from collections import Counter
from dataclasses import fields

from tests.parity import listed, seen
from tests.parity.nouns import Spec
from tests.parity.stacks import HOOKS_ONLY

SCRIPT = '''\
"""Run it in the root of Onehop's repository: python THIS_FILE"""

import sys

sys.path.insert(0, ".")

from tests.parity.compare import reproduce
from tests.parity.nouns import ABSENT, Case, Request, Site, Spec, View

reproduce(
    {case}
)
'''
SHOWN_CHARACTERS = 4000


class Difference(AssertionError):
    """
    Onehop did something else than stock Django.

    Attributes:
        case: The case.
        where: Number of the request (or "loading", "end") and what differs.
    """

    def __init__(self, case, where, stock, onehop):
        self.case, self.where = case, where
        super().__init__(
            f"{where} differs.\nstock Django: {_shown(stock)}\nOnehop:       {_shown(onehop)}\n\n"
            f"# ---- reproduce ----\n{script_of(case)}"
        )


class Counts(Counter):
    """
    What was compared: ``cases``, ``pairs``, ``pairs without a hop``.

    Attributes:
        used: How often each listed exception was used.
        kinds: In how many cases each thing occurs.
        stacks: Digests of the stacks, each once.
    """

    def __init__(self):
        super().__init__()
        self.used = Counter()
        self.kinds = Counter()
        self.stacks = set()


def compare(case, world, counts=None):
    """
    Run a case on both sides.

    Raises:
        Difference: They did not do the same, and no listed exception says why.
    """
    counts = Counts() if counts is None else counts
    stock = seen.run(case, world, seen.make_stock)
    onehop = seen.run(case, world, seen.make_onehop)
    counts["cases"] += 1
    counts.stacks.add(stack_of(case))
    if len(stock) != len(onehop):
        raise Difference(case, "loading", stock[0].error, onehop[0].error)
    for number, (theirs, ours) in enumerate(zip(stock, onehop, strict=True)):
        request = case.requests[number - 1] if 0 < number <= len(case.requests) and len(stock) > 1 else None
        expected = listed.expected_of(case, request, theirs, ours, counts.used)
        name = "loading" if number == 0 else "end" if request is None else f"request {number}: {request!r}"
        for each in fields(expected):
            wanted, found = getattr(expected, each.name), getattr(ours, each.name)
            if each.compare and wanted != found:
                raise Difference(case, f"{name}: {each.name}", *_narrowed(wanted, found))
        if request is not None:
            counts["pairs"] += 1
            counts["pairs without a hop"] += ours.hops == 0
    counts.kinds.update(kinds_of(case))


def stack_of(case):
    """Return a digest of a case's stack, the same one in every process."""
    return hashlib.blake2b(repr(case.site.stack).encode(), digest_size=8).digest()


def kinds_of(case):
    """Name everything that occurs in a case, once each."""
    site = case.site
    for each in site.stack:
        yield f"middleware: {each if isinstance(each, str) else each.kind}"
        if isinstance(each, Spec):
            yield from (f"{hook}: {does}" for hook, does in each.hooks.items())
            yield from (f"middleware touches: {touch}" for touch in each.touches)
            if each.kind not in (*HOOKS_ONLY, "unused"):
                yield f"around: {each.around}"
            if each.declared:
                yield f"declared: {each.kind}"
    yield f"middleware, how many: {len(site.stack):2}"
    for view in site.views:
        yield f"view: {view.mode} {view.does}"
        yield f"view form: {view.mode} {view.form}"
        yield from (f"view touches: {touch}" for touch in view.touches)
        yield from (f"view decorator: {name}" for name in view.decorators)
    yield from (f"setting: {name}={value!r}" for name, value in site.settings)
    yield f"error handlers: {site.errors or 'as usual'}"
    yield f"receivers: {site.receivers or 'none'}"
    yield from (
        name for name, there in {"i18n_patterns": site.prefixed, "ATOMIC_REQUESTS": site.atomic}.items() if there
    )
    for request in case.requests:
        yield f"method: {request.method!r}"
        if not isinstance(request.to, int):
            yield f"path: {request.to[:30]!r}"
        yield from (f"header: {name.decode()}: {value[:30]!r}" for name, value in request.headers)
        yield from (f"scope: {name}={value!r}" for name, value in request.scope)
        if request.query:
            yield f"query: {request.query[:20]!r}"
        if request.body:
            yield f"body: {min(request.pieces, len(request.body))} pieces"
        if request.hangs_up:
            yield "hangs up"
        if request.send_fails_at is not None:
            yield "send fails"


def _narrowed(wanted, found):
    """Return the first parts that differ."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        names = [name for name in {**wanted, **found} if wanted.get(name, "absent") != found.get(name, "absent")]
        return tuple({name: each.get(name, "absent") for name in names} for each in (wanted, found))
    if isinstance(wanted, list) and isinstance(found, list):
        same = 0
        while same < min(len(wanted), len(found)) and wanted[same] == found[same]:
            same += 1
        return tuple((f"from {same} of {len(each)}", each[same : same + 4]) for each in (wanted, found))
    return wanted, found


def _shown(value):
    return pprint.pformat(value, width=110)[:SHOWN_CHARACTERS]


def script_of(case):
    """Return a script that compares this very case."""
    return SCRIPT.format(case=repr(case))


def reproduce(case):
    """Compare one case in a process of its own."""
    from tests.parity.world import World

    prepare()
    with World().open() as world:
        compare(case, world)
    print("Both do the same.")


def prepare():
    """Set Django up as the tests do."""
    import os

    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.project.settings")
    django.setup(set_prefix=False)
