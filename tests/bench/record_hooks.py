"""Print which hooks stock Django calls for ``/async/``, and which the straight line calls, in order."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

HOOKS = ("process_request", "process_view", "process_response")


def main() -> None:
    import django
    from django.conf import settings
    from django.utils.module_loading import import_string

    from onehop.bench.contenders import build_stock, scope_for
    from onehop.bench.drive import AsgiClient
    from onehop.bench.straight import VIEW, straight_line

    django.setup()
    called: list[str] = []
    for path in settings.MIDDLEWARE:
        record_calls(import_string(path), called)
    recorded = {}
    with asyncio.Runner() as runner:
        for name, application in {"stock": build_stock(), "straight line": straight_line()}.items():
            called.clear()
            answer = AsgiClient(application, scope_for(VIEW), runner).answer()
            recorded[name] = [called.copy(), repr(answer)]
    json.dump(recorded, sys.stdout)


def record_calls(middleware: Any, called: list[str]) -> None:
    """Make each hook of a middleware add its name before it runs."""
    for hook in HOOKS:
        if not (original := vars(middleware).get(hook)):
            continue

        def recording(*arguments: Any, _original: Any = original, _name: str = f"{middleware.__name__}.{hook}") -> Any:
            called.append(_name)
            return _original(*arguments)

        setattr(middleware, hook, recording)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ONEHOP_BENCH_DATABASE"] = str(Path(folder, "db.sqlite3"))
        os.environ["DJANGO_SETTINGS_MODULE"] = "onehop.bench.project"
        main()
