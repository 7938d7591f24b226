"""Stands in the place of Django's own: the same options, and the cases of this folder."""

import argparse
import os
import sys

import django
import django.test
from django.conf import settings
from django.test.utils import get_runner

SECRET_KEY = "small" * 10
ROOT_URLCONF = "cases"
MIDDLEWARE = ["django.middleware.common.CommonMiddleware", "django.middleware.csrf.CsrfViewMiddleware"]

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--settings")
    parser.add_argument("--parallel", type=int)
    parser.add_argument("labels", nargs="*")
    options = parser.parse_args()
    sys.modules["test_sqlite"] = sys.modules["__main__"]  # the module of settings that Django's tests have
    os.environ["DJANGO_SETTINGS_MODULE"] = options.settings
    django.setup()
    runner = get_runner(settings)(parallel=options.parallel, interactive=False)
    sys.exit(bool(runner.run_tests(options.labels)))
