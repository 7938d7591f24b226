"""The parts of the demo: processes end, servers explain themselves, differences are seen."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from onehop.demo import children as children_module
from onehop.demo.answers import QUESTIONS, compare
from onehop.demo.children import Children, held_signals
from onehop.demo.load import Order, load
from onehop.demo.loader import Loader
from onehop.demo.nouns import Answers, DemoError, Stack
from onehop.demo.servers import Servers

Running = Callable[[Iterable[int]], list[int]]
PLAIN = Stack("T", "no.settings", "no middleware")
SITE = """
async def application(scope, receive, send):
    assert scope["type"] == "http"
    headers = [(b"content-type", b"text/plain"), (b"set-cookie", b"csrftoken={token}; Max-Age={age}; Path=/")]
    status = 500 if scope["path"] == "/error/" else 200
    await send({{"type": "http.response.start", "status": status, "headers": headers}})
    await send({{"type": "http.response.body", "body": b"{body}"}})
"""
COUNTED = """
import threading
from asgiref.sync import async_to_sync, sync_to_async

async def nothing():
    pass

async def application(scope, receive, send):
    await sync_to_async(lambda: None)()
    await sync_to_async(lambda: async_to_sync(nothing)())()
    await sync_to_async(lambda: None, thread_sensitive=False)()
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})
"""


def test_a_child_that_ignores_terminate_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children_module, "GRACE_S", 0.2)
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"

    with Children(tmp_path, {}) as children:
        process = children.start([sys.executable, "-c", stubborn], settings=None)
        assert process.stdout is not None
        process.stdout.readline()

    assert process.returncode == -signal.SIGKILL
    assert children.pids == [process.pid]


def test_children_end_when_the_body_fails(tmp_path: Path, running: Running) -> None:
    with pytest.raises(KeyboardInterrupt), Children(tmp_path, {}) as children:
        children.start([sys.executable, "-c", "import signal; signal.pause()"], settings=None)
        raise KeyboardInterrupt

    assert len(children.pids) == 1 and running(children.pids) == []


def test_a_child_that_takes_too_long_is_ended(children: Children, running: Running) -> None:
    with pytest.raises(DemoError, match=r"was still running after 0 s"):
        children.ask([sys.executable, "-c", "import signal; signal.pause()"], None, timeout_s=0.1, settings=None)

    assert len(children.pids) == 1 and running(children.pids) == []


def test_a_failed_child_hands_over_its_last_lines(children: Children) -> None:
    with pytest.raises(DemoError) as caught:
        children.ask([sys.executable, "-c", "raise SystemExit('no luck')"], None, timeout_s=30, settings=None)

    assert caught.value.lines == ("no luck",)


def test_ctrl_c_is_held_back_and_delivered_afterwards() -> None:
    steps = []

    with pytest.raises(KeyboardInterrupt):
        with held_signals():
            signal.raise_signal(signal.SIGINT)
            steps.append("body goes on")
        steps.append("never reached")

    assert steps == ["body goes on"]


def test_a_server_that_does_not_start_shows_its_log(children: Children, site: Callable[..., None]) -> None:
    site(SITE.format(token="a", age=1, body="hello"), "raise RuntimeError('no application today')")

    with pytest.raises(DemoError) as caught:
        Servers(children, PLAIN)

    assert caught.value.lines[-1] == "RuntimeError: no application today"


def test_different_answers_are_reported_and_random_cookies_are_not(
    children: Children, site: Callable[..., None]
) -> None:
    site(SITE.format(token="a", age=1, body="hello"), SITE.format(token="b", age=2, body="goodbye"))
    answers = Answers()

    compare("T", Servers(children, PLAIN).ports, answers)

    assert answers.compared == len(QUESTIONS)
    differing = {line.split(": ")[1] for line in answers.differences if "GET /sync/:" in line}
    assert differing == {"cookies", "body"}
    assert answers.ignored == ["value of the Date header", "random value of the cookie csrftoken"]


@pytest.mark.parametrize(
    ("stock", "onehop", "differs"),
    [
        ("Sat, 21 Nov 2026 23:59:18 GMT", "Sat, 21 Nov 2026 23:59:19 GMT", False),  # the admin's pages expire now
        ("Sat, 21 Nov 2026 23:59:18 GMT", "0", True),
    ],
)
def test_a_time_at_which_a_page_expires_is_no_difference(
    children: Children, site: Callable[..., None], stock: str, onehop: str, differs: bool
) -> None:
    expires = '(b"set-cookie", b"csrftoken={token}; Max-Age={age}; Path=/")', '(b"expires", b"{expires}")'
    site(*[SITE.replace(*expires).format(expires=each, body="hello") for each in (stock, onehop)])
    answers = Answers()

    compare("T", Servers(children, PLAIN).ports, answers)

    assert bool(answers.differences) is differs
    assert "value of the Expires header" in answers.ignored


def test_the_same_answers_give_no_difference(children: Children, site: Callable[..., None]) -> None:
    site(*[SITE.format(token=token, age=1, body="hello") for token in "ab"])
    answers = Answers()

    compare("T", Servers(children, PLAIN).ports, answers)

    assert answers.differences == []


def test_the_load_ends_in_time_and_counts_errors(children: Children, site: Callable[..., None]) -> None:
    site(*[SITE.format(token="a", age=1, body="hello")] * 2)
    port = Servers(children, PLAIN).ports["stock"]

    began = time.monotonic()
    good = asyncio.run(load(Order(port, "/", clients=3, seconds=0.3)))
    bad = asyncio.run(load(Order(port, "/error/", clients=2, seconds=5, requests_each=2, warm=False)))

    assert time.monotonic() - began < 4
    assert good.failed == 0 and len(good.latencies_us) > 3 and good.elapsed_s >= 0.3
    assert (bad.failed, len(bad.latencies_us)) == (4, 4)


def test_one_load_process_takes_one_order_after_another(children: Children, site: Callable[..., None]) -> None:
    site(*[SITE.format(token="a", age=1, body="hello")] * 2)
    port = Servers(children, PLAIN).ports["stock"]
    loader = Loader(children)

    found = [loader.load(Order(port, "/", clients, 5, requests_each=2), "stock") for clients in (1, 3)]

    assert [len(each["latencies_us"]) for each in found] == [2, 6]
    with pytest.raises(DemoError, match="/error/ on stock failed: 4 of 4 answers had another status than 200"):
        loader.load(Order(port, "/error/", 2, 5, requests_each=2), "stock")


def test_a_failing_load_shows_why(children: Children, site: Callable[..., None]) -> None:
    site(*[SITE.format(token="a", age=1, body="hello")] * 2)
    servers = Servers(children, PLAIN)
    servers.end()

    with pytest.raises(DemoError, match="Loading / on stock failed") as caught:
        Loader(children).load(Order(servers.ports["stock"], "/", 1, 1), "stock")

    assert "ConnectionRefusedError" in caught.value.lines[-1]


def test_a_server_that_goes_away_ends_the_load(children: Children, site: Callable[..., None]) -> None:
    site(*[SITE.format(token="a", age=1, body="hello")] * 2)
    servers = Servers(children, PLAIN)
    servers.end()

    with pytest.raises(OSError):
        asyncio.run(load(Order(servers.ports["stock"], "/", clients=1, seconds=1)))


def test_hops_and_started_threads_are_counted(children: Children, site: Callable[..., None]) -> None:
    site(COUNTED, "")
    order = {"module": "mysite.asgi", "paths": ["/"], "port": 1}

    found = children.ask([sys.executable, "-m", "onehop.demo.count"], order, timeout_s=30, settings=None)

    # Two calls to the thread and one back; the pool call is no hop and its thread is a standing one.
    assert found == {"/": {"hops": 3.0, "threads": 1.0}}


def test_the_counting_process_fails_on_an_error_page(children: Children, site: Callable[..., None]) -> None:
    site(COUNTED.replace("200", "404"), "")
    order = {"module": "mysite.asgi", "paths": ["/"], "port": 1}

    with pytest.raises(DemoError) as caught:
        children.ask([sys.executable, "-m", "onehop.demo.count"], order, timeout_s=30, settings=None)

    assert caught.value.lines[-1] == "RuntimeError: / answered with status 404."


def test_what_is_not_installed_is_named() -> None:
    code = (
        "import sys; sys.modules['django_prometheus'] = sys.modules['httpx'] = None;"
        "from onehop.__main__ import main; sys.exit(main(['demo']))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "onehop demo needs httpx and django-prometheus, which are not installed. "
        'Run: pip install "django-onehop[demo]"\n'
    )
