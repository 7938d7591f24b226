"""The mirrored code is one that was read; on any other, stock Django serves, and one warning says so."""

import json
import logging
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import asgiref
import django
import pytest
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.base import BaseHandler
from django.utils.deprecation import MiddlewareMixin

from onehop import _django
from onehop.asgi import get_asgi_application
from onehop.plan.known.rows import fingerprints
from tests import asgi

ROOT = Path(__file__).parents[2]


def test_the_installed_core_was_read():
    """Every function that the walk mirrors or relies on has a known fingerprint in the installed versions."""
    assert _django.unknown_core(fingerprints()["core"]) == []


def test_every_mirrored_function_has_a_fingerprint_of_its_own():
    """None is judged by a name that is not in the table, and none is left in the table."""
    assert set(fingerprints()["core"]) == set(_django.MIRRORED)
    assert all(_django.source_digest(function) for function in _django.MIRRORED.values())
    assert all(
        _django.is_djangos_own(MIRRORED) or "asgiref" in MIRRORED.__module__ for MIRRORED in _django.MIRRORED.values()
    )


@pytest.mark.parametrize("name", _django.MIRRORED)
def test_each_mirrored_function_is_judged(name):
    """A function whose digest is not in the table is named."""
    digests = {**fingerprints()["core"], name: ["0123456789ab"]}

    assert _django.unknown_core(digests) == [name]


def test_a_digest_ignores_comments_docstrings_and_layout(tmp_path, monkeypatch):
    """A release that only rewrites comments is known."""
    versions = {
        "first": 'def f(a):\n    """One."""\n    # two\n    return {\n        "a": a,\n    }\n',
        "second": 'def f(a):\n    """Other."""\n    return {"a": a,}  # three\n',
        "third": 'def f(a):\n    return {"a": a, "b": 1}\n',
    }
    monkeypatch.syspath_prepend(tmp_path)
    digests = {}
    for name, source in versions.items():
        (tmp_path / f"canary_{name}.py").write_text(source)
        digests[name] = _django.source_digest(__import__(f"canary_{name}").f)

    assert digests["first"] == digests["second"]
    assert digests["first"] != digests["third"]


def test_code_that_is_not_what_its_source_says_has_no_digest(monkeypatch):
    """Agents that put other code into a function are noticed."""
    code = MiddlewareMixin.__call__.__code__
    monkeypatch.setattr(MiddlewareMixin.__call__, "__code__", code.replace(co_consts=(*code.co_consts, "traced")))

    assert _django.source_digest(MiddlewareMixin.__call__) is None
    assert _django.unknown_core(fingerprints()["core"]) == ["MiddlewareMixin.__call__"]


def test_a_function_without_source_has_no_digest():
    """Built-in functions, and code that was compiled from a string."""
    namespace = {}
    exec("def f(): pass", namespace)

    assert _django.source_digest(len) is None
    assert _django.source_digest(namespace["f"]) is None


@pytest.fixture
def warnings_of_onehop(caplog):
    with caplog.at_level(logging.DEBUG, logger="onehop"):
        yield lambda: [record.getMessage() for record in caplog.records if record.name.startswith("onehop")]


def test_a_known_core_is_served_by_onehop(warnings_of_onehop):
    """And nothing is said."""
    asgi.onehop_application()

    assert warnings_of_onehop() == []


def test_an_unknown_core_is_served_by_stock_django(monkeypatch, warnings_of_onehop):
    """One warning names both versions and what changed."""
    monkeypatch.setitem(fingerprints()["core"], "ASGIHandler.handle", ["0123456789ab"])

    application = get_asgi_application()

    assert type(application) is ASGIHandler
    assert warnings_of_onehop() == [
        f"Onehop was not checked against Django {django.__version__} with asgiref {asgiref.__version__}: "
        "ASGIHandler.handle changed. Stock Django serves the requests."
    ]
    assert asgi.get(application, "/async/").body == b"async"


@pytest.mark.parametrize("value", ["1", "true"])
def test_onehop_can_be_turned_off(value, monkeypatch, warnings_of_onehop):
    """``ONEHOP_DISABLE`` gives stock Django, without a warning."""
    monkeypatch.setenv("ONEHOP_DISABLE", value)

    assert type(get_asgi_application()) is ASGIHandler
    assert warnings_of_onehop() == []


@pytest.mark.parametrize("value", ["", "0"])
def test_onehop_is_not_turned_off_by_nothing(value, monkeypatch):
    """An empty variable, or a zero, changes nothing."""
    monkeypatch.setenv("ONEHOP_DISABLE", value)

    assert type(get_asgi_application()).__name__ == "OnehopASGIHandler"


def test_what_an_agent_wrapped_is_not_judged(monkeypatch):
    """Its wrapper comes from other files; it is called as it is."""

    def wrapper(self, *arguments):
        return ASGIHandler.handle(self, *arguments)

    monkeypatch.setitem(_django.MIRRORED, "ASGIHandler.handle", wrapper)

    assert _django.unknown_core(fingerprints()["core"]) == []


CHANGED_DJANGO = """
    import json, logging, os
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.project.settings"
    from django.core.handlers.base import BaseHandler
    code = BaseHandler._get_response_async.__code__
    BaseHandler._get_response_async.__code__ = code.replace(co_consts=(*code.co_consts, "another version"))

    class Collect(logging.Handler):
        said = []
        def emit(self, record):
            self.said.append(record.getMessage())

    logging.getLogger("onehop").addHandler(Collect())
    from onehop.asgi import get_asgi_application
    application = get_asgi_application()
    from tests import asgi
    answers = [asgi.get(application, path).body.decode() for path in ("/async/", "/sync/")]
    print(json.dumps([type(application).__module__, Collect.said, answers]))
"""


def test_a_changed_django_serves_its_requests_itself():
    """The same in a process of its own, in which Django's code is really another from the start."""
    code = textwrap.dedent(CHANGED_DJANGO)
    child = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert child.returncode == 0, child.stderr

    module, said, answers = json.loads(child.stdout)

    assert module == "django.core.handlers.asgi"
    assert said == [
        f"Onehop was not checked against Django {django.__version__} with asgiref {asgiref.__version__}: "
        "BaseHandler._get_response_async changed. Stock Django serves the requests."
    ]
    assert answers == ["async", "sync"]
    assert child.stderr == ""


def test_stock_djangos_methods_are_djangos_own():
    """What comes from Django's files, and what does not."""
    assert _django.is_djangos_own(BaseHandler.get_response_async)
    assert not _django.is_djangos_own(test_stock_djangos_methods_are_djangos_own)
    assert not _django.is_djangos_own(os)
