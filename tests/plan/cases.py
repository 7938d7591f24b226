"""The whole table of cases, and how pytest takes them."""

from contextlib import suppress

import django
import pytest
from django.utils.module_loading import import_string

from tests.plan import cases_contrib, cases_core  # noqa: F401  (they fill the table)
from tests.plan.scene import CASES

LOOP = [case for case in CASES if case.because is None]
THREAD = [case for case in CASES if case.because is not None]
ONE_PER_ROW = list({(case.path, case.hook): case for case in LOOP}.values())


def exists(path):
    """Tell whether a middleware class is in the installed version; it may still need its app."""
    with suppress(RuntimeError):  # the app of its models is not installed here
        try:
            import_string(path)
        except ImportError:
            return False
    return True


def missing(path, hook, since=()):
    """Return the mark that skips what is not in the installed Django; an empty list for what is."""
    if not exists(path):
        return [pytest.mark.skip(f"{path} is not in Django {django.__version__}")]
    if since > django.VERSION:
        return [pytest.mark.skip(f"{path}.{hook} never runs on the loop in Django {django.__version__}")]
    return []


def named(cases):
    """Return the cases as pytest takes them, each with a name of its own."""
    names = [str(case) for case in cases]
    return [
        pytest.param(
            case,
            id=f"{name} {names[: number + 1].count(name)}" if names.count(name) > 1 else name,
            marks=missing(case.path, case.hook, case.since),
        )
        for number, (case, name) in enumerate(zip(cases, names, strict=True))
    ]
