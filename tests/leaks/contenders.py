"""
What answers the requests: stock Django, Onehop in its settings, and Onehop with one guard taken out.

The naive ones are what one writes who does not know where state hides. The oracle has to catch each.
"""

import asyncio
import pkgutil
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

from asgiref.sync import ThreadSensitiveContext
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.test import override_settings
from django.utils.module_loading import import_string

from tests.leaks.middleware import STACKS
from tests.leaks.packages import PRESENT


class Contender(NamedTuple):
    """
    What to send requests to.

    Attributes:
        make: Makes the application, for the settings then in force.
        prepare: Called once, before anything is loaded.
        options: Returns ``settings.ONEHOP`` for a stack.
        is_stock: True for one that says what has to be seen.
        is_wsgi: True for a WSGI application.
    """

    make: Callable[[], Any]
    prepare: Callable[[], None] = lambda: None
    options: Callable[[list[str]], dict[str, Any]] = lambda _: {}
    is_stock: bool = False
    is_wsgi: bool = False

    def applications(self):
        """Return an application for each stack that this contender can run."""
        self.prepare()
        made = {}
        for name, stack in STACKS.items():
            with override_settings(MIDDLEWARE=stack, ONEHOP=self.options(stack)):
                made[name] = self.make()
        return made


def _onehop():
    from onehop.asgi import get_asgi_application
    from onehop.handler import OnehopASGIHandler

    application = get_asgi_application()
    assert isinstance(application, OnehopASGIHandler)
    return application


def _onehop_wsgi():
    from onehop.wsgi import get_wsgi_application
    from onehop.wsgi_handler import OnehopWSGIHandler

    application = get_wsgi_application()
    assert type(application) is OnehopWSGIHandler
    return application


def _be_patient():
    """Let requests wait for a thread as long as a busy machine takes."""
    from onehop.run import threads

    threads.WAIT_FOR_ANY_S = 60.0


def _install():
    import onehop

    assert onehop.install()


def _installed():
    from onehop.chain import chain_of

    application = ASGIHandler()
    assert chain_of(application) is not None
    return application


def _all_sync(stack):
    """Declare every middleware that can be sync to run anywhere, whatever it is."""
    return {"RUNS_ANYWHERE": [path for path in stack if getattr(import_string(path), "sync_capable", True)]}


def _inspect_nothing():
    """Use every thread again, with its connections, as it is."""
    from onehop.run.leftovers import Fresh

    settings.DATABASES["default"]["CONN_MAX_AGE"] = None
    Fresh.find_leftover = lambda self: None


def _hop_without_asgiref():
    """Run jobs in the thread's own context, and inspect no thread."""
    from onehop._django import executors_by_context, thread_sensitive_context
    from onehop.run import runners

    async def hop(function, *arguments):
        context: ThreadSensitiveContext = thread_sensitive_context.get()
        return await asyncio.wrap_future(executors_by_context[context].submit(function, *arguments))

    runners.hop_to_thread = hop
    _inspect_nothing()


class Global:
    """A module global with the methods of a ``ContextVar``."""

    def __init__(self, value):
        self.value = value

    def get(self, default=None):
        return default if self.value is None else self.value

    def set(self, value):
        self.value = value


def _keep_in_globals():
    """Have every package keep the current user in a module global, so that it is seen that its rows are looked at."""
    present = {"tests", *(package.module for package in PRESENT.values())}
    for name, attribute, value in (
        ("tests.leaks.stores", "deleted", SimpleNamespace()),
        ("crum", "_thread_locals", SimpleNamespace()),
        ("django_currentuser.middleware", "_thread_locals", SimpleNamespace()),
        ("django_multitenant.utils", "_context", SimpleNamespace()),
        ("easyaudit.middleware.easyaudit", "_thread_locals", SimpleNamespace()),
        ("simple_history.models.HistoricalRecords", "context", SimpleNamespace()),
        ("auditlog.context", "auditlog_value", Global(None)),
        ("reversion.revisions", "_stack", Global([])),
    ):
        if name.partition(".")[0] in present:
            holder = pkgutil.resolve_name(name)
            assert hasattr(holder, attribute)
            setattr(holder, attribute, value)


CONTENDERS = {
    "stock": Contender(ASGIHandler, is_stock=True),
    "stock WSGI": Contender(WSGIHandler, is_stock=True, is_wsgi=True),
    "onehop": Contender(_onehop),
    "onehop, 4 threads": Contender(_onehop, _be_patient, lambda _: {"MAX_REQUEST_THREADS": 4}),
    "onehop, never": Contender(_onehop, options=lambda _: {"THREAD_REUSE": "never"}),
    "onehop, installed": Contender(_installed, prepare=_install),
    "onehop WSGI": Contender(_onehop_wsgi, is_wsgi=True),
    "naive: hooks inline": Contender(_onehop, options=_all_sync),
    "naive: raw threads": Contender(_onehop, prepare=_inspect_nothing),
    "naive: bare hop": Contender(_onehop, prepare=_hop_without_asgiref),
    "naive: module globals": Contender(_onehop, prepare=_keep_in_globals),
}
