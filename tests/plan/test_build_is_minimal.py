"""The planner against brute force: no plan that keeps the constraints crosses less often."""

import pytest

from onehop.plan.build import CLOSE, OPEN, choose_lanes, count_hops
from onehop.steps import Affinity, Lane

LETTERS = {"L": Affinity.LOOP, "T": Affinity.THREAD, "A": Affinity.ANYWHERE}
BOUND = {Affinity.LOOP: (Lane.LOOP,), Affinity.THREAD: (Lane.THREAD,), Affinity.ANYWHERE: tuple(Lane)}


def steps_of(letters):
    """Turn ``"A ( T L ) A"`` into steps; a bracket takes the letter before it as its wrapper's affinity."""
    steps, opened = [], []
    for letter in letters:
        if letter.endswith("("):
            opened.append(LETTERS[letter[0]])
            steps.append((opened[-1], OPEN))
        elif letter == ")":
            steps.append((opened.pop(), CLOSE))
        else:
            steps.append((LETTERS[letter], ""))
    return steps


def all_words(length):
    """Return every word of plain steps and properly nested wrapper halves of a length."""

    def grow(word, open_now, left):
        if left < open_now:
            return
        if left == 0:
            yield word
            return
        for letter in LETTERS:
            yield from grow((*word, letter), open_now, left - 1)
            yield from grow((*word, letter + "("), open_now + 1, left - 1)
        if open_now:
            yield from grow((*word, ")"), open_now - 1, left - 1)

    return grow((), 0, length)


def fewest_crossings(steps, home):
    """Try every assignment of lanes that keeps the constraints; return the fewest crossings."""
    # state: lane now, lane of the last bound step, lanes on which open wrappers were entered -> fewest crossings
    states = {(home, home, ()): 0}
    for affinity, half in steps:
        following = {}
        for (here, bound, entered), crossings in states.items():
            if half == CLOSE:
                options = (entered[-1],)
            elif half == OPEN and affinity is Affinity.ANYWHERE:
                options = (bound,)  # entering elsewhere would need to know the view and the guards to come
            else:
                options = BOUND[affinity]
            for lane in options:
                after = entered[:-1] if half == CLOSE else (*entered, lane) if half == OPEN else entered
                state = lane, bound if not half and affinity is Affinity.ANYWHERE else lane, after
                cost = crossings + (lane is not here)
                following[state] = min(cost, following.get(state, cost))
        states = following
    return min(crossings + (here is not home) for (here, *_), crossings in states.items())


@pytest.mark.parametrize("home", Lane)
@pytest.mark.parametrize("length", range(1, 8))
def test_no_assignment_of_lanes_crosses_less_often(length, home):
    """For every word of affinities and wrapper halves up to length 7, the plan makes the fewest crossings."""
    words = list(all_words(length))

    worse = [
        word
        for word in words
        if count_hops(choose_lanes(steps_of(word), home), home) * 2 != fewest_crossings(steps_of(word), home)
    ]

    assert len(words) >= 3**length
    assert worse == []


def test_brute_force_sees_a_worse_plan():
    """A planner that always goes home first is found out."""
    steps = steps_of(["T", "A", "T"])

    assert fewest_crossings(steps, Lane.LOOP) == 2
    assert count_hops([Lane.THREAD, Lane.LOOP, Lane.THREAD], Lane.LOOP) * 2 == 4


@pytest.mark.parametrize(
    ("letters", "lanes"),
    [
        ("A A L A", "LLLL"),
        ("A A T A", "LLTT"),
        ("A( L )", "LLL"),
        ("T A( L ) A", "TTLTT"),
        ("T( L )", "TLT"),
        ("L( T )", "LTL"),
    ],
)
def test_a_step_stays_on_the_lane_before_it(letters, lanes):
    """Steps that run anywhere stay; both halves of a wrapper share the lane on which it was entered."""
    chosen = choose_lanes(steps_of(letters.split()), Lane.LOOP)

    assert "".join(lane.name[0] for lane in chosen) == lanes
