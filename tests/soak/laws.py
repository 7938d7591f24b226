"""What must hold when nothing is in flight."""

from typing import NamedTuple

CENSUS = " alive"
"""How the names of a census end, which is not part of each state."""


class Law(NamedTuple):
    """
    Two numbers that are equal, or one that is 0.

    Attributes:
        left: The name of a number of the state.
        right: The name of the number that equals it; None stands for 0.
    """

    left: str
    right: str | None = None

    def broken(self, state):
        """Return what is wrong, in words; empty if the law holds, or is about a census and the state has none."""
        if self.left.endswith(CENSUS) and self.left not in state:
            return ""
        left, right = state[self.left], state[self.right] if self.right else 0
        if left == right:
            return ""
        return f"{self.left} {left:,}, " + (f"{self.right} {right:,}" if self.right else "not 0")


IN_FLIGHT = Law("calls begun", "calls ended")
LAWS = (
    IN_FLIGHT,
    Law("started", "finished"),
    Law("responses made", "responses closed"),
    Law("responses closed again"),
    Law("streams entered", "streams left"),
    Law("bodies opened", "bodies closed"),
    Law("leases taken", "leases returned"),
    Law("leases waiting"),
    Law("threads not idle"),
    Law("tasks left"),
    Law("files open"),
    Law("leases alive"),
    Law("streams alive"),
    Law("greenlets alive"),
    Law("requests alive"),
    Law("responses alive"),
)


def broken(state, laws):
    """Return what is wrong in a state, in words, one for each broken law."""
    return [said for law in laws if (said := law.broken(state))]
