"""The settings of the site whose transport is proved: those of the test project, whose log goes to the server's."""

from tests.project.settings import *  # noqa: F403

ROOT_URLCONF = "tests.transport.site"
FILE_UPLOAD_HANDLERS = ["tests.transport.site.SlowToFile"]
LOGGING_CONFIG = "logging.config.dictConfig"
