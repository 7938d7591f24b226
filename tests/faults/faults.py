"""Everything that may happen to a request on its way."""

import asyncio
import gc
import os
import resource
import tempfile
import threading
import time
from contextlib import contextmanager

from tests.faults.scene import PATIENCE_S, TURNS

STALL_S = 0.3
"""How long the loop stands still: longer than anything here waits for, but for a hang."""


async def turns():
    """Let everything happen on the loop that waits for nothing else."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


class Raise:
    """Code raises something."""

    def __init__(self, make):
        self.make = make

    def strike(self, scene):
        raise self.make()

    async def astrike(self, scene):
        raise self.make()


class Meanwhile:
    """Something happens on the loop while code is at a point; then the code goes on, unless it was cancelled."""

    def __init__(self, act):
        self.act = act

    def strike(self, scene):
        if threading.get_ident() == scene.loop_thread:
            self.act(scene)
            return
        scene.unsettled += 1
        try:
            asyncio.run_coroutine_threadsafe(self._on_loop(scene), scene.loop).result(PATIENCE_S)
        finally:
            scene.unsettled -= 1

    async def _on_loop(self, scene):
        self.act(scene)
        await turns()

    async def astrike(self, scene):
        self.act(scene)
        await turns()


class Hold:
    """From a point on to the end of the request something is so: a context manager is entered."""

    def __init__(self, make):
        self.make = make

    def strike(self, scene):
        scene.until_end.enter_context(self.make())

    async def astrike(self, scene):
        self.strike(scene)


class Stand(Meanwhile):
    """Code stands still for ever; meanwhile something happens."""

    async def astrike(self, scene):
        scene.loop.call_soon(self.act, scene)
        await asyncio.Event().wait()


class Stuck:
    """Code stands still for ever, and nothing happens."""

    sticks = True

    async def astrike(self, scene):
        await asyncio.Event().wait()


class Do:
    """Code does something at a point."""

    def __init__(self, function):
        self.function = function

    def strike(self, scene):
        self.function(scene)

    async def astrike(self, scene):
        self.function(scene)


def leave(scene):
    scene.leave()


def cancel(scene):
    scene.task.cancel()


def cancel_twice(scene):
    scene.task.cancel()
    scene.loop.call_soon(scene.task.cancel)


def leave_and_cancel(scene):
    scene.leave()
    scene.loop.call_soon(scene.task.cancel)


def break_receiving(scene):
    scene.receive_error = OSError("the connection is gone")
    scene.left.set()


def break_sending(scene):
    scene.send_error = OSError("the socket is gone")


def swallow_cancel(scene):
    scene.swallows_cancel = True


def send_slowly(scene):
    scene.delay_s = 0.02


def stall(scene):
    time.sleep(STALL_S)


def recurse(scene):
    recurse(scene)


def exhaust_memory(scene):
    bytes(1 << 62)


@contextmanager
def no_new_thread():
    """The system can start no thread: what CPython raises then."""

    def start(thread):
        raise RuntimeError("can't start new thread")

    original, threading.Thread.start = threading.Thread.start, start
    try:
        yield
    finally:
        threading.Thread.start = original


@contextmanager
def no_new_file():
    """All file descriptors of the process are in use (EMFILE)."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 1, limits[1]))
        while True:
            held.append(os.dup(0))
    except OSError:
        pass
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for descriptor in held:
            os.close(descriptor)


@contextmanager
def full_disk():
    """Temporary files are on a device that is full (ENOSPC)."""
    original = tempfile.TemporaryFile
    tempfile.TemporaryFile = lambda *_, **__: open("/dev/full", "w+b", buffering=0)  # noqa: SIM115
    try:
        yield
    finally:
        tempfile.TemporaryFile = original


@contextmanager
def garbage_collected_often():
    """A garbage collection with each few allocations."""
    thresholds = gc.get_threshold()
    gc.set_threshold(5)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)


@contextmanager
def frozen_garbage():
    """``gc.freeze()``: the collector sees nothing of what exists."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def clock_set_back():
    """The wall clock jumps back by a day."""
    original = time.time
    time.time = lambda: original() - 86_400
    try:
        yield
    finally:
        time.time = original
