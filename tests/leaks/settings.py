"""The site of the leak oracle: the packages that are there, and a database file that all threads write to."""

from tests.leaks.packages import APPS
from tests.project.settings import *  # noqa: F403
from tests.project.settings import DATABASES, INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, *APPS, "tests.leaks"]
ROOT_URLCONF = "tests.leaks.views"
MIDDLEWARE = []
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
DATABASES = {
    "default": {
        **DATABASES["default"],
        "OPTIONS": {"timeout": 60, "transaction_mode": "IMMEDIATE", "init_command": "PRAGMA synchronous=OFF"},
    }
}
DJANGO_EASY_AUDIT_REGISTERED_URLS = ["^/rows/"]
DJANGO_EASY_AUDIT_REGISTERED_CLASSES = ["leaks.Note"]
