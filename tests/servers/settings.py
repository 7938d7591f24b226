"""The settings of the served site: those of the test project, with views of its own."""

from tests.project.settings import *  # noqa: F403

ROOT_URLCONF = "tests.servers.site"
