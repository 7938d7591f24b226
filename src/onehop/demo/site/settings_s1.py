"""The project behind the stack of "Uvicorn async workers are still working synchronously"."""

# mypy: ignore-errors

from .settings import *  # noqa: F403
from .settings import BASE_DIR, INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "django_prometheus", "corsheaders"]

MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "django.middleware.gzip.GZipMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "mysite.middleware.ApiLoggerMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

CORS_ALLOW_ALL_ORIGINS = True

# The unchanged class may run on the event loop: writing a log line is all it does.
ONEHOP = {"RUNS_ANYWHERE": ["mysite.middleware.ApiLoggerMiddleware"]}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"api": {"class": "logging.FileHandler", "filename": BASE_DIR / "api.log"}},
    "loggers": {"api": {"handlers": ["api"], "level": "INFO", "propagate": False}},
}
