"""
What is made and ended in this process, counted where it happens. Nothing is kept alive for it.

The counters sit where Django and Onehop cannot tell: no response class, receiver or closer of the site's own, so
that requests take the ways that they take in any project. Signals are counted only while ``watch`` is on, because a
receiver is something that Onehop sees, and has to wait for; both ways are soaked in turns.
"""

import asyncio
import gc
import os
import sys
import tempfile
import threading
import tracemalloc
from collections import Counter

import asgiref
import django
from django.core import signals
from django.http import HttpRequest
from django.http.response import HttpResponseBase

import onehop
from onehop.run.greenlets import WrapperGreenlet
from onehop.run.lease import Lease
from onehop.run.stream import Stream
from onehop.run.threads import pool
from tests.soak.laws import CENSUS

OURS = (*(os.path.dirname(module.__file__) for module in (asgiref, django, onehop)), os.path.dirname(__file__))
KINDS = {
    "leases": Lease,
    "streams": Stream,
    "greenlets": WrapperGreenlet,
    "requests": HttpRequest,
    "responses": HttpResponseBase,
}

COUNTED = (
    *("calls begun", "calls ended", "started", "finished", "leases taken", "leases returned"),
    *("responses made", "responses closed", "responses closed again"),
    *("streams entered", "streams left", "bodies opened", "bodies closed"),
)

_lock = threading.RLock()  # the garbage collector may close a body while it is held
_counts = dict.fromkeys(COUNTED, 0)


def count(name):
    """Count something once. Runs on: any thread."""
    with _lock:
        _counts[name] += 1


class Closed:
    """The attribute ``closed`` of every response: written when it is made, and when it is closed."""

    def __get__(self, response, owner=None):
        return self if response is None else vars(response)["closed"]

    def __set__(self, response, closed):
        if vars(response).get("closed"):
            count("responses closed again")
        else:
            count("responses closed" if closed else "responses made")
        vars(response)["closed"] = closed


class Body(tempfile.SpooledTemporaryFile):
    """A body that counts. Being dropped is not being closed."""

    _dropped = False

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        count("bodies opened")

    def close(self):
        if not (self.closed or self._dropped):
            count("bodies closed")
        super().close()

    def __del__(self):
        self._dropped = True
        super().__del__()


def _count_leases():
    """Count the threads that leases take, or wait for, and those they give back, or are refused."""
    take, give_back, refuse = pool.take, pool.give_back, Lease.refuse

    def counted_take(waiter):
        thread = take(waiter)
        count("leases taken")
        return thread

    def counted_give_back(thread):
        count("leases returned")
        give_back(thread)

    def counted_refuse(lease, error):
        count("leases returned")
        refuse(lease, error)

    pool.take, pool.give_back, Lease.refuse = counted_take, counted_give_back, counted_refuse


def begin():
    """Count responses, bodies and leases from now on."""
    HttpResponseBase.closed = Closed()
    tempfile.SpooledTemporaryFile = Body
    _count_leases()


async def _started(**_):
    count("started")


def _finished(**_):
    count("finished")


def watch(on):
    """Begin or cease to receive the signals of each request, with an async and a sync receiver."""
    for signal, receiver in ((signals.request_started, _started), (signals.request_finished, _finished)):
        signal.connect(receiver) if on else signal.disconnect(receiver)


def _is_ours(task):
    """Tell whether a task is not the server's, nor the current one."""
    code = getattr(task.get_coro(), "cr_code", None)
    return task is not asyncio.current_task() and code is not None and code.co_filename.startswith(OURS)


def counted():
    """Return what was counted so far, and what is in use. Runs on: the loop. Cost: no garbage collection."""
    with _lock:
        counts = dict(_counts)
    return {
        **counts,
        "tasks left": sum(map(_is_ours, asyncio.all_tasks())),
        "threads not idle": len(pool._threads) - len(pool._idle),
        "leases waiting": len(pool._waiting),
    }


def census():
    """Return how many objects there are after a garbage collection, of all kinds and of some."""
    gc.collect()
    counts = Counter(map(type, gc.get_objects()))
    told = {"objects": counts.total(), "blocks": sys.getallocatedblocks()}
    for name, kind in KINDS.items():
        told[f"{name}{CENSUS}"] = sum(count for each, count in counts.items() if issubclass(each, kind))
    return told


def grown(since=[]):  # noqa: B006  (the first snapshot)
    """Return the lines that have allocated most since the first call, largest first, if memory is traced."""
    if not tracemalloc.is_tracing():
        return []
    gc.collect()
    snapshot = tracemalloc.take_snapshot()
    if not since:
        since.append(snapshot)
    return [str(each) for each in snapshot.compare_to(since[0], "lineno")[:15]]
