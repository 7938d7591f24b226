"""ONEHOP["LIFESPAN"]: entered before the first request, on its loop, and left at the end, by every kind of server."""

import asyncio
import subprocess
import sys
import textwrap
import threading
from contextlib import asynccontextmanager

import pytest
from asgiref.sync import sync_to_async
from django.http import HttpResponse
from django.test import RequestFactory

from onehop import lifespan_state
from onehop.errors import ConfigError, OnehopError
from onehop.run.lifespan import ENVIRON_KEY
from tests.asgi import get, request
from tests.run.drive import run, until

LIFESPAN = {"LIFESPAN": f"{__name__}.lifespan"}
log = []
yields = {"client": "a client"}
gate = None


@asynccontextmanager
async def lifespan():
    log.append(("entered", asyncio.current_task()))
    await sync_to_async(lambda: None)()
    if gate is not None:
        await gate.wait()
    yield yields
    await asyncio.sleep(0)
    log.append(("left", asyncio.current_task()))


@asynccontextmanager
async def broken():
    raise LookupError("no database")
    yield


@asynccontextmanager
async def broken_end():
    yield
    raise LookupError("no way out")


@asynccontextmanager
async def wrong():
    yield 42


async def undecorated():
    yield {}


number = 42


@pytest.fixture(autouse=True)
def empty_log(monkeypatch):
    log.clear()
    yield
    log.clear()


async def view(request):
    log.append(("request", lifespan_state(request)))
    return HttpResponse(lifespan_state(request)["client"])


def words():
    return [word for word, _ in log]


class Server:
    """A server that speaks the lifespan protocol and gives each request a copy of the state."""

    def __init__(self, app, **scope):
        self.app, self.sent, self.incoming = app, [], asyncio.Queue()
        self.scope = {"type": "lifespan", "asgi": {"version": "3.0"}, **scope}

    async def say(self, word):
        before = len(self.sent)
        await self.incoming.put({"type": f"lifespan.{word}"})
        await until(lambda: len(self.sent) > before)
        return self.sent[-1]

    async def __aenter__(self):
        async def send(message):
            self.sent.append(message)

        self.task = asyncio.create_task(self.app(self.scope, self.incoming.get, send))
        return self

    async def __aexit__(self, *_):
        await self.task


def test_a_server_that_speaks_the_protocol(site):
    application = site(view, ONEHOP=LIFESPAN)

    async def main():
        async with Server(application, state={}) as server:
            assert await server.say("startup") == {"type": "lifespan.startup.complete"}
            assert server.scope["state"] == {"client": "a client"}
            for _ in range(2):
                answer = await request(application, state=dict(server.scope["state"]))
                assert answer.body == b"a client"
            assert await server.say("shutdown") == {"type": "lifespan.shutdown.complete"}

    run(main())
    assert words() == ["entered", "request", "request", "left"]
    assert log[0][1] is log[-1][1]


def test_without_a_lifespan_the_protocol_is_spoken_all_the_same(site):
    application = site(view)

    async def main():
        async with Server(application) as server:
            assert (await server.say("startup"))["type"] == "lifespan.startup.complete"
            assert (await server.say("shutdown"))["type"] == "lifespan.shutdown.complete"

    run(main())
    assert log == []


def test_a_server_without_state_or_protocol(site):
    """The first requests, however many, wait for one entering; the loop's end leaves."""
    application = site(view, ONEHOP=LIFESPAN)

    async def main():
        return await asyncio.gather(*(request(application) for _ in range(5)))

    assert {answer.body for answer in run(main())} == {b"a client"}
    assert words() == ["entered", *["request"] * 5, "left"]
    assert log[0][1] is log[-1][1]


def test_each_loop_has_a_lifespan_of_its_own(site):
    application = site(view, ONEHOP=LIFESPAN)
    for _ in range(2):
        assert get(application).body == b"a client"
    assert words() == ["entered", "request", "left"] * 2


def test_a_request_has_its_own_copy(site):
    async def greedy(request):
        log.append(len(lifespan_state(request)))
        lifespan_state(request)["mine"] = 1
        return HttpResponse()

    application = site(greedy, ONEHOP=LIFESPAN)

    async def main():
        for _ in range(2):
            await request(application)

    run(main())
    assert [each for each in log if isinstance(each, int)] == [1, 1]


def test_a_state_that_is_there_already_stays(site):
    """As one that a test has given the request."""
    application = site(view, ONEHOP=LIFESPAN)
    assert get(application, state={"client": "a fake"}).body == b"a fake"


def test_a_first_request_that_is_cancelled_does_not_stop_the_entering(site, monkeypatch):
    application = site(view, ONEHOP=LIFESPAN)

    async def main():
        monkeypatch.setattr(sys.modules[__name__], "gate", asyncio.Event())
        first = asyncio.create_task(request(application))
        await until(lambda: log)
        first.cancel()
        await asyncio.wait([first])
        gate.set()
        assert (await request(application)).body == b"a client"

    run(main())
    assert words() == ["entered", "request", "left"]


@pytest.mark.parametrize(
    ("name", "phase", "text"),
    [
        ("broken", "startup", "no database"),
        ("broken_end", "shutdown", "no way out"),
        ("wrong", "startup", "yielded 42"),
    ],
)
def test_errors_are_told_to_the_server(site, name, phase, text):
    application = site(view, ONEHOP={"LIFESPAN": f"{__name__}.{name}"})

    async def main():
        async with Server(application) as server:
            for word in ("startup", "shutdown"):
                if (answer := await server.say(word))["type"] == f"lifespan.{word}.failed":
                    break
        return word, answer["message"]

    failed, message = run(main())
    assert failed == phase
    assert message.startswith("Traceback") and text in message


def test_an_error_at_the_first_request_is_raised_by_each(site):
    application = site(view, ONEHOP={"LIFESPAN": f"{__name__}.broken"})

    async def main():
        for _ in range(2):
            with pytest.raises(LookupError, match="no database"):
                await request(application)

    run(main())


def test_an_error_at_the_end_of_a_loop_is_logged(site, caplog):
    application = site(lambda request: HttpResponse(), ONEHOP={"LIFESPAN": f"{__name__}.broken_end"})
    get(application)
    (told,) = (record for record in caplog.records if record.name == "onehop")
    assert told.exc_info[0] is LookupError
    caplog.clear()


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (42, "is 42, which is not a dotted path"),
        ("tests.run.nowhere", "cannot be imported"),
        (f"{__name__}.number", "is a int"),
        (f"{__name__}.undecorated", "Decorate it with contextlib.asynccontextmanager"),
    ],
)
def test_mistakes_are_told_at_start_up(site, value, told):
    with pytest.raises(ConfigError, match=told):
        site(view, ONEHOP={"LIFESPAN": value})


def test_a_request_without_a_state_says_how_to_get_one():
    bare = RequestFactory().get("/")
    with pytest.raises(OnehopError, match=r"ONEHOP\['LIFESPAN'\]"):
        lifespan_state(bare)
    bare.META[ENVIRON_KEY] = {"client": 1}
    assert lifespan_state(bare) == {"client": 1}


def test_a_loop_of_another_thread_is_entered_once(site):
    """What a WSGI request does."""
    handler = site(view, ONEHOP=LIFESPAN)
    loop, environs = asyncio.new_event_loop(), [{}, {}, {}]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        prepare_on = handler._onehop_chain.lifespan.prepare_on
        callers = [threading.Thread(target=prepare_on, args=(loop, environ)) for environ in environs]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        assert environs == [{ENVIRON_KEY: {"client": "a client"}}] * 3
        assert words() == ["entered"]
        (holder,) = handler._onehop_chain.lifespan._holders.values()
        holder.leave_at_exit()
        assert words() == ["entered", "left"]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_left_at_exit_when_the_loop_has_only_stopped():
    """As daphne's: nobody cancels the tasks of its loop, and nobody closes it."""
    script = """
        import asyncio, os
        os.environ["DJANGO_SETTINGS_MODULE"] = "tests.project.settings"
        import django
        django.setup()
        from tests.run import test_lifespan
        from onehop.run.lifespan import Lifespan
        test_lifespan.log = type("Log", (list,), {"append": lambda self, each: print(each[0], flush=True)})()
        loop = asyncio.new_event_loop()
        lifespan = Lifespan(test_lifespan.lifespan)
        scope = {}
        loop.run_until_complete(lifespan.prepare(scope))
        print(scope)
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=30
    )
    assert done.stdout.splitlines() == ["entered", "{'state': {'client': 'a client'}}", "left"]
    assert done.stderr == ""
