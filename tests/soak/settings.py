"""The settings of the soaked site: what ``startproject`` makes, a wrapper, low limits for bodies, a log to read."""

import os

from tests.project.settings import *  # noqa: F403
from tests.project.settings import DEFAULT_MIDDLEWARE

FOLDER = os.environ["SOAK_FOLDER"]
ROOT_URLCONF = "tests.soak.site"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
]
MIDDLEWARE = ["tests.soak.site.sign", *DEFAULT_MIDDLEWARE]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.path.join(FOLDER, "soak.sqlite3"),
        "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE"},
    }
}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
FILE_UPLOAD_MAX_MEMORY_SIZE = 2**16
FILE_UPLOAD_TEMP_DIR = FOLDER
LOGGING_CONFIG = "logging.config.dictConfig"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"unplanned": {"()": "tests.soak.planned.Unplanned"}},
    "handlers": {"log": {"class": "logging.StreamHandler", "filters": ["unplanned"]}},
    "root": {"handlers": ["log"], "level": "WARNING"},
    "loggers": {"django": {"handlers": [], "propagate": True}, "asyncio": {"level": "WARNING"}},
}
