"""
Run an unchanged Django project with the fewest hops between event loop and threads, and see every one of them.

Change one word in ``asgi.py``::

    from onehop.asgi import get_asgi_application
"""

from typing import Any

from onehop.declare import runs_anywhere, runs_on_thread

__all__ = ["install", "lifespan_state", "runs_anywhere", "runs_on_thread"]
__version__ = "0.1.0.dev0"


def __getattr__(name: str) -> Any:
    """Import what needs Django only when it is asked for."""
    if name == "install":
        from onehop.in_place import install

        return install
    if name == "lifespan_state":
        from onehop.run.lifespan import lifespan_state

        return lifespan_state
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
