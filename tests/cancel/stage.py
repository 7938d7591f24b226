"""Play a scenario with faults at its points, each time followed by a request that must find nothing of it."""

import gc
import sqlite3
from collections import Counter
from itertools import count

from django.conf import settings

from tests.cancel import scenarios
from tests.cancel.laws import broken_laws
from tests.cancel.points import UNHEARD_S, Run, present
from tests.run.drive import run as run_loop

runs_with = Counter()
"""Runs in which a fault has happened, by its name; those with a second one, and those that were compared with stock."""
found = Counter()
"""What was found in them, by its kind."""
points_of = {}
"""Points of each scenario when nothing happens in it."""


class Stage:
    """
    One scenario with its application.

    Attributes:
        calm: The run in which nothing happened.
    """

    def __init__(self, scenario, application, *, stock=False):
        self.scenario, self._application, self._stock = scenario, application, stock
        self._found = None
        self.calm = self.play({})

    def play(self, faults):
        """Send the scenario's request, then the canary, on a loop of their own. Returns the run."""
        scenario = self.scenario
        stuck_after_s = UNHEARD_S if scenario.unheard else None
        run, canary = (Run(faults, scenario.body, stuck_after_s, stock=self._stock), Run({}, stock=self._stock))

        async def both():
            present.run = run
            await run.play(self._application, scenario.meanwhile, **scenario.scope)
            run.problems += broken_laws(run, scenario)
            if run.rested:
                for opened in (*run.files, *(each for each in run.connections if each.is_open)):
                    opened.close()  # It was told once that it is open.
            present.run = canary
            await canary.play(self._application, scenarios.nothing, path="/canary/")

        run_loop(both())
        gc.collect(1)
        present.run = None
        run.problems += [*run.complaints, *canary.complaints]
        self._found = self._found or canary.messages
        if canary.messages != self._found or canary.outcome != "returned":
            run.problems.append(f"the next request was answered: {canary.outcome}, {canary.messages}")
        if scenarios.entered:
            run.problems.append("the lifespan was not left")
        if scenario.atomic and self._written() not in ([], ["one", "two"]):
            run.problems.append("half of a transaction was committed")
        return run

    @staticmethod
    def _written():
        """Return what the request has written, and delete it."""
        database = sqlite3.connect(settings.DATABASES["default"]["NAME"], isolation_level=None)
        try:
            names = [name for (name,) in database.execute("SELECT name FROM auth_group ORDER BY id")]
            if names:
                database.execute("DELETE FROM auth_group")
            return names
        finally:
            database.close()

    def everywhere(self, fault, first=None):
        """Have a fault happen at every point in turn, behind those given; yields the runs, the last one without it."""
        first = first or {}
        for number in count(max(first, default=-1) + 1):
            run = self.play({**first, number: fault})
            yield run
            if number >= len(run.trace):
                return
