"""Every known row is right, and every hook that Django ships has one."""

import sys
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path

import django
import pytest
from django.core.handlers.asgi import ASGIRequest
from django.test import override_settings
from django.utils.module_loading import import_string

from onehop._django import iscoroutinefunction
from onehop.plan.known import find_row, rows
from onehop.plan.known.rows import known_rows
from tests.plan.cases import CASES, LOOP, ONE_PER_ROW, THREAD, exists, missing, named
from tests.plan.cases_contrib import SITES

HOOKS = (
    "process_request",
    "process_view",
    "process_template_response",
    "process_response",
    "process_exception",
)
ASYNC = {"RemoteUserMiddleware", "PersistentRemoteUserMiddleware"}
"""Middleware that is awaited, so that it needs no row: what it awaits of the ORM hops by itself."""


class OwnRequest(ASGIRequest):
    """A request class that finds its path out."""

    path = property(lambda self: self.__dict__["path"], lambda self, path: self.__dict__.update(path=path))


@pytest.mark.parametrize("case", named(LOOP))
def test_what_may_run_on_the_loop_does_not_block_it(case, scene_of, on_loop):
    """The guard lets the hook pass, and the hook, called on a loop, opens, imports and queries nothing."""
    scene = scene_of(case)
    arguments = case.arrange(scene)
    hook = getattr(scene.middleware, case.hook)

    def ask_and_call():
        assert scene.ask(case.hook, *arguments) is None
        with pytest.raises(case.raises) if case.raises else nullcontext():
            hook(*arguments)

    on_loop(ask_and_call)


@pytest.mark.parametrize("case", named(THREAD))
def test_what_may_block_needs_the_thread(case, scene_of, on_loop):
    """The guard says why the hook needs the thread, and does not block the loop to find that out."""
    scene = scene_of(case)
    arguments = case.arrange(scene)

    verdict = on_loop(scene.ask, case.hook, *arguments)

    assert verdict is not None
    assert case.because in verdict
    assert "guard failed" not in verdict


@pytest.mark.parametrize("case", named(ONE_PER_ROW))
def test_a_request_class_of_ones_own_needs_the_thread(case, scene_of, on_loop):
    """Whatever hook it is, what it reads of such a request may do anything."""
    scene = scene_of(case)
    arguments = case.arrange(scene)
    arguments[0].__class__ = OwnRequest

    verdict = on_loop(scene.ask, case.hook, *arguments)

    assert verdict == "OwnRequest is a request class of one's own"


@pytest.mark.parametrize("case", named(ONE_PER_ROW))
def test_a_request_class_that_adds_nothing_is_djangos(case, scene_of, on_loop):
    """A subclass with nothing in it reads as Django's own class."""
    scene = scene_of(case)
    arguments = case.arrange(scene)
    arguments[0].__class__ = type("Renamed", (ASGIRequest,), {"__doc__": "The same."})

    verdict = on_loop(scene.ask, case.hook, *arguments)

    assert verdict is None


@pytest.mark.parametrize("cases", [LOOP, THREAD], ids=["loop", "thread"])
def test_every_row_has_a_case(cases):
    """No row is without a proof of its verdict for the loop, and none without a case for the thread."""
    assert set(known_rows()) - {(case.path, case.hook) for case in cases} == set()


def test_the_table_is_filled_by_all_its_modules(monkeypatch):
    """Whoever asks first: importing the table alone finds the rows of each source."""
    whole = set(known_rows())
    monkeypatch.setattr(rows, "TABLE", {})
    for source in rows.SOURCES:
        package, _, name = source.rpartition(".")
        monkeypatch.setattr(sys.modules[package], name, sys.modules[source])
        monkeypatch.delitem(sys.modules, source)

    assert set(known_rows()) == whole


def test_every_case_has_a_row():
    """A case for a row that is gone would be skipped as one for another version of Django."""
    assert {(case.path, case.hook) for case in CASES} - set(known_rows()) == set()


@pytest.mark.parametrize(
    ("path", "hook"), [pytest.param(*key, id=".".join(key), marks=missing(*key)) for key in known_rows()]
)
@override_settings(INSTALLED_APPS=SITES)
def test_the_code_of_every_row_was_read_in_this_version(path, hook):
    """The fingerprint of the installed hook, with all that it reaches, is in the table."""
    row, doubt = find_row(import_string(path), hook)

    assert doubt == ""
    assert row is known_rows()[path, hook]


def middleware_of_django():
    """Return all classes with a ``process_*`` method, in every module of Django's that holds middleware."""
    folder = Path(django.__file__).parent
    found = []
    for file in [*folder.glob("middleware/*.py"), *folder.glob("contrib/**/middleware.py")]:
        module = import_module(".".join(("django", *file.relative_to(folder).with_suffix("").parts)))
        classes = [value for value in vars(module).values() if isinstance(value, type)]
        found += [cls for cls in classes if cls.__module__ == module.__name__]
    return [cls for cls in found if any(hasattr(cls, hook) for hook in HOOKS)]


@override_settings(INSTALLED_APPS=SITES)
def test_every_hook_that_django_ships_has_a_row():
    """All of them were read: a hook that is new in a version of Django fails here."""
    shipped = {
        (f"{cls.__module__}.{cls.__qualname__}", hook)
        for cls in middleware_of_django()
        for hook in HOOKS
        if hasattr(cls, hook) and cls.__qualname__ not in ASYNC
    }

    assert len(shipped) >= 27
    assert {key for key in known_rows() if key[0].startswith("django.") and exists(key[0])} == shipped


def test_middleware_without_a_row_is_async():
    """What is left out of the table is middleware that Django awaits, and that runs its own hooks."""
    classes = [cls for cls in middleware_of_django() if cls.__qualname__ in ASYNC]

    assert {cls.__qualname__ for cls in classes} == ASYNC
    assert all(cls.async_capable and iscoroutinefunction(cls.__acall__) for cls in classes)
