"""
The worlds in which stock Django and Onehop run the same case: each begins as a copy of the same one.

Theory of operation. Both run in one process, one after the other, at the same moment of a clock that stands still,
with the same random bytes, on the same database file, cache and session files, all made anew before each. What both
ask the operating system for is replaced beneath Django (``time_machine`` at the clock, ``random._urandom`` under
``secrets``), so that not one function that Onehop's guards look at is another.
"""

import atexit
import gc
import os
import random
import shutil
import tempfile
import warnings
from contextlib import ExitStack, contextmanager
from pathlib import Path

import time_machine
from django.core.cache import caches
from django.test import override_settings

from tests.parity import recorder, stacks, urls
from tests.parity.nouns import Spec

START_S = 1735689600.0
"""The moment of the first request; the next one comes a second later."""

TEMPLATES = {
    "hello.html": "hello {{ name }}",
    "raises.html": "before {{ fail }} after",
    "page.html": "{{ user }} {% csrf_token %} {% for each in messages %}{{ each }} {% endfor %}{{ LANGUAGE_CODE }}",
    "flatpages/default.html": "{{ flatpage.title }} {{ flatpage.content }}",
    "registration/login.html": "log in",
}


class Reporter:
    """
    What is shown of an exception where ``DEBUG`` is on: itself, and the frames that are the project's.

    Django's own shows every frame, so also the handler's, addresses of objects, and the contexts, which
    ``listed.contexts_after_fewer_crossings`` is about.
    """

    def __init__(self, request, exc_type, exc_value, tb, is_email=False):
        self.error = exc_value
        self.tb = tb

    def get_traceback_text(self):
        return "\n".join([repr(self.error), repr(self.error.__cause__), *frames_of(self.tb)])

    def get_traceback_html(self):
        return "<pre>" + self.get_traceback_text()


def chain_of(error, above=()):
    """Tell an exception with its cause and context, as a tree; None for none, or for one that was told above."""
    if error is None or error in above:
        return None
    above = (*above, error)
    return {
        "error": f"{type(error).__name__}{error.args[:1] if isinstance(error, BaseExceptionGroup) else error.args!r}",
        "cause": chain_of(error.__cause__, above),
        "context": chain_of(error.__context__, above),
        "suppressed": error.__suppress_context__,
        "group": [chain_of(each, above) for each in getattr(error, "exceptions", ())],
    }


def frames_of(tb):
    """Return the functions of this package that an exception came through."""
    found = []
    here = os.path.dirname(__file__)
    while tb is not None:
        code = tb.tb_frame.f_code
        if os.path.dirname(code.co_filename) == here and code.co_name not in ONLY_CALLS:
            found.append(BY_MODE.get(code.co_name, code.co_name))
        tb = tb.tb_next
    return found


BY_MODE = {"call_sync": "call", "call_async": "call", "aenter": "enter"}
ONLY_CALLS = ("call", "<lambda>", "middleware")
"""What calls these in ``stacks``. A hybrid may run in either mode: docs/lanes.md."""


BASE = {
    "INSTALLED_APPS": [
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "django.contrib.messages",
        "django.contrib.staticfiles",
        "django.contrib.sites",
        "django.contrib.flatpages",
        "django.contrib.redirects",
    ],
    "SITE_ID": 1,
    "TEMPLATES": [
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {
                "loaders": [("django.template.loaders.locmem.Loader", TEMPLATES)],
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.template.context_processors.i18n",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ],
            },
        }
    ],
    "CACHES": {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "parity"}},
    "DEFAULT_EXCEPTION_REPORTER": f"{__name__}.Reporter",
    "LOGIN_URL": "/login/",
    "LANGUAGES": [("en", "English"), ("de", "German")],
    "ADMINS": [],
    "ROOT_URLCONF": urls.__name__,
}


class World:
    """
    A folder with a database and session files, which ``fresh`` brings back to how they were.

    Attributes:
        seed: Numbers the request at hand; decides about the time and all random bytes.
    """

    def __init__(self):
        within = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.folder = Path(tempfile.mkdtemp(prefix="onehop-parity-", dir=within))
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        self.database = self.folder / "world.sqlite3"
        self.sessions = self.folder / "sessions"
        self._bytes = random.Random(0)
        self._template = b""

    @contextmanager
    def open(self):
        """Let this process live in this world: settings, database, clock and randomness."""
        from django.db import connections

        connections.close_all()
        database = connections.settings["default"]
        before = {key: database[key] for key in ("NAME", "OPTIONS", "ATOMIC_REQUESTS")}
        options = {"timeout": 20, "init_command": "PRAGMA synchronous=OFF; PRAGMA journal_mode=MEMORY"}
        database.update(NAME=str(self.database), OPTIONS=options)
        with ExitStack() as stack:
            stack.callback(self._leave, database, before)
            stack.callback(forget_session_files)
            forget_session_files()
            stack.enter_context(override_settings(**BASE, SESSION_FILE_PATH=str(self.sessions)))
            self._clock = stack.enter_context(time_machine.travel(START_S, tick=False))
            urandom = random._urandom
            stack.callback(setattr, random, "_urandom", urandom)
            random._urandom = self._bytes.randbytes
            self._make()
            gc.collect()
            gc.freeze()
            gc.disable()
            stack.callback(self._collect)
            yield self

    @staticmethod
    def _collect():
        """Throw away what is left, also what stock Django has not closed."""
        gc.enable()
        gc.unfreeze()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()

    def _leave(self, database, before):
        from django.db import connections

        connections.close_all()
        database.update(before)

    def _make(self):
        """Make the database that every world begins with."""
        from django.contrib.auth.models import User
        from django.contrib.flatpages.models import FlatPage
        from django.contrib.redirects.models import Redirect
        from django.contrib.sites.models import Site
        from django.core.management import call_command
        from django.db import connections

        call_command("migrate", verbosity=0, interactive=False)
        User.objects.create(username="ann", password="!")
        site = Site.objects.get_current()
        FlatPage.objects.create(url="/flat/", title="Flat", content="page").sites.add(site)
        Redirect.objects.create(site=site, old_path="/old/", new_path="/v0/")
        connections.close_all()
        self._template = self.database.read_bytes()

    def fresh(self):
        """Begin again."""
        from django.contrib.sites.models import Site
        from django.db import connections
        from django.utils import translation

        connections.close_all()
        vars(translation._trans).clear()  # functions that it keeps from when USE_I18N was another
        self.database.unlink(missing_ok=True)
        self.database.write_bytes(self._template)
        shutil.rmtree(self.sessions, ignore_errors=True)
        self.sessions.mkdir()
        caches["default"].clear()
        Site.objects.clear_cache()
        recorder.own = recorder.Own()
        self.begin_request(0)

    def begin_request(self, number):
        """Set the clock and the random bytes for a request."""
        self._clock.move_to(START_S + number)
        self._bytes.seed(number)


def forget_session_files():
    """Have Django look at SESSION_FILE_PATH again: it has kept the first that was asked for."""
    from django.contrib.sessions.backends.file import SessionStore

    if "_storage_path" in vars(SessionStore):
        del SessionStore._storage_path


@contextmanager
def site_of(site):
    """Put a site's settings, URLs and middleware in place."""
    from django.conf.urls.i18n import is_language_prefix_patterns_used
    from django.db import connections

    paths = []
    for number, each in enumerate(site.stack):
        if isinstance(each, Spec):
            name = f"Mw{number}"
            setattr(stacks, name, stacks.make(each, name))
            paths.append(f"{stacks.__name__}.{name}")
        else:
            paths.append(each)
    urls.fill(site)
    is_language_prefix_patterns_used.cache_clear()
    connections.settings["default"]["ATOMIC_REQUESTS"] = site.atomic
    with override_settings(MIDDLEWARE=paths, ROOT_URLCONF=urls.__name__, **dict(site.settings)):
        yield
