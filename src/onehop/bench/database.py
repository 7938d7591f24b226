"""Make the database of the built-in project: its tables, one user, and a session of that user."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

SESSION_KEY = "onehopbench0123456789abcdefghijk"
GROUPS = ("editors", "readers", "writers")


def fill_once() -> None:
    """
    Create tables and rows unless the database file is there already.

    Django must be set up with ``onehop.bench.project``. Nothing may use the file meanwhile.
    """
    from django.conf import settings
    from django.core.management import call_command

    path = Path(settings.DATABASES["default"]["NAME"])
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    call_command("migrate", run_syncdb=True, verbosity=0)
    _log_somebody_in()


def _log_somebody_in() -> None:
    """Create a user who belongs to ``GROUPS``, and that user's session under ``SESSION_KEY``."""
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY
    from django.contrib.auth import SESSION_KEY as USER_SESSION_KEY
    from django.contrib.auth.models import Group, User
    from django.contrib.sessions.models import Session
    from django.utils import timezone

    visitor = User(username="ada")
    visitor.set_unusable_password()
    visitor.save()
    visitor.groups.set([Group.objects.create(name=name) for name in GROUPS])
    content = {
        USER_SESSION_KEY: str(visitor.pk),
        BACKEND_SESSION_KEY: "django.contrib.auth.backends.ModelBackend",
        HASH_SESSION_KEY: visitor.get_session_auth_hash(),
    }
    Session.objects.create(
        session_key=SESSION_KEY,
        session_data=Session.objects.encode(content),
        expire_date=timezone.now() + timedelta(days=1),
    )
