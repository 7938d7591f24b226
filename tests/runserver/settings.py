"""A site in development: DEBUG, static files, all kinds of middleware; with DAPHNE=1 its runserver speaks ASGI."""

import os

from tests.project.settings import *  # noqa: F403

DEBUG = True
INSTALLED_APPS = [*(["daphne"] if os.environ["DAPHNE"] else []), "django.contrib.staticfiles"]
STATICFILES_DIRS = [os.path.dirname(__file__)]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates"}]
ROOT_URLCONF = "tests.runserver.site"
WSGI_APPLICATION = "tests.runserver.wsgi.application"
ASGI_APPLICATION = "tests.runserver.asgi.application"
MIDDLEWARE = [
    f"tests.runserver.middleware.{name}"
    for name in (
        "Hooks",
        "Classic",
        "classic",
        "Hybrid",
        "hybrid",
        "declared",
        "asynchronous",
        "AfterAsync",
        "Views",
        "InnerDeclared",
    )
]
ONEHOP = {
    "LIFESPAN": "tests.runserver.site.lifespan",
    "RUNS_ANYWHERE": ["tests.runserver.middleware.declared", "tests.runserver.middleware.InnerDeclared"],
}
