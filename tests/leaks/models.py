"""A note, watched by every package: all of them write down who made it."""

from django.db import models

from tests.leaks.packages import PRESENT


class Note(models.Model):
    """
    Something a request writes: created, then changed.

    Attributes:
        canary: Whose it is.
        tenant: The name of django-multitenant's current tenant.
        maker: The name of django-crum's current user.
    """

    canary = models.CharField(max_length=20)
    changed = models.BooleanField(default=False)
    tenant = models.CharField(max_length=20, default="")
    maker = models.CharField(max_length=20, default="")

    if "django-currentuser" in PRESENT:
        from django_currentuser.db.models import CurrentUserField

        author = CurrentUserField(related_name="+")
    if "django-simple-history" in PRESENT:
        from simple_history.models import HistoricalRecords

        history = HistoricalRecords()

    def __str__(self):
        return self.canary


if "django-auditlog" in PRESENT:
    from auditlog.registry import auditlog

    auditlog.register(Note)
if "django-reversion" in PRESENT:
    import reversion

    reversion.register(Note)
