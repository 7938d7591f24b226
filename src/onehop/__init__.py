"""
Run an unchanged Django project with the fewest hops between event loop and threads, and see every one of them.

Change one word in ``asgi.py``::

    from onehop.asgi import get_asgi_application
"""

from onehop.declare import runs_anywhere, runs_on_thread

__all__ = ["runs_anywhere", "runs_on_thread"]
__version__ = "0.1.0.dev0"
