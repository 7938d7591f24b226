"""The settings of the site on PostgreSQL and Redis. Both ports, and what is varied, come from the environment."""

import os

SECRET_KEY = "of the tests"
ALLOWED_HOSTS = ["localhost"]
ROOT_URLCONF = "tests.databases.site"
INSTALLED_APPS = ["tests.databases"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": "127.0.0.1",
        "PORT": os.environ["PG_PORT"],
        "USER": "onehop",
        "NAME": os.environ["PG_NAME"],
        "OPTIONS": {"application_name": os.environ["PG_NAME"], "connect_timeout": 5},
        "CONN_MAX_AGE": None if os.environ["MAX_AGE"] == "None" else float(os.environ["MAX_AGE"]),
    }
}
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": f"redis://127.0.0.1:{os.environ['REDIS_PORT']}",
        "KEY_PREFIX": os.environ["PG_NAME"],
    }
}
MIDDLEWARE = ["tests.databases.site.Classic", "django.middleware.common.CommonMiddleware"]
LOGGING = {"version": 1, "root": {"level": "CRITICAL"}}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
