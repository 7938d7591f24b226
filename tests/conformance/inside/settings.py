"""
Settings of Django's own test suite: SQLite, one side, one mode. ``suite.py`` chooses through the environment.

Processes that the test runner starts import them again, so both hold there too.
"""

import os

from inside import modes
from test_sqlite import *  # noqa: F403

TEST_RUNNER = "inside.outcomes.Runner"

modes.enter(os.environ["CONFORMANCE_SIDE"], os.environ["CONFORMANCE_MODE"])
