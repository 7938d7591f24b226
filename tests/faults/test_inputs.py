"""Bad input: the same answer, log and exception as from stock Django, and each request closed."""

import os

import pytest
from django.core.handlers.wsgi import WSGIHandler

from onehop.errors import ConfigError
from onehop.wsgi_handler import OnehopWSGIHandler
from tests import asgi
from tests.faults.inputs import ENVIRONS, INPUTS, OWN_SETTINGS, READING, Site
from tests.faults.judge import tried
from tests.faults.scene import told
from tests.wsgi import drive

CHOSEN = INPUTS if os.environ.get("ONEHOP_LONG") else INPUTS[::11]

pytestmark = [
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume synchronous iterators"),
]


@pytest.mark.parametrize("given", CHOSEN, ids=str)
def test_bad_input_is_answered_as_by_stock_django(given):
    """Messages, log records and exceptions are the same; nothing hangs, and the next request is answered."""
    tried(given)


def answer_of(make_handler, view, changes):
    """Send one request with a changed environ; return the answer, or what is raised."""
    from django.test import override_settings

    with override_settings(**Site(view).settings):
        handler = make_handler()
        environ = drive.environ_of("/", "POST", b"0123456789")
        environ.update(changes)
        environ = {key: value for key, value in environ.items() if value is not None}
        head = []
        try:
            sent = handler(environ, lambda status, headers, *_: head.extend((status, sorted(headers))))
        except Exception as error:
            return told(error)
        try:
            return [*head, b"".join(sent)]
        finally:
            sent.close()


@pytest.mark.parametrize("view", READING)
@pytest.mark.parametrize("name", ENVIRONS)
def test_a_bad_environ_is_answered_as_by_stock_django(name, view, caplog):
    """Under WSGI: status, headers, body or exception, and what is logged."""
    outcomes = []
    for handler in (WSGIHandler, OnehopWSGIHandler):
        caplog.clear()
        answer = answer_of(handler, READING[view], ENVIRONS[name])
        outcomes.append((answer, [(each.name, each.levelname, each.getMessage()) for each in caplog.records]))

    assert outcomes[1] == outcomes[0]


@pytest.mark.parametrize("mistake", OWN_SETTINGS)
def test_a_wrong_setting_of_onehop_is_one_clear_error(mistake):
    """At start-up; the error begins with the setting and its value, and says what may stand there."""
    value, begins = OWN_SETTINGS[mistake]

    with pytest.raises(ConfigError) as raised:
        asgi.onehop_application(MIDDLEWARE=[], ONEHOP=value)

    assert str(raised.value).startswith(begins)
    assert str(raised.value).rstrip().endswith((".", "?"))


@pytest.mark.parametrize("mistake", OWN_SETTINGS)
def test_a_wrong_setting_is_an_error_under_wsgi_too(mistake):
    """No setting is read there that is not checked."""
    value, begins = OWN_SETTINGS[mistake]

    with pytest.raises(ConfigError) as raised:
        drive.application_of(READING["sync_read"], ONEHOP=value)

    assert str(raised.value).startswith(begins)
