"""Forks and exits, in processes of their own."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]
BEGIN = """
    import asyncio, os, sys, threading, time
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.project.settings"
    import django
    django.setup()
    from asgiref.sync import sync_to_async
    from django.http import HttpResponse
    from tests.wsgi import drive
    from onehop.run.background import background

    def ok(status):
        print(os.waitstatus_to_exitcode(os.waitpid(status, 0)[1]))
"""


def run(code, limit_s=30):
    """Run a script; return its output."""
    child = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(BEGIN) + textwrap.dedent(code)],
        cwd=ROOT,
        env={**os.environ, "PYTHONWARNINGS": "default"},
        capture_output=True,
        text=True,
        timeout=limit_s,
    )
    assert child.returncode == 0, child.stderr
    noise = [line for line in child.stderr.splitlines() if "fork()" not in line and "os.fork" not in line]
    assert noise == []
    return child.stdout.split()


def test_bug_52_a_fork_after_the_loop_has_started():
    """The child starts a loop of its own; the parent's goes on, also one that is busy at that moment."""
    code = """
        started, go = threading.Event(), threading.Event()

        async def view(request):
            if "slow" in request.path:
                started.set()
                while not go.is_set():
                    await asyncio.sleep(0.001)
            return HttpResponse(await sync_to_async(str)(os.getpid()))

        application, overridden = drive.application_of(view)
        overridden.enable()
        assert drive.get(application).body == str(os.getpid()).encode()
        slow = drive.Call(drive.get, application, "/slow/")
        started.wait(10)
        child = os.fork()
        if not child:
            answers = {drive.get(application).body for _ in range(3)}
            threads = [thread.name for thread in threading.enumerate()].count("onehop-loop")
            sys.exit(0 if answers == {str(os.getpid()).encode()} and threads == 1 else 1)
        ok(child)
        go.set()
        print(slow.wait().body == drive.get(application).body == str(os.getpid()).encode())
    """
    assert run(code) == ["0", "True"]


def test_bug_52_a_fork_inside_a_request():
    """A child made in a blocking call of an async view serves requests."""
    code = """
        def fork():
            child = os.fork()
            if not child:
                code = 1
                try:
                    code = 0 if drive.get(application, "/inner/").body == b"None" else 1
                finally:
                    os._exit(code)
            ok(child)

        async def view(request):
            return HttpResponse(str(await sync_to_async(fork)()) if request.path == "/" else "None")

        application, overridden = drive.application_of(view)
        overridden.enable()
        print(drive.get(application).body)
    """
    assert run(code) == ["0", "b'None'"]


def test_the_exit_waits_for_requests_and_says_nothing():
    """A request on a daemon thread, like those of ``runserver``, ends before the loop does."""
    code = """
        started = threading.Event()

        async def view(request):
            started.set()
            await asyncio.sleep(0.2)
            print("ended")
            return HttpResponse()

        application, overridden = drive.application_of(view)
        overridden.enable()
        drive.Call(drive.get, application)
        started.wait(10)
    """
    assert run(code) == ["ended"]


def test_the_exit_is_bounded():
    """A request that never ends holds the exit up for no longer than is said."""
    code = """
        from onehop.run import background as module
        module.DRAIN_AT_EXIT_S = 0.1
        started = threading.Event()

        async def view(request):
            started.set()
            await asyncio.sleep(60)

        application, overridden = drive.application_of(view)
        overridden.enable()
        drive.Call(drive.get, application)
        started.wait(10)
        print("exit")
    """
    assert run(code, limit_s=20) == ["exit"]


def test_an_application_that_is_never_called_starts_nothing():
    """Nor does one with sync views only."""
    code = """
        application, overridden = drive.application_of(lambda request: HttpResponse("sync"))
        overridden.enable()
        print(drive.get(application).body, threading.active_count())
    """
    assert run(code) == ["b'sync'", "1"]
