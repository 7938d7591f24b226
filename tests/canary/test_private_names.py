"""Every private name in ``_django.py`` still has the shape, and does the work, that is relied on."""

import asyncio
import contextvars
import inspect
import threading
import weakref
from concurrent.futures import Executor, Future
from contextlib import contextmanager

import pytest
from asgiref.local import Local
from asgiref.sync import async_to_sync, sync_to_async
from django.core.cache import caches
from django.core.handlers.base import BaseHandler
from django.core.signals import request_finished, request_started
from django.db import connections
from django.dispatch import Signal
from django.http import HttpResponse

from onehop import _django


def in_new_context(coroutine_function):
    """Run a coroutine function on a loop of its own, as the first thing in its context."""
    return contextvars.Context().run(asyncio.run, coroutine_function())


def on_new_thread(function):
    """Call a function on a thread of its own, as the first thing in its context."""
    results = []
    thread = threading.Thread(target=contextvars.Context().run, args=(lambda: results.append(function()),))
    thread.start()
    thread.join()
    return results.pop()


class Recording(Executor):
    """An executor that runs each job where it is submitted, and counts."""

    def __init__(self):
        self.jobs = 0

    def submit(self, function, /, *arguments, **keywords):
        self.jobs += 1
        future = Future()
        future.set_result(function(*arguments, **keywords))
        return future


# asgiref


def test_sync_to_async_takes_the_executor_registered_for_its_context():
    """A lease is an executor put into asgiref's own table, under a plain ``ThreadSensitiveContext``."""
    lease = Recording()

    async def main():
        async with _django.ThreadSensitiveContext() as context:
            assert _django.thread_sensitive_context.get() is context
            assert context not in _django.executors_by_context
            _django.executors_by_context[context] = lease
            assert await sync_to_async(lambda: "called")() == "called"
            _django.executors_by_context.pop(context)
        assert _django.thread_sensitive_context.get(None) is None

    in_new_context(main)

    assert lease.jobs == 1
    assert type(_django.executors_by_context) is weakref.WeakKeyDictionary


def test_a_thread_sensitive_context_shuts_its_executor_down():
    """What is still registered when the context ends is shut down by asgiref."""
    ended = []

    class Ending(Recording):
        def shutdown(self, wait=True, *, cancel_futures=False):
            ended.append("shut down")

    async def main():
        async with _django.ThreadSensitiveContext() as context:
            _django.executors_by_context[context] = Ending()

    in_new_context(main)

    assert ended == ["shut down"]


def test_the_names_of_asgirefs_thread_local_are_known():
    """``sync_to_async`` leaves these three on the thread, and nothing else."""

    async def main():
        async with _django.ThreadSensitiveContext():
            return await sync_to_async(lambda: set(vars(_django.asgiref_thread_local)))()

    assert issubclass(type(_django.asgiref_thread_local), threading.local)
    assert in_new_context(main) == {"main_event_loop", "main_event_loop_pid", "task_context"}


def waits_above():
    """Say what asgiref itself asks before it looks for a context's executor."""
    return getattr(_django.AsyncToSync.executors, "current", None) is not None


def test_a_waiting_thread_above_is_found_as_asgiref_finds_it():
    """On a plain thread, on a loop, below ``async_to_sync``, and on each side of a bridge inside it."""
    seen = []

    def look(where):
        seen.append((where, waits_above(), _django.is_nested()))

    async def inner():
        look("below async_to_sync")
        await sync_to_async(look)("on the waiting thread")

    def nested():
        async_to_sync(inner)()
        look("after async_to_sync")

    async def main():
        look("on a loop")
        await sync_to_async(nested)()

    on_new_thread(lambda: look("on a thread"))
    in_new_context(main)
    on_new_thread(nested)

    assert seen == [
        ("on a thread", False, False),
        ("on a loop", False, False),
        ("below async_to_sync", True, True),
        ("on the waiting thread", True, True),
        ("after async_to_sync", False, False),
        ("below async_to_sync", True, True),
        ("on the waiting thread", True, True),
        ("after async_to_sync", False, False),
    ]


def test_a_waiting_thread_of_another_thread_is_not_found():
    """asgiref tags the value with its thread; a context that was only copied to another does not count."""
    seen = []

    async def inner():
        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(lambda: seen.append((waits_above(), _django.is_nested())),))
        thread.start()
        thread.join()

    on_new_thread(async_to_sync(inner))

    assert seen == [(False, False)]


def test_a_copied_context_is_rehomed():
    """A ``Local`` set on the loop is invisible on another thread until it is re-homed there."""
    local = Local()
    seen = []

    def look():
        seen.append(getattr(local, "value", None))
        _django.rehome(contextvars.copy_context())
        seen.append(getattr(local, "value", None))

    def set_and_copy():
        local.value = "set"
        return contextvars.copy_context()

    context = contextvars.copy_context().run(set_and_copy)
    thread = threading.Thread(target=context.run, args=(look,))
    thread.start()
    thread.join()

    assert seen == [None, "set"]


# Django's handlers


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_an_instance_is_found_inside_its_converted_handler(mode):
    """``load_middleware`` wraps each instance with ``convert_exception_to_response``, some of them twice."""

    class Middleware:
        def __call__(self, request):
            return HttpResponse()

    instance = Middleware()
    if mode == "async":
        from asgiref.sync import markcoroutinefunction

        markcoroutinefunction(instance)

    once = _django.convert_exception_to_response(instance)
    twice = _django.convert_exception_to_response(once)

    assert once.__code__ in _django.CONVERTED
    assert twice.__code__ in _django.CONVERTED
    assert _django.converted_instance(once) is instance
    assert _django.converted_instance(twice) is instance
    assert _django.converted_instance(instance) is instance


def test_both_forms_of_a_converted_handler_are_known():
    """There are two inner functions, one for each mode."""
    assert len(_django.CONVERTED) == 2
    assert {code.co_qualname for code in _django.CONVERTED} == {"convert_exception_to_response.<locals>.inner"}
    assert {inspect.CO_COROUTINE & code.co_flags for code in _django.CONVERTED} == {0, inspect.CO_COROUTINE}


def test_the_loader_keeps_the_lists_of_hooks():
    """Agents rewrite them after loading, and the plan is made from them."""
    handler = BaseHandler()
    handler.load_middleware(is_async=True)

    assert [hook.__name__ for hook in handler._view_middleware] == ["process_view"]
    assert handler._template_response_middleware == handler._exception_middleware == []
    assert callable(handler._middleware_chain)


def test_a_response_keeps_what_closes_with_it():
    """The request is closed with its response; the sender of ``request_finished`` is kept there too."""
    response = HttpResponse()

    assert response._resource_closers == []
    assert response._handler_class is None
    assert response.closed is False


# Connections and caches


@contextmanager
def opened(handler, alias="default"):
    """Make the object of a connection or cache in the current context."""
    made = handler[alias]
    yield made
    delattr(handler._connections, alias)


@pytest.mark.parametrize("handler", [connections, caches], ids=["connections", "caches"])
def test_what_a_task_opened_is_found_as_django_finds_it(handler):
    """The quick answer and Django's own agree: before, while and after something is opened on the loop."""
    seen = []

    def look():
        seen.append((list(_django.opened_on_loop(handler)), handler.all(initialized_only=True)))

    async def main():
        look()
        with opened(handler) as made:
            look()
        look()
        return made

    made = in_new_context(main)

    assert seen == [([], []), ([made], [made]), ([], [])]


def test_connections_are_kept_in_a_thread_local():
    """A thread is clean when there is nothing in it, and another thread never sees what is."""
    storage = _django.connection_storage()
    assert issubclass(type(storage), threading.local)

    def look():
        before = dict(vars(storage))
        with opened(connections) as made:
            while_open = dict(vars(storage))
            elsewhere = on_new_thread(lambda: dict(vars(storage)))
        return before, while_open == {"default": made}, elsewhere, dict(vars(storage))

    assert on_new_thread(look) == ({}, True, {}, {})


# Signals


def test_a_signals_receivers_are_two_lists():
    """The sync ones and the async ones, each in the order of connection, for one sender."""
    signal = Signal()

    def first(**_):
        pass

    def second(**_):
        pass

    async def third(**_):
        pass

    for receiver in (first, third, second):
        signal.connect(receiver)
    signal.connect(lambda **_: None, sender=str, weak=False)

    assert _django.live_receivers(signal, int) == ([first, second], [third])


@pytest.mark.parametrize("signal", [request_started, request_finished], ids=["request_started", "request_finished"])
def test_all_receivers_are_found_without_asking_for_a_sender(signal):
    """The quick list holds what Django's own lists hold."""
    sync, asynchronous = _django.live_receivers(signal, object)

    assert {*sync, *asynchronous} <= set(_django.all_receivers(signal.receivers))


def test_all_receivers_are_those_of_every_kind():
    """Functions and methods, weak and not, for a sender and for all; None for what is gone."""
    signal = Signal()

    class Listener:
        def heard(self, **_):
            pass

    def function(**_):
        pass

    async def coroutine(**_):
        pass

    def gone(**_):
        pass

    listener = Listener()
    strong = [lambda **_: None]
    for receiver in (function, coroutine, listener.heard, gone):
        signal.connect(receiver)
    signal.connect(strong[0], sender=str, weak=False)
    del gone, receiver

    assert _django.all_receivers(signal.receivers) == [function, coroutine, listener.heard, None, strong[0]]


def test_async_receivers_run_together():
    """Each can wait for another one; the first error is raised."""
    gate = []

    async def main():
        event = asyncio.Event()

        async def waits():
            await event.wait()
            gate.append("passed")

        async def opens():
            event.set()

        await _django.run_parallel(waits(), opens())

    in_new_context(main)

    assert gate == ["passed"]
