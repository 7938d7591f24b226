"""
Add the digests of the installed Django, asgiref and django-prometheus to the table of code that was read.

Run it in an environment of each version *after* reading what changed: ``python tools/fingerprints.py``. A digest
that is already there is left alone, and none is ever taken out, so older versions stay known.
"""

from __future__ import annotations

import json
from pathlib import Path

from django.conf import settings

TABLE = Path(__file__).parent.parent / "src/onehop/plan/known/fingerprints.json"
APPS = [f"django.contrib.{name}" for name in ("contenttypes", "auth", "sites", "redirects", "flatpages", "sessions")]


def main() -> None:
    """Write the table."""
    import django

    settings.configure(INSTALLED_APPS=APPS, DATABASES={}, SECRET_KEY="fingerprints")
    django.setup()
    from django.utils.module_loading import import_string

    from onehop._django import MIRRORED, source_digest
    from onehop.plan.known.reach import Reach
    from onehop.plan.known.rows import known_rows

    table = json.loads(TABLE.read_text())
    found = [("core", name, source_digest(function)) for name, function in MIRRORED.items()]
    for path, hook in known_rows():
        try:
            cls = import_string(path)
        except ImportError:
            print(f"{path}: not in this version")
            continue
        found.append(("hooks", f"{path}.{hook}", Reach.of(cls, hook).digest()))
    for kind, name, digest in found:
        if digest is None:
            raise SystemExit(f"{name}: its source could not be read")
        digests = table[kind].setdefault(name, [])
        if digest not in digests:
            digests.append(digest)
            print(f"{name}: {digest} is new")
    TABLE.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
