"""
Where programs keep what belongs to one request, and how to put a canary there and to find one.

A store is put by whoever would put it in a real project: thread-locals by sync code only, because async code on the
loop would share them with everybody, under stock Django too.
"""

import contextvars
import datetime
import logging
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from asgiref.local import Local
from django.core.cache import caches
from django.db import connections
from django.urls import get_script_prefix, get_urlconf, path, set_urlconf
from django.utils import timezone, translation

from tests.leaks.packages import PRESENT
from tests.leaks.tickets import Ticket, ticket_of


def canary_of(ticket):
    return ticket.canary if ticket.shape.known else None


class Store(NamedTuple):
    """
    A place for a canary.

    Attributes:
        put: Called with request and ticket; None where somebody else puts: a middleware, a package, the server.
        read: Called with the request; returns what is there, None where that is nothing.
        image: What ``read`` returns where this ticket's canary is.
    """

    name: str
    read: Callable[[Any], Any]
    put: Callable[[Any, Ticket], None] | None = None
    image: Callable[[Ticket], Any] = canary_of


class WithState(threading.local):
    """A thread-local that gives every thread something to begin with."""

    def __init__(self):
        self.count = 0
        self.found = []

    def add(self, canary):
        self.count += 1
        self.found.append(canary)


plain, with_state, cleared = threading.local(), WithState(), threading.local()
variable = contextvars.ContextVar("canary")
local, deleted = Local(), Local()
late: dict[int, threading.local] = {}
LANGUAGES = ("de", "fr", "es", "it", "pt", "nl", "pl", "sv")
URLCONFS = tuple(type(f"Urls{number}", (), {"urlpatterns": [path("", repr)]}) for number in range(8))


def late_local(request):
    """Return a thread-local that a request has made, not long ago."""
    age = ticket_of(request).number // 200
    if age not in late:
        late.setdefault(age, threading.local())  # another thread may be quicker
        late.pop(age - 10, None)
    return late[age]


def attribute(name, holder, label="canary"):
    """Return a store that is an attribute of what ``holder`` returns for a request."""
    return Store(
        name,
        lambda request: getattr(holder(request), label, None),
        lambda request, ticket: setattr(holder(request), label, ticket.canary),
    )


def _read_thread_name(_):
    name = threading.current_thread().name
    return name.removeprefix("canary ") if name.startswith("canary ") else None


def _put_thread_name(_, ticket):
    threading.current_thread().name = f"canary {ticket.canary}"


BY_THREAD = [
    attribute("thread local", lambda _: plain),
    attribute("thread local, made late", late_local),
    Store(
        "thread local with state",
        lambda _: with_state.found[0] if with_state.found else None,
        lambda _, ticket: with_state.add(ticket.canary),
    ),
    attribute("thread attribute", lambda _: threading.current_thread()),
    Store("thread name", _read_thread_name, _put_thread_name),
]


def _of_language(ticket):
    return LANGUAGES[ticket.number % len(LANGUAGES)] if ticket.shape.known else None


def _read_language(_):
    language = translation.get_language()
    return None if language == "en-us" else language


def _of_urlconf(ticket):
    return URLCONFS[ticket.number % len(URLCONFS)] if ticket.shape.known else None


def _read_urlconf(_):
    urlconf = get_urlconf()
    return urlconf if isinstance(urlconf, type) else None


def _read_timezone(_):
    name = timezone.get_current_timezone_name()
    return name.removeprefix("canary ") if name.startswith("canary ") else None


def _put_timezone(_, ticket):
    timezone.activate(datetime.timezone(datetime.timedelta(0), f"canary {ticket.canary}"))


BY_CONTEXT = [
    Store("context variable", lambda _: variable.get(None), lambda _, ticket: variable.set(ticket.canary)),
    attribute("Local", lambda _: local),
    attribute("cache", lambda _: caches["default"]),
    Store("language", _read_language, lambda _, ticket: translation.activate(_of_language(ticket)), _of_language),
    Store("time zone", _read_timezone, _put_timezone),
    Store("URLconf", _read_urlconf, lambda _, ticket: set_urlconf(_of_urlconf(ticket)), _of_urlconf),
    attribute("request", lambda request: request),
]


def _query(sql):
    with connections["default"].cursor() as cursor:
        return cursor.execute(sql).fetchone()


def _put_function(_, ticket):
    connection = connections["default"]
    connection.ensure_connection()
    connection.connection.create_function("canary", 0, lambda canary=ticket.canary: canary)


def _read_function(_):
    known = _query("SELECT 1 FROM pragma_function_list WHERE name = 'canary'")
    return _query("SELECT canary()")[0] if known else None


def _put_table(_, ticket):
    _query(f"CREATE TEMP TABLE IF NOT EXISTS canary AS SELECT '{ticket.canary}' AS number")


def _read_table(_):
    known = _query("SELECT 1 FROM sqlite_temp_master WHERE name = 'canary'")
    return _query("SELECT number FROM temp.canary")[0] if known else None


def _read_pragma(_):
    (number,) = _query("PRAGMA journal_size_limit")
    return None if number < 0 else str(number)


BY_CONNECTION = [
    attribute("database connection", lambda _: connections["default"]),
    Store("database function", _read_function, _put_function),
    Store("temporary table", _read_table, _put_table),
    Store("pragma", _read_pragma, lambda _, ticket: _query(f"PRAGMA journal_size_limit = {ticket.canary}")),
]


class Keep(logging.Handler):
    """Keep what the log record factory and the filter wrote on the last record of a request."""

    def emit(self, record):
        record.ticket.stamps = record.by_factory, record.by_filter


def _filter(record):
    record.by_filter = variable.get(None)
    return True


logger = logging.getLogger("tests.leaks")
logger.propagate = False
logger.setLevel(logging.INFO)
logger.addHandler(Keep())
logger.addFilter(_filter)
make_record = logging.getLogRecordFactory()


def factory(*arguments, **keywords):
    """Stamp every record of the process with what the thread holds."""
    record = make_record(*arguments, **keywords)
    record.by_factory = getattr(plain, "canary", None)
    return record


logging.setLogRecordFactory(factory)


def _read_factory_stamp(request):
    logger.info("here", extra={"ticket": ticket_of(request)})
    return ticket_of(request).stamps[0]


def _read_filter_stamp(request):
    return ticket_of(request).stamps[1]  # of the same record


def _number_of(request):
    return None if request is None else ticket_of(request).number


def user_name(user):
    """Return the name of a user; None for an anonymous one, or none at all."""
    return (user.username or None) if user is not None else None


def _of_packages():
    """Return what each package shows, where it is there."""
    if "django-crum" in PRESENT:
        import crum

        yield _of_request("django-crum", crum.get_current_request)
    if "django-currentuser" in PRESENT:
        from django_currentuser.middleware import get_current_user

        yield Store("django-currentuser", lambda _: user_name(get_current_user()), None, _user)
    if "django-multitenant" in PRESENT:
        from django_multitenant import views

        views.get_tenant = lambda request: request.user.username  # before its middleware imports it

        from django_multitenant.utils import get_current_tenant

        yield Store("django-multitenant", lambda _: get_current_tenant(), None, _user)
    if "django-easy-audit" in PRESENT:
        from easyaudit.middleware.easyaudit import get_current_request

        yield _of_request("django-easy-audit", get_current_request)
    if "django-simple-history" in PRESENT:
        from simple_history.models import HistoricalRecords

        yield _of_request("django-simple-history", lambda: getattr(HistoricalRecords.context, "request", None))
    if "django-auditlog" in PRESENT:
        from auditlog import context

        yield Store("django-auditlog", lambda _: user_name(context.auditlog_value.get({}).get("actor")), None, _user)
    if "django-reversion" in PRESENT:
        import reversion

        yield Store("django-reversion", lambda _: (reversion.is_active() and reversion.get_comment()) or None)


def _user(ticket):
    return ticket.user


def _of_request(name, current):
    return Store(name, lambda _: _number_of(current()), None, lambda ticket: ticket.number)


BY_OTHERS = [
    attribute("thread local, cleared", lambda _: cleared)._replace(put=None),
    attribute("Local, deleted", lambda _: deleted)._replace(put=None),
    Store("log record factory", _read_factory_stamp),
    Store("log record filter", _read_filter_stamp),
    Store("script prefix", lambda _: get_script_prefix().strip("/") or None),
    *_of_packages(),
]

STORES = [*BY_THREAD, *BY_CONTEXT, *BY_CONNECTION, *BY_OTHERS]
NAMES = [store.name for store in STORES]


class Group:
    """Some stores, each with its bit, and the mask of all."""

    def __init__(self, stores):
        self.stores = [(1 << NAMES.index(store.name), store) for store in stores]
        self.mask = sum(bit for bit, _ in self.stores)


EVERY = Group(STORES)
IN_MEMORY = Group([*BY_THREAD, *BY_CONTEXT, *BY_OTHERS])
PUT_BY_SYNC_CODE = Group([*BY_THREAD, *BY_CONTEXT, *BY_CONNECTION])
PUT_BY_ASYNC_CODE = Group(BY_CONTEXT)
