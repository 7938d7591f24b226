"""The interpreter keeps ``threading.local`` objects in a way that ``run/touched.py`` knows."""

import sys
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


def test_only_what_a_thread_touched_is_counted():
    """Objects that other threads have filled do not count, nor do those that are gone."""
    plain, begun = threading.local(), Begun(kind="client")
    plain.name = "main"

    def look():
        sys.audit("onehop.test")  # lets an audit hook touch what it keeps for each thread
        touched = Touched()
        start = touched.count()
        seen = [(touched.contents(plain), touched.contents(begun))]
        plain.name = "thread"
        begun.more = 1
        seen.append((touched.contents(plain), touched.contents(begun)))
        counts = [touched.count() - start]
        temporary = threading.local()
        counts.append(touched.count() - start)
        del temporary
        return seen, [*counts, touched.count() - start]

    after = ({"name": "thread"}, {"named": {"kind": "client"}, "more": 1})
    assert on_new_thread(look) == ([(None, None), after], [2, 3, 2])
    assert plain.name == "main"


def test_looking_runs_no_init():
    """An object is asked about without being touched."""
    begun = Begun()
    runs = Begun.runs

    assert on_new_thread(lambda: Touched().contents(begun)) is None
    assert Begun.runs == runs


def test_an_interpreter_that_keeps_them_differently_is_noticed(monkeypatch):
    """A count that does not move, or contents that are not found, mean that nothing can be told."""
    monkeypatch.setattr(Touched, "count", lambda self: 7)
    assert not can_be_told()
    monkeypatch.undo()
    monkeypatch.setattr(Touched, "contents", lambda self, local: None)
    assert not can_be_told()
