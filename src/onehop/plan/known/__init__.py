"""
Hooks whose code was read: when they can block, and the proof at run time that they are the code that was read.

A row holds for one class, by identity. For a subclass it holds only while that adds no callable, property or
``__init__``. Everything the hook's own code looks up by name, on the class and in its module, is compared with what
was there when the plan was made, at every call.
"""

from onehop.plan.known.guard import make_guard
from onehop.plan.known.rows import Row, find_row

__all__ = ["Row", "find_row", "make_guard"]
