"""Drive a WSGI application in process: one request at a time, as a server's thread does."""

import contextvars
import io
import threading
from types import SimpleNamespace

from django.test import override_settings
from django.urls import re_path

PATIENCE_S = 10


class Urls(type):
    """Classes serve as ROOT_URLCONF: anything hashable with ``urlpatterns`` does."""


def application_of(view=None, middleware=(), *, stock=False, urlpatterns=None, **settings):
    """Return an application, for code inside ``override_settings``, and the settings it was made with."""
    from django.core.handlers.wsgi import WSGIHandler

    from onehop.wsgi import get_wsgi_application
    from onehop.wsgi_handler import OnehopWSGIHandler

    urlconf = Urls("Site", (), {"urlpatterns": urlpatterns or [re_path("", view)]})
    overridden = override_settings(ROOT_URLCONF=urlconf, MIDDLEWARE=list(middleware), **settings)
    with overridden:
        application = WSGIHandler() if stock else get_wsgi_application()
    assert (type(application) is OnehopWSGIHandler) is not stock
    return application, overridden


def environ_of(path="/", method="GET", body=b"", **extra):
    path, _, query = path.partition("?")
    return {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        "wsgi.url_scheme": "http",
        "wsgi.file_wrapper": extra.pop("file_wrapper", None),
        **extra,
    }


def begin(application, path="/", **keywords):
    """Call an application; return status, headers and the iterable that a server would send."""
    head = []
    sent = application(environ_of(path, **keywords), lambda status, headers, *_: head.extend((status, headers)))
    return SimpleNamespace(status=head[0], headers=head[1], sent=sent)


def get(application, path="/", **keywords):
    """Send one request in this thread, in a context of its own; return the answer."""

    def whole():
        answer = begin(application, path, **keywords)
        try:
            answer.body = b"".join(answer.sent)
        finally:
            answer.sent.close()
        return answer

    return contextvars.Context().run(whole)


class Call:
    """A function that runs on a thread of its own, for requests that go on at the same time."""

    def __init__(self, function, *arguments, **keywords):
        self.result = self.error = None
        self._thread = threading.Thread(target=self._run, args=(function, arguments, keywords), daemon=True)
        self._thread.start()

    def _run(self, function, arguments, keywords):
        try:
            self.result = function(*arguments, **keywords)
        except BaseException as error:
            self.error = error

    @property
    def is_over(self):
        return not self._thread.is_alive()

    def wait(self):
        """Return what the function returned, or raise what it raised."""
        self._thread.join(PATIENCE_S)
        assert self.is_over, "a request hangs"
        if self.error is not None:
            raise self.error
        return self.result
