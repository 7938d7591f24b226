"""Keep one load process and give it one order after another."""

from __future__ import annotations

import json
import select
import sys
from dataclasses import asdict
from typing import Any

from onehop.demo.children import Children
from onehop.demo.load import DRAIN_S, Order
from onehop.demo.nouns import DemoError


class Loader:
    """The process that makes the load. It ends with the children it is one of."""

    def __init__(self, children: Children) -> None:
        self._children = children
        self._process = children.start([sys.executable, "-m", "onehop.demo.load"], settings=None)

    def load(self, order: Order, way: str) -> dict[str, Any]:
        """Carry out ``order`` and return the fields of ``load.Found``.

        Raises:
            DemoError: The process failed or took too long, or an answer had another status than 200.
        """
        process = self._process
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        try:
            process.stdin.write(json.dumps(asdict(order)).encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended: what follows says why
        limit_s = order.seconds + DRAIN_S + 10
        if not select.select([process.stdout], [], [], limit_s)[0]:
            raise DemoError(f"Loading {order.path} on {way} took over {limit_s:.0f} s. Run the demo again.")
        answer = process.stdout.readline()
        if not answer:
            lines = process.stderr.read().decode(errors="replace").splitlines()[-15:]
            raise DemoError(f"Loading {order.path} on {way} failed. The last lines above say why.", lines)
        found: dict[str, Any] = json.loads(answer)
        if found["failed"]:
            raise DemoError(
                f"Loading {order.path} on {way} failed: {found['failed']} of {len(found['latencies_us'])} "
                "answers had another status than 200. Look into the logs of uvicorn; --keep keeps them."
            )
        return found
