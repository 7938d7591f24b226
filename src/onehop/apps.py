"""Make ``INSTALLED_APPS += ["onehop"]`` bring ``manage.py onehop …``."""

from __future__ import annotations

from django.apps import AppConfig


class OnehopConfig(AppConfig):
    """The Django application: no models, no templates, one management command."""

    name = "onehop"
    verbose_name = "Onehop"
