"""
Onehop, broken on purpose: that the comparison sees each is what makes "no differences" mean something.

Each mutant is a context manager that breaks one thing while it is open.
"""

import asyncio
import contextvars
import types
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from django.core.signals import request_finished

from onehop import chain
from onehop.chain import Site
from onehop.plan import declared
from onehop.run import runners, walk
from onehop.run.closing import Closing
from onehop.run.lease import Lease
from onehop.run.leftovers import Fresh
from onehop.run.stream import Stream

MUTANTS = {}


def mutant(make):
    name = make.__name__.replace("_", " ")
    MUTANTS[name] = contextmanager(make)
    return MUTANTS[name]


@contextmanager
def replaced(owner, name, value):
    """Replace an attribute while the block runs."""
    before = owner.__dict__[name]
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@mutant
def response_hooks_in_the_wrong_order():
    with replaced(walk, "_layers", with_global(walk._layers, "reversed", iter)):
        yield


def with_global(function, name, value):
    """Return a function that finds something else under a global name."""
    return types.FunctionType(function.__code__, {**function.__globals__, name: value}, function.__name__)


@mutant
def process_exception_is_left_out():
    with replaced(Site, "process_exception", lambda self, error, request: None):
        yield


@mutant
def the_log_record_of_an_error_is_lost():
    with replaced(Site, "log", staticmethod(lambda response, request: None)):
        yield


@mutant
def context_variables_are_lost_on_a_hop():
    async def hop(function, *arguments):
        return await contextvars.copy_context().run(_nothing_comes_back, hop_to_thread, function, *arguments)

    hop_to_thread = runners.hop_to_thread
    with replaced(runners, "hop_to_thread", hop):
        yield


async def _nothing_comes_back(hop, function, *arguments):
    return await asyncio.create_task(hop(function, *arguments))


@mutant
def unknown_hooks_run_on_the_loop():
    with replaced(declared, "_in_settings", lambda *arguments: "anywhere"):
        yield


@mutant
def request_finished_is_sent_twice():
    finish = Closing._finish

    def twice(self, *send):
        first = not self._finished
        finish(self, *send)
        if first:
            request_finished.send(sender=self.sender)

    with replaced(Closing, "_finish", twice):
        yield


@mutant
def responses_are_not_closed():
    finish = Closing._finish

    def without_response(self, *send):
        self.response = self.orphan = None
        finish(self, *send)

    with replaced(Closing, "_finish", without_response):
        yield


@mutant
def a_hook_of_an_outer_layer_is_left_out():
    before = walk.walk_from

    def skipping(plan, position, site, request, *, whole=False):
        return before(plan, min(position + whole, len(plan.layers)), site, request, whole=whole)

    with replaced(chain, "walk_from", skipping):
        yield


@mutant
def converted_errors_skip_the_hooks_outside():
    with replaced(walk, "_layers", with_global(walk._layers, "reversed", lambda layers: iter(layers[-1:]))):
        yield


@mutant
def the_last_item_of_a_stream_is_lost():
    items = Stream.items

    async def without_last(self):
        held = None
        async for item in items(self):
            if held is not None:
                yield held
            held = item

    with replaced(Stream, "items", without_last):
        yield


@mutant
def every_job_has_a_thread_of_its_own():
    def submit(self, function, /, *arguments, **keywords):
        pool = ThreadPoolExecutor(1)
        try:
            return pool.submit(function, *arguments, **keywords)
        finally:
            pool.shutdown(wait=False)

    with replaced(Lease, "submit", submit):
        yield


@mutant
def threads_are_reused_as_they_are():
    with replaced(Fresh, "find_leftover", lambda self: None):
        yield
