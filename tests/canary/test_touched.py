"""The interpreter keeps ``threading.local`` objects in a way that ``run/touched.py`` knows."""

import gc
import threading

from onehop.run.touched import Touched, can_be_told


class Begun(threading.local):
    """Counts how often its ``__init__`` runs."""

    runs = 0

    def __init__(self, **named):
        type(self).runs += 1
        self.named = named


def on_new_thread(function):
    results = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results.pop()


def test_it_can_be_told():
    """Trying it succeeds, on the main thread and on others."""
    assert can_be_told()
    assert on_new_thread(can_be_told)


def held(touched, *objects):
    """Return what a thread holds in each of some objects; None in one that it has not touched."""
    found = touched.locals()
    return [next((dict(contents) for local, contents in found if local is each), None) for each in objects]


def test_only_what_a_thread_touched_is_reported():
    """Objects that other threads have filled are not, nor those that are gone."""
    plain, begun = threading.local(), Begun(kind="client")
    plain.name = "main"

    def look():
        touched = Touched()
        seen = [held(touched, plain, begun)]
        plain.name = "thread"
        begun.more = 1
        seen.append(held(touched, plain, begun))
        before = len(touched.locals())
        temporary = threading.local()
        during = len(touched.locals())
        del temporary
        return seen, during - before, len(touched.locals()) - before

    after = [{"name": "thread"}, {"named": {"kind": "client"}, "more": 1}]
    assert on_new_thread(look) == ([[None, None], after], 1, 0)
    assert plain.name == "main"


def test_what_the_collector_does_not_show_is_reported():
    """``gc.freeze()`` hides objects from the garbage collector."""
    hidden = threading.local()
    gc.freeze()
    try:

        def look():
            hidden.name = "thread"
            return held(Touched(), hidden)

        assert on_new_thread(look) == [{"name": "thread"}]
    finally:
        gc.unfreeze()


def test_looking_runs_no_code_of_the_object():
    """Neither ``__init__`` nor what a class or metaclass defines for comparing and looking up."""
    ran = []

    class Meta(type):
        def __eq__(cls, other):
            ran.append("class ==")
            return True

        __hash__ = None

    class Curious(threading.local, metaclass=Meta):
        def __eq__(self, other):
            ran.append("==")
            return True

        __hash__ = None

        def __getattribute__(self, name):
            ran.append(name)
            return super().__getattribute__(name)

    curious, begun = Curious(), Begun()
    runs = Begun.runs

    def look():
        threading.local.__setattr__(curious, "name", "thread")
        ran.clear()
        return held(Touched(), curious, begun)

    assert on_new_thread(look) == [{"name": "thread"}, None]
    assert (ran, Begun.runs) == ([], runs)


def test_an_interpreter_that_keeps_them_differently_is_noticed(monkeypatch):
    """Objects that are not found, or others that are, mean that nothing can be told."""
    for locals_ in (lambda self: [], lambda self: [(threading.local(), {})], lambda self: 1 / 0):
        monkeypatch.setattr(Touched, "locals", locals_)
        assert not can_be_told()
