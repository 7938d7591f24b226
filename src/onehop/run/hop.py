"""
The only place that changes threads.

Theory of operation. A hop is one bridge call of asgiref: ``sync_to_async`` out of the loop, ``async_to_sync`` out
of a thread. asgiref copies the context, runs the call in the copy on the other side, and takes the changes
back, with every ``Local`` re-homed. Which thread it is decides the executor that asgiref finds: that of an
``async_to_sync`` above, else the request's lease.

Guarantees: context variables and ``Local`` values set on either side are seen on the other; exceptions arrive
with ``sys.exc_info()``, and a ``StopIteration``, which no future holds, as the ``RuntimeError`` that Python 3.13
makes of it; cancelling the awaiting task never interrupts code that runs on a thread.
Assumes: the lease of the request is registered for its ``ThreadSensitiveContext`` (see ``closing``).
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import Any

from asgiref.sync import async_to_sync, sync_to_async

from onehop._django import take_back


def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except StopIteration as error:  # Before Python 3.13 whoever awaits it would wait for ever.
        text = "StopIteration interacts badly with generators and cannot be raised into a Future"
        raise RuntimeError(text) from error


async def _await(contexts: list[contextvars.Context], function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return await function(*arguments)
    finally:
        contexts.append(contextvars.copy_context())


_hop_to_loop = async_to_sync(_await)


hop_to_thread = sync_to_async(_call, thread_sensitive=True)
"""
Leave the loop: call ``function(*arguments)`` on the request thread and come back with its result.

Runs on: the loop. Cost: one hop (two thread switches).
"""

post_in_turn = sync_to_async(_call, thread_sensitive=True)
"""
Do on the request thread what would be a post if the request had a lease of its own: the caller waits for its turn.

Runs on: the loop. Cost: a hop that a server's request does not have.
"""


def hop_to_loop(function: Callable[..., Any], *arguments: Any) -> Any:
    """
    Leave the request thread: await ``function(*arguments)`` on the loop and come back with its result.

    asgiref wakes the thread before it notes what the loop has set: a thread that is quick goes on with what it had
    set itself. So the context is noted here, before.

    Runs on: a thread. Cost: one hop, and the thread waits meanwhile.

    Source: asgiref 3.13, ``AsyncToSync.main_wrap`` in sync.py.
    """
    contexts: list[contextvars.Context] = []
    try:
        return _hop_to_loop(contexts, function, *arguments)
    finally:
        for context in contexts:  # one, or none if the loop has refused
            take_back(context)
