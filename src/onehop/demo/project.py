"""Make the project that the demo serves: what ``startproject`` writes, and our few files."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from onehop.demo.children import Children
from onehop.demo.nouns import DemoError

SITE = Path(__file__).parent / "site"
AS_IN_PRODUCTION = """

# Added by `onehop demo`: as in production.
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
"""


def make_project(children: Children) -> None:
    """Make the project ``mysite`` in the folder of ``children`` and its SQLite database.

    Raises:
        DemoError: ``startproject`` or ``migrate`` failed, or wrote something unexpected.
    """
    python = sys.executable
    children.ask([python, "-m", "django", "startproject", "mysite", "."], None, timeout_s=60, settings=None)
    package = children.folder / "mysite"
    for source in sorted(SITE.glob("*.py")):
        shutil.copy(source, package)
    with (package / "settings.py").open("a") as settings:
        settings.write(AS_IN_PRODUCTION)
    stock = (package / "asgi.py").read_text()
    changed = stock.replace("from django.core.asgi import", "from onehop.asgi import")
    if changed == stock:
        raise DemoError("startproject wrote an asgi.py without `from django.core.asgi import`. Use Django 5.2 to 6.1.")
    (package / "asgi_onehop.py").write_text(changed)
    children.ask([python, "manage.py", "migrate", "-v", "0"], None, timeout_s=60, settings="mysite.settings")
