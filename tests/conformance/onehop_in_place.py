"""Settings for Django's own test suite: SQLite, and every handler through the plan."""

from test_sqlite import *  # noqa: F403

import onehop

if not onehop.install():
    raise SystemExit("onehop.install() has left stock Django in place: nothing would be shown.")
