"""What went wrong once: context managers that end in other ways than by an exception, and Django's test clients."""

import asyncio
import os
import subprocess
import sys
import textwrap
from contextlib import asynccontextmanager

import pytest
from django.test import override_settings

from onehop.errors import OnehopError
from tests.asgi import onehop_application, request

attempts = []


@asynccontextmanager
async def cancelled_at_first():
    attempts.append(1)
    if len(attempts) == 1:
        raise asyncio.CancelledError
    yield {}


@asynccontextmanager
async def exits_at_first():
    attempts.append(1)
    if len(attempts) == 1:
        sys.exit("not yet")
    yield {}


@asynccontextmanager
async def counted():
    attempts.append(1)
    yield {}


@pytest.fixture
def serve(monkeypatch):
    """Run a function with an application that has a lifespan of this module, on one loop, for a limited time."""
    monkeypatch.delenv("EVENTS", raising=False)
    attempts.clear()

    def run(name, main):
        with override_settings(ROOT_URLCONF="tests.lifespan.site"):
            application = onehop_application(ONEHOP={"LIFESPAN": f"{__name__}.{name}"})
            asyncio.run(asyncio.wait_for(main(application), 10))

    return run


@pytest.mark.parametrize(("name", "error"), [("cancelled_at_first", OnehopError), ("exits_at_first", SystemExit)])
def test_an_odd_end_fails_one_request(serve, name, error):
    """It neither leaves requests waiting forever, nor ends the loop, nor is it remembered."""

    async def main(application):
        with pytest.raises(error):
            await request(application, "/plain/")
        assert (await request(application, "/plain/")).status == 200

    serve(name, main)
    assert len(attempts) == 2


def test_entered_again_if_somebody_has_cancelled_all_tasks(serve):
    async def main(application):
        await request(application, "/plain/")
        others = asyncio.all_tasks() - {asyncio.current_task()}
        holders = [task for task in others if "Holder" in repr(task)]
        for task in holders:
            task.cancel()
        await asyncio.wait(holders)
        assert (await request(application, "/plain/")).status == 200

    serve("counted", main)
    assert len(attempts) == 2


CLIENTS = {
    "Client": """
        for path in ("/async/", "/sync/"):
            print(Client().get(path).status_code)
    """,
    "AsyncClient": """
        async def main():
            for path in ("/async/", "/sync/"):
                print((await AsyncClient().get(path)).status_code)

        asyncio.run(main())
    """,
}
INSTALL = """
        import asyncio, django, onehop
        onehop.install()
        django.setup()
        from django.test import AsyncClient, Client
"""


@pytest.mark.parametrize("script", CLIENTS.values(), ids=CLIENTS)
def test_djangos_test_clients(upstream, tmp_path, script):
    """The requests of a sync client share one loop; those of an async client have the loop it is called on."""
    events = tmp_path / "events"
    environment = {
        "DJANGO_SETTINGS_MODULE": "tests.lifespan.settings",
        "EVENTS": str(events),
        "UPSTREAM": upstream,
    }
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(INSTALL + script)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.split() == ["200", "200"], done.stderr
    assert events.read_text().split() == ["entered", "request", "request", "left"]
    assert done.stderr == ""
