"""What the tests of a run share: gates to hold code at a point, and a loop of one's own."""

import asyncio
import contextvars
import threading

PATIENCE_S = 10


class Gate:
    """A point where a view or hook says that it is there, and waits until the test opens it."""

    def __init__(self):
        self._reached = threading.Event()
        self._opened = threading.Event()

    def wait(self):
        """Wait here; called on a thread."""
        self._reached.set()
        assert self._opened.wait(PATIENCE_S), "nobody opened the gate"

    async def stand(self):
        """Wait here; called on the loop."""
        self._reached.set()
        while not self._opened.is_set():
            await asyncio.sleep(0.001)

    def open(self):
        self._opened.set()

    @property
    def is_reached(self):
        return self._reached.is_set()

    async def reached(self):
        """Wait, on the loop, until somebody stands at the gate."""
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while not self._reached.is_set():
            assert asyncio.get_running_loop().time() < deadline, "nobody came to the gate"
            await asyncio.sleep(0.001)


async def until(condition):
    """Wait, on the loop, until a condition holds."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "the condition never held"
        await asyncio.sleep(0.001)


def run(coroutine):
    """Run a coroutine on a loop of its own, in a context of its own."""
    return contextvars.Context().run(asyncio.run, coroutine)
