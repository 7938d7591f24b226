"""
One request that stands still at every point where something can happen to it.

A *point* is: a task of the request waits (``Stepping``); a job of its thread begins or has ended (``stopping``); its
own code is at a mark. They are numbered as they come. Code on a thread stands still at a point until the loop has done
there what is to be done, so a fault hits a thread where it was meant to, however slow the machine is.
"""

import asyncio
import contextvars
import sys
import threading
import time
from collections import Counter
from collections.abc import Coroutine
from contextlib import contextmanager

from onehop._django import DJANGO_FOLDER
from onehop.run import lifespan, threads
from tests import asgi

PATIENCE_S = 10
STALL_S = 2
"""More than a turn of the loop may take on a busy machine; less than any wait for a thread."""
TURNS = 24
"""Turns of the loop that a fault has, to come as far as it can, before threads go on."""
STUCK_S = 3
"""How long a request may do nothing after its client has gone before its server cancels it."""
UNHEARD_S = 0.1
"""The same where nobody listens for a disconnect, so that it has to be cancelled."""


class Point(str):
    """
    The name of a point.

    Attributes:
        place: Where that is in terms that every handler shares: the last mark, messages received and messages sent.
    """

    place: tuple


class Run:
    """
    One request with faults at some of its points.

    Attributes:
        faults: Functions of the run, by the number of the point.
        stock: True for a request to stock Django; what it leaves behind is cleared away.
        trace: The points so far.
        stuck: True if the request had to be cancelled because it waited for ever.
        jobs: Futures of what it had any ``ThreadPoolExecutor`` do.
        calls: Futures of what its threads had the loop do, while they waited.
        rested: True if all its tasks and threads came to rest.
        problems: What has gone wrong while it ran, in words.
        breaches: How many of the problems are of a kind that is counted by itself.
    """

    def __init__(self, faults, body=(b"",), stuck_after_s=None, *, stock=False):
        self.faults, self.stock = dict(faults), stock
        self._last_fault = max(faults, default=-1)
        self._stuck_after_s = stuck_after_s or STUCK_S
        self.trace = []
        self.messages = []
        self.opened, self.closed = Counter(), Counter()
        self.responses, self.requests, self.files, self.connections, self.greenlets = [], [], [], [], []
        self.started = self.finished = self.heard_started = self.heard_finished = 0
        self.jobs, self.calls = [], []
        self.stuck = self.rested = False
        self.problems, self.complaints, self.breaches = [], [], Counter()
        self.swallows = self.send_fails = self.send_blocks = False
        self.task = None
        self._last_mark, self._received = "", 0
        self._incoming = [{"type": "http.request", "body": part, "more_body": True} for part in body]
        self._incoming[-1]["more_body"] = False
        self._settling, self._standing = False, []

    # what the server does

    async def play(self, application, meanwhile, **scope):
        """Send the request, and wait until it has ended and all its threads are at rest."""
        self.loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self.gone = asyncio.Event()
        own = asyncio.all_tasks()
        call = application(asgi.scope_of(**scope), self.receive, self.send)
        self.loop.set_task_factory(self._make_task)
        begins, drops = sys.get_asyncgen_hooks()

        def dropped(generator):
            if not generator.ag_code.co_filename.startswith(DJANGO_FOLDER):
                self.problems.append(f"{generator.__qualname__} was left to the garbage collector")
            drops(generator)

        sys.set_asyncgen_hooks(begins, dropped)
        try:
            async with meanwhile():
                self.task = self.loop.create_task(call, context=contextvars.Context())
                await self._ended()
            await self._rested(own)
            self.outcome  # noqa: B018  (its exception is retrieved)
        finally:
            self.loop.set_task_factory(None)
            sys.set_asyncgen_hooks(begins, drops)

    async def _ended(self):
        seen, since = -1, time.monotonic()
        while not self.task.done():
            await asyncio.wait([self.task], timeout=self._stuck_after_s)
            if len(self.trace) != seen:
                seen, since = len(self.trace), time.monotonic()
            elif self.gone.is_set() and not self.stuck:
                self.stuck = True
                self.task.cancel()
            elif time.monotonic() - since > PATIENCE_S:
                raise AssertionError(f"the request never ended\n{self.story()}")

    async def _rested(self, own):
        deadline = time.monotonic() + PATIENCE_S
        while rest := self._restless(own):
            if time.monotonic() > deadline:
                self.problems.append(f"never came to rest: {rest}")
                return
            if self.stock:
                for left in (asyncio.all_tasks() - own) or self.calls:  # a call of a task that never began never ends
                    left.cancel()
            await asyncio.sleep(0 if not self.trace else 0.0005)
        self.rested = True

    def _restless(self, own):
        """Say what still goes on."""
        busy = [thread for thread in list(threads.pool._threads) if thread.unfinished]
        busy += [job for job in self.jobs if not job.done()]
        waits = threads.pool._busy, threads.pool._closing, len(threads.pool._waiting)
        left = asyncio.all_tasks() - own - {holder._task for holder in lifespan._holders}
        return (busy, waits, left) if busy or any(waits) or left else None

    async def receive(self):
        try:
            await asyncio.sleep(0)
            if self._incoming and not self.gone.is_set():
                self._received += 1
                return self._incoming.pop(0)
            await self.gone.wait()
        except asyncio.CancelledError:
            if not self.swallows:
                raise
        return {"type": "http.disconnect"}

    async def send(self, message):
        await asyncio.sleep(0)
        if self.send_fails:
            raise OSError("the client has gone")
        if self.send_blocks:
            self.gone.set()
            await self.loop.create_future()
        self.messages.append(message)

    @property
    def outcome(self):
        """What came out of the application, in a word."""
        error = None if self.task.cancelled() else self.task.exception()
        if self.stuck:
            return "stuck"
        if self.task.cancelled():
            return "CancelledError"
        return "returned" if error is None else type(error).__name__

    @property
    def struck(self):
        """True if it came to all points at which a fault was to happen."""
        return self._last_fault < len(self.trace)

    # points

    def _make_task(self, loop, coroutine, **keywords):
        return asyncio.Task(Stepping(coroutine, self), loop=loop, **keywords)

    def mark(self, name):
        """Be at a point, in code of the request's own; on the loop or on a thread."""
        if threading.get_ident() == self._loop_thread:
            self._last_mark = name
            self.point(f"at {name}")
        else:
            self.stand(f"at {name}", name)

    def stand(self, name, mark=None):
        """Be at a point on a thread, and stand still until the loop has dealt with it."""
        released = threading.Event()
        try:
            self.loop.call_soon_threadsafe(self._arrive, name, mark, released)
        except RuntimeError:
            return  # the loop has ended
        if not released.wait(PATIENCE_S):
            self.problems.append(f"the loop stood still while a thread stood {name}")

    def _arrive(self, name, mark, released):
        self._last_mark = mark or self._last_mark
        self.point(name)
        if self._settling:
            self._standing.append(released)
        else:
            released.set()

    def point(self, name):
        """Have happen here what is to happen here. Runs on: the loop."""
        if self.task is None or self.task.done():
            return
        here = Point(name)
        here.place = self._last_mark, self._received, len(self.messages)
        fault = self.faults.get(len(self.trace))
        self.trace.append(here)
        if fault is not None:
            fault(self)
            self._settle(TURNS)

    def _settle(self, turns):
        self._settling = turns > 0
        if turns:
            self.loop.call_soon(self._settle, turns - 1)
        else:
            while self._standing:
                self._standing.pop().set()

    def story(self):
        """Tell the points, with the faults."""
        faults = {number: fault.__name__ for number, fault in self.faults.items()}
        lines = [f"{number:4} {point}  {faults.get(number, '')}" for number, point in enumerate(self.trace)]
        return "\n".join([*lines, f"     {self.outcome if self.task.done() else 'it never ended'}"])

    # what the request's own code opens

    @contextmanager
    def opening(self, name):
        """Have something open while a block runs, whose end must not be lost."""
        self.opened[name] += 1
        try:
            yield
        finally:
            self.closed[name] += 1

    def read(self, request):
        """Read a request's body, which must be open as long as somebody may read it."""
        try:
            return request.read()
        except ValueError as error:
            self.problems.append(f"the view could not read the body: {error}")
            raise

    def closer(self, name):
        """Return a function that closes something, to be called once; it is open now."""
        self.opened[name] += 1

        def close():
            self.mark(f"closing {name}")
            self.closed[name] += 1

        return close


class Stepping(Coroutine):
    """The coroutine of a task: whenever it waits for something, that is a point."""

    def __init__(self, coroutine, run):
        self._coroutine, self._run = coroutine, run
        self._name = getattr(coroutine, "__qualname__", str(coroutine)).rpartition(">.")[2]

    def send(self, value):
        return self._step(self._coroutine.send, value)

    def throw(self, error):
        return self._step(self._coroutine.throw, error)

    def close(self):
        self._coroutine.close()

    def __await__(self):
        return self

    def _step(self, go, value):
        begun = time.monotonic()
        try:
            waits_for = go(value)
        finally:
            if time.monotonic() - begun > STALL_S:
                self._run.problems.append(f"{self._name} held the loop for {time.monotonic() - begun:.1f} s")
        self._run.point(f"{self._name} waits")
        return waits_for


def stopping(run_job):
    """Return a ``Job.run`` before and after which the thread stands at a point of the present run."""

    def run(job):
        there = present.run
        if there is not None:
            there.stand("a job begins")
        run_job(job)
        if there is not None:
            there.stand("a job has ended")

    return run


class Present:
    """The run that goes on now, for code that cannot be handed it: views, middleware, receivers, threads."""

    run: Run | None = None

    def __getattr__(self, name):
        return getattr(self.run, name)


present = Present()


def disconnect(run):
    """The client leaves, and ``receive`` says so."""
    run.gone.set()


def cancel(run):
    """The server cancels the request's task."""
    run.task.cancel()


def cancel_twice(run):
    """The server cancels, and again at the next point."""
    run.faults.setdefault(len(run.trace), cancel)
    run.task.cancel()


def failing_send(run):
    """Nothing can be sent any more: ``send`` raises OSError."""
    run.send_fails = True


def blocking_send(run):
    """Nothing can be sent any more: ``send`` waits for ever, and the client leaves."""
    run.send_blocks = True


def swallowed_cancel(run):
    """The server cancels; its ``receive`` swallows cancellations, and says that the client has gone (gunicorn#3627)."""
    run.swallows = True
    run.task.cancel()


FAULTS = [disconnect, cancel, cancel_twice, failing_send, blocking_send, swallowed_cancel]
