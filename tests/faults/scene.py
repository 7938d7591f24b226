"""One request, a fault at one point of its way, and all that was seen of it."""

import asyncio
import contextvars
import gc
import logging
import re
import tempfile
import threading
import time
import warnings
from collections import Counter
from contextlib import ExitStack, contextmanager, suppress

from django.core import signals
from django.test import override_settings

from onehop.run.threads import pool
from tests import asgi
from tests.faults import site
from tests.run.conftest import retire_idle

PATIENCE_S = 10
STUCK_S = 0.2
"""How long a request that waits for ever, as its fault demands, is looked at before the client leaves."""
TURNS = 30
"""Turns of the loop in which everything happens that waits for nothing else."""

BODY = (
    {"type": "http.request", "body": b"first", "more_body": True},
    {"type": "http.request", "body": b"second piece", "more_body": False},
)


class Scene:
    """
    One request through all phases.

    Args:
        stack: The stack of the site.
        point: Where the fault strikes.
        kind: Of the response.
        fault: With ``strike(scene)`` for sync code and ``astrike(scene)`` for async code; None for no fault.
        scope: The request's scope.
        incoming: The messages that ``receive`` returns before it waits for the end.
        patience_s: How long the request may take.
    """

    def __init__(self, stack, point=None, kind="plain", fault=None, scope=None, incoming=BODY, patience_s=PATIENCE_S):
        self.patience_s = patience_s
        self.stack, self.point, self.kind, self.fault = stack, point, kind, fault
        self.closers = stack.receivers is not None
        self.scope = scope or asgi.scope_of("/", "POST")
        self.incoming = list(incoming)
        self.asked = 0
        self.struck = False
        self.unsettled = 0
        self.sent_bodies = 0
        self.delay_s = 0
        self.is_gone = False  # the client
        self.receive_error = self.send_error = None
        self.swallows_cancel = False
        self.steps, self.closing, self.messages, self.logs, self.noise = [], [], [], [], []
        self.responses, self.spools = [], []
        self.ended = "did not begin"
        self.until_end = ExitStack()

    # What the site tells.

    def at(self, point, who="inner"):
        """Sync code is at a point."""
        if self._comes_to(point, who):
            self.fault.strike(self)

    async def aat(self, point, who="inner"):
        """Async code is at a point."""
        if self._comes_to(point, who):
            await self.fault.astrike(self)

    def _comes_to(self, point, who):
        if point in ("closer", "request_started", "request_finished"):
            self.closing.append(point)
        elif who != "server":
            self.steps.append(f"{who} {point}")
        here = self.fault is not None and not self.struck and point == self.point and who != "outer"
        self.struck = self.struck or here
        return here

    def note(self, step):
        self.steps.append(step)

    def made(self, response):
        self.responses.append(response)

    # What the server does.

    async def receive(self):
        """Give the body, then wait for the end, as a server does."""
        self.asked += 1
        await self.aat("first receive" if self.asked == 1 else "second receive" if self.asked == 2 else "", "server")
        if self.incoming and not self.is_gone and self.receive_error is None:
            return self.incoming.pop(0)
        try:
            await self.left.wait()
        except asyncio.CancelledError:
            if not self.swallows_cancel:
                raise
        if self.receive_error is not None:
            raise self.receive_error
        return {"type": "http.disconnect"}

    async def send(self, message):
        """Take a message. What is sent after the client has gone is lost."""
        if self.is_gone:
            await asyncio.sleep(0)
            return
        point = "send start"
        if message["type"] == "http.response.body":
            self.sent_bodies += 1
            point = "send body" if message.get("more_body") else "send end"
        if point != "send body" or self.sent_bodies == 1:
            await self.aat(point, "server")
        if self.send_error is not None:
            raise self.send_error
        await asyncio.sleep(self.delay_s)
        if not self.is_gone:
            self.messages.append(masked(message))

    def leave(self):
        """The client hangs up."""
        self.is_gone = True
        self.left.set()

    # The run.

    async def whole(self, handler):
        self.loop, self.loop_thread = asyncio.get_running_loop(), threading.get_ident()
        self.left = asyncio.Event()
        self.task = asyncio.create_task(handler(self.scope, self.receive, self.send))
        self.ended = "ended the loop"
        try:
            stuck = getattr(self.fault, "sticks", False)
            await asyncio.wait([self.task], timeout=STUCK_S if stuck else self.patience_s)
            self.ended = "returned"
            if not self.task.done():
                self.ended = "waited for ever"
                self.leave()
                self.task.cancel()
                await asyncio.wait([self.task], timeout=self.patience_s)
            if self.task.cancelled():
                self.ended += " and raised CancelledError"
            elif not self.task.done():
                self.ended += " and could not be cancelled"
            elif error := self.task.exception():
                self.ended += f" and raised {told(error)}"
        finally:
            deadline = time.monotonic() + PATIENCE_S
            while self.unsettled and time.monotonic() < deadline:
                await asyncio.sleep(0.001)
            self.until_end.close()

    def seen(self):
        """Return all that was seen, by name."""
        closes = Counter(self.closing)
        return {
            "ended": self.ended,
            "messages": self.messages,
            "steps": self.steps,
            "logs": self.logs,
            "signals": (closes["request_started"], closes["request_finished"]),
            "closers": (len(self.responses) if self.closers else 0, closes["closer"]),
            "closed": [response.closed for response in self.responses],
            "open bodies": sum(not spool.closed for spool in self.spools),
            "noise": self.noise,
            "next": self.next,
            "struck": self.struck or self.fault is None,
        }


RANDOM = re.compile(rb"\b(sessionid|csrftoken|expires)=[^;]*")


def masked(message):
    """Return a message without what is different each time."""
    headers = [(name, RANDOM.sub(rb"\1=", value)) for name, value in message.get("headers", ())]
    return {**message, "headers": headers} if headers else dict(message)


def told(error):
    """Return an exception's class and text, of a group those of its parts."""
    if isinstance(error, OSError) and error.strerror:
        return f"{type(error).__name__}: {error.strerror}"
    parts = f" of {', '.join(map(told, error.exceptions))}" if isinstance(error, BaseExceptionGroup) else ""
    return f"{type(error).__name__}: {error}{parts}"


def play(make_handler, scene, **settings):
    """
    Send the request of a scene to a new handler, then a plain one.

    Args:
        make_handler: Makes the handler, under the settings of the scene's stack.
        settings: More settings.

    Returns:
        What was seen, by name.
    """
    retire_idle()
    before = set(threading.enumerate())
    with ExitStack() as stack:
        stack.enter_context(override_settings(**{**scene.stack.settings, **settings}))
        try:
            handler = make_handler()
        except Exception as error:
            return {"ended": f"raised {told(error)}", "messages": [], "steps": [], "logs": []}
        with keeping(scene.spools), listening(scene), watching(scene):
            site.scene = scene
            try:
                run(scene.whole(handler))
            except (SystemExit, KeyboardInterrupt, GeneratorExit) as error:
                scene.ended += f" by {type(error).__name__}"
                if scene.task.done() and not scene.task.cancelled():
                    scene.task.exception()  # known
            finally:
                site.scene = site.Nothing()
                scene.until_end.close()
            rest(before)
            gc.collect()
        scene.task = None
        gc.collect()  # or it would make its noise in the next one
        later = []
        with keeping(later):
            scene.next = run(next_of(handler))
        rest(before)
        seen = scene.seen()
        close_all(scene.spools + later)
    return seen


async def next_of(handler):
    """Return the status of a plain request, or what it raises."""
    try:
        return (await asgi.request(handler, "/")).status
    except Exception as error:
        return told(error)


def run(coroutine):
    """Run a coroutine on a loop of its own, in a context of its own."""
    return contextvars.Context().run(asyncio.run, coroutine)


def rest(before):
    """Wait until no thread is busy with a request."""
    pool.drain(PATIENCE_S)
    for thread in set(threading.enumerate()) - before:
        if not thread.name.startswith("onehop-"):
            thread.join(0.2)


def close_all(spools):
    """Close the files that stock Django 5.2 and 6.0 leave open."""
    for spool in spools:
        with suppress(OSError):
            spool.close()


@contextmanager
def keeping(spools):
    """Keep all spooled files that are made meanwhile."""

    class Spool(tempfile.SpooledTemporaryFile):
        def __init__(self, *arguments, **keywords):
            super().__init__(*arguments, **keywords)
            spools.append(self)

    original, tempfile.SpooledTemporaryFile = tempfile.SpooledTemporaryFile, Spool
    try:
        yield
    finally:
        tempfile.SpooledTemporaryFile = original


@contextmanager
def listening(scene):
    """Have the scene note the receivers' calls, the log records and the body files."""
    stack = ExitStack()

    def sync_started(**_):
        scene.at("request_started")

    def sync_finished(**_):
        scene.at("request_finished")

    async def async_started(**_):
        await scene.aat("request_started")

    async def async_finished(**_):
        await scene.aat("request_finished")

    receivers = {"sync": (sync_started, sync_finished), "async": (async_started, async_finished), None: ()}
    for signal, receiver in zip(
        (signals.request_started, signals.request_finished), receivers[scene.stack.receivers], strict=False
    ):
        signal.connect(receiver)
        stack.callback(signal.disconnect, receiver)

    with stack:
        yield


class Notes(logging.Handler):
    """Note the log records of one request."""

    def __init__(self, scene):
        super().__init__(logging.WARNING)
        self.scene = scene

    def emit(self, record):
        error = record.exc_info and record.exc_info[0]
        noted = (record.name, record.levelname, record.getMessage(), error and error.__name__)
        if record.name.startswith("django"):
            self.scene.logs.append(noted)
        elif "ASGIHandler.handle.<locals>" in noted[2]:
            pass  # stock Django 5.2's and 6.0's, perhaps of an earlier request
        elif record.name in ("asyncio", "onehop", "concurrent.futures"):
            self.scene.noise.append(noted)


@contextmanager
def watching(scene):
    """Have the scene note the log records; let pass the warning that stock Django reads sync iterators first."""
    notes, root = Notes(scene), logging.getLogger()
    root.addHandler(notes)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "StreamingHttpResponse must consume synchronous iterators")
            yield
    finally:
        root.removeHandler(notes)
