"""What the packages have written about notes: every row must name the user of the request that wrote it."""

from django.core.signals import request_started
from django.db import connection

from tests.leaks.models import Note
from tests.leaks.packages import PRESENT

SOURCES = [*PRESENT, *(["django-easy-audit, requests"] if "django-easy-audit" in PRESENT else [])]
"""What writes rows, as ``written`` names it."""


def written():
    """Yield each row as package, canary of the note, name of the user it gives (None: nobody)."""
    for package, rows in _queries():
        for canary, user in rows:
            yield package, canary, user or None


def forget():
    """Delete all rows, without telling the packages."""
    from django.apps import apps

    with connection.cursor() as cursor:
        cursor.execute("PRAGMA foreign_keys = OFF")
        for model in apps.get_models():
            if model._meta.app_label in ("leaks", "auditlog", "easyaudit", "reversion", "simple_history"):
                cursor.execute(f"DELETE FROM {model._meta.db_table}")
        cursor.execute("PRAGMA foreign_keys = ON")


def watch_requests(wanted):
    """Have django-easy-audit write down requests, or not: its receiver costs every request a hop."""
    if "django-easy-audit" in PRESENT:
        from easyaudit.signals.request_signals import request_started_handler

        uid = "easy_audit_signals_request_started"
        if wanted:
            request_started.connect(request_started_handler, dispatch_uid=uid)
        else:
            request_started.disconnect(dispatch_uid=uid)


def _queries():
    if "django-crum" in PRESENT:
        yield "django-crum", Note.objects.values_list("canary", "maker")
    if "django-currentuser" in PRESENT:
        yield "django-currentuser", Note.objects.values_list("canary", "author__username")
    if "django-multitenant" in PRESENT:
        yield "django-multitenant", Note.objects.values_list("canary", "tenant")
    if "django-easy-audit" in PRESENT:
        from easyaudit.models import CRUDEvent, RequestEvent

        yield "django-easy-audit", CRUDEvent.objects.values_list("object_repr", "user__username")
        for url, user in RequestEvent.objects.values_list("url", "user__username"):
            yield "django-easy-audit, requests", [(url.strip("/").rpartition("/")[2], user)]
    if "django-simple-history" in PRESENT:
        yield "django-simple-history", Note.history.values_list("canary", "history_user__username")
    if "django-auditlog" in PRESENT:
        from auditlog.models import LogEntry

        yield "django-auditlog", LogEntry.objects.values_list("object_repr", "actor__username")
    if "django-reversion" in PRESENT:
        from reversion.models import Version

        yield "django-reversion", Version.objects.values_list("object_repr", "revision__user__username")
