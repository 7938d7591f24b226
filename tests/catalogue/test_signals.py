"""Entries 74-77: receivers of any mode, in order. That they come, go and are not kept alive is shown in tests/run."""

import asyncio
import itertools

import django
import pytest
from django.core import signals
from django.http import HttpResponse

from tests import asgi
from tests.run.drive import Gate, run


async def async_view(request):
    return HttpResponse("ok")


def make_receiver(mode, name, events, error=None):
    """Return a receiver that notes its name, and raises an error if there is one."""

    def receive(signal, **_):
        events.append((name, "started" if signal is signals.request_started else "finished"))
        if error is not None:
            raise error

    async def receive_async(signal, **named):
        receive(signal, **named)

    return {"s": receive, "a": receive_async}[mode]


MIXES = ["".join(mix) for length in range(4) for mix in itertools.product("sa", repeat=length)]


@pytest.fixture
def alone():
    """Disconnect Django's own receivers for the test."""
    own = {signal: signal.receivers for signal in (signals.request_started, signals.request_finished)}
    for signal in own:
        signal.receivers = []
    yield
    for signal, receivers in own.items():
        signal.receivers = receivers


@pytest.mark.parametrize("mix", MIXES, ids=lambda mix: mix or "none")
def test_bug_74_every_mix_of_receivers_is_called(site, alone, connect, events, mix):
    """Django #35174: a signal whose receivers are all async broke the request. Every mix of up to three is called."""
    for number, mode in enumerate(mix):
        for signal in (signals.request_started, signals.request_finished):
            connect(signal, make_receiver(mode, f"{number}{mode}", events), weak=False)

    assert asgi.get(site(async_view, [])).status == 200

    in_order = [number for mode in "sa" for number, each in enumerate(mix) if each == mode]
    assert events == [(f"{each}{mix[each]}", when) for when in ("started", "finished") for each in in_order]


@pytest.mark.parametrize("failing", [0, 1, 2, 3])
def test_bug_75_the_first_error_of_a_receiver_stops_the_others(site, connect, events, failing):
    """Django #32172: sync receivers first, in order; an error goes to the server, and nothing after it is called."""
    modes = ["s", "a", "s", "a"]
    for number, mode in enumerate(modes):
        error = LookupError(f"of {number}") if number == failing else None
        connect(signals.request_started, make_receiver(mode, number, events, error), weak=False)
    outcomes = []
    for stock in (True, False):
        with pytest.raises(BaseException) as raised:
            asgi.get(site(async_view, [], stock=stock))
        outcomes.append((str(raised.value), list(events)))
        events.clear()

    _, called = outcomes[1]
    sync_ones = [0, 2][: failing // 2 + 1] if modes[failing] == "s" else [0, 2]
    assert [number for number, _ in called if modes[number] == "s"] == sync_ones
    assert (len(called) > len(sync_ones)) == (modes[failing] == "a")
    assert outcomes[1] == outcomes[0] or django.VERSION < (6, 1)  # there stock runs the async ones meanwhile


def test_bug_75_async_receivers_wait_for_each_other(site, connect):
    """Django #32172: they run concurrently; one after the other, these two would wait for ever."""
    first, second = Gate(), Gate()

    async def one(**_):
        second.open()
        await first.stand()

    async def other(**_):
        await second.stand()
        first.open()

    connect(signals.request_started, one)
    connect(signals.request_started, other)

    async def bounded():
        async with asyncio.timeout(10):
            return (await asgi.request(site(async_view, []))).status

    assert run(bounded()) == 200
