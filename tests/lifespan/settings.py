"""The settings of a site that shares one client between its requests; LIFESPAN names what is entered, if anything."""

import os

from tests.project.settings import *  # noqa: F403

ROOT_URLCONF = "tests.lifespan.site"
if name := os.environ.get("LIFESPAN", "lifespan"):
    ONEHOP = {"LIFESPAN": f"tests.lifespan.site.{name}"}
