"""The net catches: each of these mistakes, put into Onehop, breaks a law at some point of some scenario."""

import pytest

from onehop.run import greenlets, leftovers, threads
from onehop.run.closing import Closing
from onehop.run.disconnect import Listening
from onehop.run.lease import Lease
from tests.cancel import points
from tests.cancel.points import blocking_send, cancel, disconnect, failing_send
from tests.cancel.scenarios import SCENARIOS

MISTAKES = []


def mistake(scenario, fault, words):
    """Add a mistake: a function that patches it in, the scenario and fault that show it, words of what is found."""

    def add(patch):
        MISTAKES.append(pytest.param(patch, scenario, fault, words, id=patch.__name__.replace("_", " ")))
        return patch

    return add


@mistake("sync view", failing_send, "request_finished 0 times")
def closing_is_left_out_after_an_error(patch):
    close = Closing.close
    patch(Closing, "close", lambda self: self._leave() if self.aborted else close(self))


@mistake("sync view", disconnect, "could not read the body")
def the_body_is_closed_while_the_view_runs(patch):
    close = Closing.close
    patch(Closing, "close", lambda self: (self.body_file and self.body_file.close(), close(self))[1])


@mistake("sync view with a response of its own", cancel, "request_finished 2 times")
def everything_is_closed_twice(patch):
    finish = Closing._finish

    def twice(self, *send):
        finish(self, *send)
        self._finished = False
        finish(self, *send)

    patch(Closing, "_finish", twice)


@mistake("sync view", disconnect, "was not closed")
def a_late_response_is_forgotten(patch):
    patch(Closing, "orphan", property(lambda self: None, lambda self, response: None))


@mistake("async view, hooks", cancel, "never came to rest")
def the_lease_is_not_ended(patch):
    patch(Lease, "end", lambda self: None)


@mistake("async view", blocking_send, "stuck")
def nobody_is_told_of_the_disconnect(patch):
    patch(Listening, "_disconnected", lambda self, listener: listener.cancelled() or listener.exception())


@mistake("async view", disconnect, "CancelledError")
def a_disconnect_looks_like_a_cancellation(patch):
    patch(Listening, "_uncancelled", lambda self: False)


@mistake("async view, greenlet", cancel, "is alive")
def a_greenlet_is_dropped(patch):
    async def call_in_greenlet(wrapper, *arguments):
        child = greenlets.WrapperGreenlet(wrapper, greenlets.getcurrent())
        child.gr_context = greenlets.getcurrent().gr_context
        outcome = child.switch(*arguments)
        while not child.dead:
            outcome = child.switch(await outcome)
        return outcome

    patch("onehop.run.runners", "call_in_greenlet", call_in_greenlet)


@mistake("sync view", cancel, "the former")
def a_thread_is_used_again_as_it_is(patch):
    patch(leftovers.Fresh, "find_leftover", lambda self: None)


@mistake("async stream", disconnect, "closed 0 times")
def a_generator_is_not_closed(patch):
    async def send_async(handler, response, send):
        await handler.send_response(response, send)

    patch("onehop.run.stream", "_send_async", send_async)


@mistake("sync view", cancel, "the loop stood still")
def the_loop_waits_for_the_thread(patch):
    close = Closing.close

    def join(self):
        threads.pool.drain(3)
        return close(self)

    patch(Closing, "close", join)


@pytest.mark.parametrize(("patch", "name", "fault", "words"), MISTAKES)
def test_a_mistake_is_found(stage, monkeypatch, patch, name, fault, words):
    """Without the mistake all laws hold; with it one is broken, and the test says which."""
    monkeypatch.setattr(points, "PATIENCE_S", 2)
    monkeypatch.setattr(points, "STUCK_S", 1)
    theatre = stage(next(each for each in SCENARIOS if each.name == name))
    patch(lambda owner, attribute, value: monkeypatch.setattr(*named(owner, attribute), value))
    try:
        assert any(words in problem for run in theatre.everywhere(fault) for problem in run.problems)
    finally:
        monkeypatch.undo()
        for thread in threads.pool._threads:
            thread.end()
        threads.pool.__init__()


def named(owner, attribute):
    """Return what ``setattr`` takes: an object and a name, or a dotted path."""
    return (f"{owner}.{attribute}",) if isinstance(owner, str) else (owner, attribute)
