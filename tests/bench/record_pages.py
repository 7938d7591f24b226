"""Print the bodies of the two pages of the built-in project, and the queries behind the sync one."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path


def main() -> None:
    import django
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from onehop.bench.contenders import build_stock, build_wsgi, client_for
    from onehop.bench.database import fill_once

    django.setup()
    fill_once()
    with asyncio.Runner() as runner:
        connection.ensure_connection()
        client = client_for("wsgi", build_wsgi(), "/page/", runner)
        with CaptureQueriesContext(connection) as captured:
            page = client.answer()
        apages = [client_for("stock", build_stock(), "/apage/", runner).answer() for _ in range(2)]
    queries = [query["sql"] for query in captured.captured_queries]
    json.dump({"page": repr(page), "apages": [repr(apage) for apage in apages], "queries": queries}, sys.stdout)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ONEHOP_BENCH_DATABASE"] = str(Path(folder, "db.sqlite3"))
        os.environ["DJANGO_SETTINGS_MODULE"] = "onehop.bench.project"
        main()
