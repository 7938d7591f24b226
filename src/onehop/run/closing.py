"""
Close a request under ASGI: its response, its body, its lease, and the signal.

Theory of operation. Closing waits for nobody when all that closes is Django's own: on the loop if nothing was
opened on a thread, else as a *post* behind the last job of the request thread.

Guarantees: one ``request_finished`` and at most one ``response.close()`` per request, whatever ended it; the body
file is open as long as a job may read it.

Source: Django 6.1, the end of ``ASGIHandler.handle`` in core/handlers/asgi.py.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from django.core import signals
from django.core.handlers.asgi import ASGIRequest
from django.dispatch import Signal
from django.http.response import HttpResponseBase

from onehop._django import (
    ThreadSensitiveContext,
    asgiref_thread_local,
    executors_by_context,
    forget_waiting_thread,
    is_djangos_own,
    is_nested,
    live_receivers,
    rehomed,
    thread_sensitive_context,
)
from onehop.run.hop import hop_to_thread, post_in_turn
from onehop.run.lease import Lease
from onehop.run.runners import fate_of_request
from onehop.run.signals import Work, call_all, forget_urlconf, nobody_watches, work_of

STOCK_CLOSE = HttpResponseBase.close if is_djangos_own(HttpResponseBase.close) else None


class Closing:
    """
    All that has to be closed at the end of one request, and the lease of its thread.

    Attributes:
        sender: The class in whose name ``request_finished`` is sent.
        body_file: The request's body. None as long as it was not read: then nothing was opened.
        response: The response to close; None as long as there is none.
        request: The request; its files are closed with the response, or without one.
        aborted: True once the request was aborted; code on the request thread looks at it.
        orphan: The last response that was made; it is the one to close when the request was aborted before it was sent.
        detached: True when nobody may wait for the closing: the server has cancelled the request's task.
    """

    body_file: Any = None
    response: Any = None
    request: Any = None
    aborted = False
    orphan: Any = None
    detached = False
    _finished = False
    _lease: Lease | None = None
    _entered: contextvars.Token[ThreadSensitiveContext] | None = None

    def __init__(self, sender: type) -> None:
        self.sender = sender
        self._outer_fate = fate_of_request.get()
        fate_of_request.set(self)
        context = thread_sensitive_context.get(None)
        if context is None:
            context = ThreadSensitiveContext()
            self._entered = thread_sensitive_context.set(context)
        self._context = context
        if not is_nested():
            lease = Lease()
            if executors_by_context.setdefault(context, lease) is lease:
                self._lease = lease

    def close(self) -> Coroutine[Any, Any, None] | None:
        """
        Close response and body and send ``request_finished``, each once.

        Runs on: the loop. Cost: nothing that waits, unless a receiver or closer is not Django's own (one hop).

        Returns:
            What has to be awaited; None when there is nothing.
        """
        if fate_of_request.get() is not self:  # The garbage collector closes it, in the context of somebody else.
            return contextvars.copy_context().run(self._close)
        return self._close()

    def _close(self) -> Coroutine[Any, Any, None] | None:
        waiting = None
        try:
            if self.body_file is not None:
                lease = self._lease
                if lease is not None:
                    lease.is_urgent = True
                work = self._work()
                if work is Work.FOREIGN and (lease is None or not self.detached):
                    waiting = self._wait(hop_to_thread)
                elif lease is None:
                    waiting = self._wait(post_in_turn)
                else:
                    is_watched = not nobody_watches(signals.request_finished)
                    if work is Work.NONE and not lease.has_thread and not getattr(self.body_file, "_rolled", True):
                        self._finish(None if is_watched else forget_urlconf)
                    elif work is Work.FOREIGN or is_watched:
                        self._post(self._finish)
                    else:
                        receivers, _ = live_receivers(signals.request_finished, self.sender)
                        self._post(partial(self._finish, partial(call_all, receivers, named={})))
        finally:
            if waiting is None:
                self._leave()
        return waiting

    def _leave(self) -> None:
        """Give back what was taken at the start."""
        if fate_of_request.get() is self:
            fate_of_request.set(self._outer_fate)
        if self._lease is not None:
            executors_by_context.pop(self._context, None)
            self._lease.end()
            self._lease = None
        if self._entered is not None:
            try:
                thread_sensitive_context.reset(self._entered)
            except ValueError:
                pass  # closed by the garbage collector

    def _work(self) -> Work:
        """Tell what closers and receivers have to do."""
        response = self._to_close()
        closers = [] if self.request is None else [self.request.close]
        if response is not None:
            if _closes_itself(response):
                return Work.FOREIGN
            closers += response._resource_closers
        files = False
        for closer in closers:
            if getattr(closer, "__func__", None) is not ASGIRequest.close:
                return Work.FOREIGN
            files = files or bool(getattr(closer.__self__, "_files", None))
        work = work_of(signals.request_finished)
        return Work.DJANGOS if files and work is Work.NONE else work

    def _to_close(self) -> Any:
        """Return the response, or else the one that was made but not sent, so far; None if there is none."""
        if self.response is not None:  # it may be false, as an empty one of a project's own
            return self.response
        return self.orphan if isinstance(self.orphan, HttpResponseBase) else None

    def take(self, response: Any) -> None:
        """Close this response, which Django's handler has not answered with, and the request with it."""
        self.response = response
        response._handler_class = self.sender
        if self.request is not None and self.request.close not in response._resource_closers:
            response._resource_closers.append(self.request.close)

    def _adopt(self) -> None:
        """Take a response that was made but not sent for the one to close. None will be made any more."""
        if self.response is None and (response := self._to_close()) is not None:
            self.take(response)

    def _let_go(self) -> None:
        """Keep nothing alive: a server's timer may keep the context that leads here, as long as a client is idle."""
        self.response = self.orphan = self.request = self.body_file = None

    async def _wait(self, hop: Callable[..., Any]) -> None:
        if self._lease is not None:
            forget_waiting_thread()
        try:
            if self.detached:  # Somebody else's thread-sensitive context: nothing of ours could outlive the task.
                task = asyncio.ensure_future(hop(self._finish))
                _detached.add(task)
                task.add_done_callback(_detached.discard)
                return
            try:
                await hop(self._finish)
            except asyncio.CancelledError:
                if self._lease is not None:
                    self._post(self._finish)  # The job may have been cancelled before it began; it does nothing twice.
                raise
        finally:
            self._leave()

    def _post(self, finish: Callable[[], None]) -> None:
        function = _finish_alone if self.detached else _in_context
        self._lease.post(function, contextvars.copy_context(), finish)  # type: ignore[union-attr]

    def _finish(self, send: Callable[[Signal, type], None] | None = None) -> None:
        """
        Close the response, or the request without one; send ``request_finished``; close the body. All that once.

        Args:
            send: Where all receivers are Django's own: what calls those of the moment of closing. One that is connected
                later, while the request thread is still busy, belongs to somebody else's request. None: whoever is
                connected when this runs.

        Source: Django 5.2-6.1, ``HttpResponseBase.close`` in http/response.py.
        """
        if self._finished:
            return
        self._finished = True
        self._adopt()
        response, body_file = self.response, self.body_file
        try:
            if response is None:
                _call_closers([] if self.request is None else [self.request.close])
            elif send is None or _closes_itself(response):
                response.close()  # which sends the signal
                return
            else:
                _call_closers(response._resource_closers)
                response._resource_closers.clear()
                response.closed = True
            (send or _send)(signals.request_finished, self.sender)
        finally:
            self._let_go()
            body_file.close()


def _call_closers(closers: list[Callable[[], None]]) -> None:
    for closer in closers:
        try:
            closer()
        except Exception:
            pass


def _send(signal: Signal, sender: type) -> None:
    signal.send(sender=sender)


def _closes_itself(response: HttpResponseBase) -> bool:
    return type(response).close is not STOCK_CLOSE or "close" in response.__dict__


def _finish_alone(context: contextvars.Context, function: Any) -> None:
    """Let async receivers run on a loop of their own: that of the request may never run again."""
    asgiref_thread_local.__dict__.pop("main_event_loop", None)
    _in_context(context, function)


def _in_context(context: contextvars.Context, function: Any) -> None:
    context.run(rehomed, context, function)


_detached: set[asyncio.Future[Any]] = set()
