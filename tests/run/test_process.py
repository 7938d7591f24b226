"""A process that forks, and the end of a process: each in a process of its own, with a time limit."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PREAMBLE = """
import asyncio, atexit, contextvars, os, signal, sys, threading, time, warnings
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.project.settings"
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
import django
django.setup(set_prefix=False)
from django.http import HttpResponse
from django.test import override_settings
from django.urls import re_path
from onehop.asgi import get_asgi_application
from onehop.run.threads import pool
from tests import asgi

class Urls:
    urlpatterns = [re_path("", lambda request: view(request))]

def view(request):
    return HttpResponse("ok")

override_settings(ROOT_URLCONF=Urls).enable()
application = get_asgi_application()

def child_answers():
    "In a child process: say what it found and answered, and end."
    found = len(pool._idle), pool._busy, pool._closing
    answer = asgi.get(application)
    drained = pool.drain(5)
    print(found, answer.status, drained, len(pool._idle), flush=True)
    os._exit(0)

def wait_for(pid):
    "Wait for a child, at most ten seconds."
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    return "hung"
"""


def run_script(text, *, timeout_s=25, environment=()):
    """Run a script after the preamble; return exit code, lines of output, of error output, and seconds."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PREAMBLE + text],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **dict(environment)},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    return done.returncode, done.stdout.splitlines(), done.stderr.splitlines(), time.monotonic() - started


CHILD = "(0, 0, 0) 200 True 1"


def test_bug_52_a_child_forked_beside_idle_threads_starts_anew():
    """As gunicorn does after preloading: the child has an empty pool, and answers."""
    code, output, errors, _ = run_script("""
asgi.get(application)
assert pool.drain(5) and len(pool._idle) == 1
pid = os.fork()
if not pid:
    child_answers()
print(wait_for(pid), asgi.get(application).status)
""")

    assert (code, output, errors) == (0, [CHILD, "0 200"], [])


def test_bug_52_a_child_forked_while_a_thread_is_busy_starts_anew():
    """The parent's request goes on; the child knows nothing of it."""
    code, output, errors, _ = run_script("""
busy, go_on = threading.Event(), threading.Event()

def view(request):
    if request.path == "/slow":
        busy.set()
        go_on.wait(10)
    return HttpResponse("ok")

async def main():
    request = asyncio.create_task(asgi.request(application, "/slow"))
    await asyncio.to_thread(busy.wait, 10)
    pid = os.fork()
    if not pid:
        threading.Thread(target=child_answers).start()
        time.sleep(20)
    print(wait_for(pid), flush=True)
    go_on.set()
    print((await request).status)

asyncio.run(main())
""")

    assert (code, output, errors) == (0, [CHILD, "0", "200"], [])


def test_bug_52_a_child_forked_inside_a_sync_view_starts_anew():
    """As ``multiprocessing`` does from a view: the child's only thread was a request thread."""
    code, output, errors, _ = run_script("""
def view(request):
    if request.path == "/fork":
        pid = os.fork()
        if not pid:
            child_answers()
        return HttpResponse(str(wait_for(pid)))
    return HttpResponse("ok")

print(asgi.get(application, "/fork").body.decode())
print(asgi.get(application).status)
""")

    assert (code, output, errors) == (0, [CHILD, "0", "200"], [])


def test_bug_52_a_multiprocessing_child_of_a_view_ends():
    """A view that starts a forked ``multiprocessing.Process`` and joins it is answered."""
    code, output, errors, _ = run_script("""
import multiprocessing

def work():
    print("worked", flush=True)

def view(request):
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join(10)
    return HttpResponse(str(process.exitcode))

print(asgi.get(application).body.decode())
""")

    assert (code, output, errors) == (0, ["worked", "0"], [])


@pytest.mark.parametrize("requests", [0, 1, 40])
def test_bug_57_the_process_ends_quietly_while_threads_are_idle(requests):
    """Idle threads neither hold the interpreter's exit up nor say anything."""
    code, output, errors, _seconds = run_script(f"""
async def main():
    await asyncio.gather(*(asgi.request(application) for _ in range({requests})))

asyncio.run(main())
pool.drain(5)
print(len(pool._idle) <= 32)
ended = time.monotonic()
atexit.register(lambda: print(time.monotonic() - ended < 2))
""")

    assert (code, output, errors) == (0, ["True", "True"], [])


def test_bug_57_the_exit_waits_for_a_view_that_still_runs():
    """The client is gone and the loop has ended: the view ends, its request is closed, then the process."""
    code, output, errors, _seconds = run_script("""
busy = threading.Event()
from django.core.signals import request_finished

def view(request):
    busy.set()
    time.sleep(0.5)
    print("view ended", flush=True)
    return HttpResponse("late")

async def main():
    request = asyncio.create_task(asgi.request(application))
    await asyncio.to_thread(busy.wait, 10)
    request.cancel()
    await asyncio.wait([request])

request_finished.connect(lambda **_: print("finished", flush=True), weak=False)
asyncio.run(main())
print("loop ended", flush=True)
""")

    assert (code, output, errors) == (0, ["loop ended", "view ended", "finished"], [])


def test_bug_57_the_exit_does_not_wait_for_ever():
    """A view that never ends holds the exit up for the bound, and no longer."""
    code, output, errors, seconds = run_script("""
busy = threading.Event()

def view(request):
    busy.set()
    threading.Event().wait(60)

async def main():
    request = asyncio.create_task(asgi.request(application))
    await asyncio.to_thread(busy.wait, 10)
    request.cancel()
    await asyncio.wait([request])

atexit.unregister(pool.drain)
atexit.register(pool.drain, 1)
asyncio.run(main())
print("loop ended", flush=True)
""")

    assert (code, output, errors) == (0, ["loop ended"], [])
    assert seconds < 15


def test_the_exit_is_bounded_while_a_view_waits_for_the_loop():
    """A view that waits for a loop that has ended cannot end; the process does."""
    code, output, _errors, seconds = run_script("""
busy = threading.Event()

def view(request):
    future = asyncio.run_coroutine_threadsafe(asyncio.Event().wait(), loop)
    busy.set()
    future.result(60)

async def main():
    global loop
    loop = asyncio.get_running_loop()
    request = asyncio.create_task(asgi.request(application))
    await asyncio.to_thread(busy.wait, 10)
    request.cancel()
    await asyncio.wait([request])

atexit.unregister(pool.drain)
atexit.register(pool.drain, 1)
main_loop = asyncio.new_event_loop()
main_loop.run_until_complete(main())
print("loop ended", flush=True)
for task in asyncio.all_tasks(main_loop):
    task.cancel()
main_loop.run_until_complete(asyncio.sleep(0.01))
main_loop.close()
""")

    assert (code, output) == (0, ["loop ended"])
    assert seconds < 15


def test_system_exit_of_a_sync_view_ends_the_process_with_its_code():
    """As in stock Django: ``sys.exit(3)`` in a view ends a server that does not guard against it."""
    code, output, errors, _ = run_script("""
from django.core.signals import request_finished
request_finished.connect(lambda **_: print("finished", flush=True), weak=False)

def view(request):
    sys.exit(3)

asgi.get(application)
""")

    assert (code, output, errors) == (3, ["finished"], [])


@pytest.mark.parametrize(
    ("value", "name"), [("1", "ASGIHandler"), ("0", "OnehopASGIHandler"), ("", "OnehopASGIHandler")]
)
def test_onehop_disable_gives_stock_django(value, name):
    """``ONEHOP_DISABLE=1`` in the environment takes effect without a change of code."""
    code, output, errors, _ = run_script(
        "print(type(application).__name__, asgi.get(application).status)", environment={"ONEHOP_DISABLE": value}.items()
    )

    assert (code, output, errors) == (0, [f"{name} 200"], [])
