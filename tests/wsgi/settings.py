"""The settings of the served site: those of the test project, with the views and middleware of the parity tests."""

from tests.project.settings import *  # noqa: F403
from tests.project.settings import DEFAULT_MIDDLEWARE

ROOT_URLCONF = "tests.wsgi.served"
WSGI_APPLICATION = "tests.wsgi.served.application"
MIDDLEWARE = [
    "tests.wsgi.served.WhichThread",
    *DEFAULT_MIDDLEWARE,
    "tests.wsgi.views.AsyncOnly",
    "tests.wsgi.views.SyncOnly",
    "tests.wsgi.views.Both",
]
