"""What happened, in order. One list for the whole test; compared as a whole."""

from typing import Any

record: list[Any] = []
