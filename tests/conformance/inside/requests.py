"""Count the requests of a test, by the method that answers them."""

import functools
from collections import Counter

from asgiref.sync import iscoroutinefunction, markcoroutinefunction

_seen = []  # a list, because appending is atomic whatever thread does it


def count(owner, name, kind):
    """Count the calls of a method from now on. On the outside: what the method is made of stays what it was."""
    method = getattr(owner, name)

    @functools.wraps(method)
    def counted(*arguments, **keywords):
        _seen.append(kind)
        return method(*arguments, **keywords)

    setattr(owner, name, markcoroutinefunction(counted) if iscoroutinefunction(method) else counted)


def take():
    """Return how many requests of each kind this process has seen since it was last asked."""
    taken, _seen[:] = Counter(_seen), []
    return taken
