"""
Measure stock Django against Onehop.

``run`` schedules and collects; ``children`` starts a fresh process for each contender and round; ``child`` is
that process: it builds a contender and drives it with ``drive``, timed by ``timing`` or counted by ``count``;
``straight`` measures the floor under all of them; ``result`` is what is printed, ``table`` how.
"""
