"""``AsyncHopClient``: the same, in the loop of the test."""

import asyncio
import threading

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.handlers.asgi import ASGIHandler
from django.core.signals import request_finished
from django.test import AsyncClient, TestCase

from onehop.run.threads import pool
from onehop.testing import AsyncHopClient
from onehop.testing.watching import watching
from tests.project.recorder import record
from tests.testing.test_same_answers import cookies, upload

START, BODY = "http.response.start", "http.response.body"

REQUESTS = {
    "get": lambda client: client.get("/echo/", {"q": "ä b&c", "list": [1, 2]}),
    "async view": lambda client: client.get("/aecho/"),
    "query in path": lambda client: client.get("/echo/?q=%C3%A4+b&q=2&empty="),
    "head": lambda client: client.head("/page/"),
    "put": lambda client: client.put("/raw/", "späte Daten"),
    "json": lambda client: client.post("/raw/", {"a": [1]}, content_type="application/json"),
    "upload": upload,
    "headers": lambda client: client.get("/echo/", headers={"X-One": "1", "X-Latin": "é"}),
    "secure": lambda client: client.get("/echo/", secure=True),
    "page": lambda client: client.get("/page/"),
    "cookies": lambda client: client.get("/cookies/"),
    "chain": lambda client: client.get("/chain/2/", follow=True),
    "204": lambda client: client.get("/empty/"),
    "404": lambda client: client.get("/not-found/"),
    "async stream": lambda client: client.get("/async-stream/"),
}


async def seen(response):
    """Return what a test can see of a response."""
    return {
        "status": response.status_code,
        "headers": dict(response.items()),
        "cookies": cookies(response),
        "content": b"".join([item async for item in response]) if response.streaming else response.content,
        "templates": [template.name for template in response.templates],
        "name": response.context and response.context.get("name"),
        "chain": getattr(response, "redirect_chain", None),
        "path": response.asgi_request.path,
    }


@pytest.mark.parametrize("stock", [False, True], ids=["onehop", "stock"])
@pytest.mark.parametrize("send", REQUESTS.values(), ids=REQUESTS)
def test_answers_are_the_same(send, stock):
    """Each answer is that of Django's ``AsyncClient``."""

    async def ask():
        ours = AsyncHopClient(application=ASGIHandler() if stock else None)
        return await seen(await send(AsyncClient())), await seen(await send(ours))

    expected, found = asyncio.run(ask())

    assert found == expected


def test_a_path_beyond_ascii():
    """The path arrives as a server would send it; Django's ``AsyncRequestFactory`` garbles it."""

    async def ask():
        return await AsyncHopClient().get("/écho/Zo%C3%AB/")

    assert asyncio.run(ask()).text == "/écho/Zoë/ Zoë"


def test_the_scope_is_that_of_a_server():
    """Types and encodings are those of the ASGI specification."""
    scopes = []

    async def application(scope, receive, send):
        scopes.append(scope)
        await send({"type": START, "status": 204})
        await send({"type": BODY, "body": b"dropped"})

    client = AsyncHopClient(application=application)
    response = asyncio.run(client.get("/a%2Fb/ü/?q=%20ü", secure=True))

    assert response.content == b""
    assert scopes == [
        {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "https",
            "path": "/a/b/ü/",
            "raw_path": b"/a%2Fb/%C3%BC/",
            "query_string": "q=%20ü".encode(),
            "root_path": "",
            "headers": [(b"host", b"testserver")],
            "client": ("127.0.0.1", 0),
            "server": ("127.0.0.1", 443),
        }
    ]


@pytest.mark.parametrize("stream", [False, True])
def test_the_page_of_an_error(stream):
    """Without ``raise_request_exception`` the test sees the whole page, and the exception beside it."""

    async def ask():
        return await AsyncHopClient(raise_request_exception=False).get("/abroken/", stream=stream)

    response = asyncio.run(ask())

    assert (response.status_code, str(response.exc_info[1])) == (500, "broken")
    assert b"Server Error" in response.content
    assert pool.drain(10)


class TransactionTests(TestCase):
    """An ``async def`` test of a ``TestCase`` shares its transaction with views."""

    async_client_class = AsyncHopClient

    async def test_views_see_the_rows_of_the_transaction(self):
        await Group.objects.acreate(name="of the test")

        for url in ("/groups/", "/agroups/"):
            assert (await self.async_client.get(url)).json() == ["of the test"]

    async def test_the_test_sees_the_rows_of_a_view(self):
        assert (await self.async_client.get("/make-group/")).status_code == 201

        assert await Group.objects.aget() == await Group.objects.aget(name="made by the view")

    async def test_login(self):
        zoe = await get_user_model().objects.acreate_user("Zoë")
        await self.async_client.aforce_login(zoe)

        response = await self.async_client.get("/awhoami/")

        assert response.text == "Zoë"
        assert await response.asgi_request.auser() == zoe

    async def test_hops(self):
        await self.async_client.get("/sync-hello/")

        hops = [(await self.async_client.get(url)).hops for url in ("/hello/", "/sync-hello/")]

        assert hops == [0, 1]

    async def test_an_exception_is_raised(self):
        for stream in (False, True):
            with self.assertRaisesMessage(ValueError, "broken"):
                await self.async_client.get("/abroken/", stream=stream)

    async def test_csrf(self):
        assert (await self.async_client.post("/echo/", {"a": "1"})).status_code == 200
        assert (await AsyncHopClient(enforce_csrf_checks=True).post("/echo/", {"a": "1"})).status_code == 403


@pytest.fixture
def finished():
    """Record every ``request_finished``, and wait for the threads of the requests at the end."""
    count = []

    async def receiver(**_):
        count.append(1)

    request_finished.connect(receiver)
    yield count
    request_finished.disconnect(receiver)
    assert pool.drain(10)


def test_two_events_of_an_endless_stream(finished):
    """Events are read as they arrive; leaving closes the request once."""
    record.clear()

    async def ask():
        async with await AsyncHopClient().get("/events/", stream=True) as response:
            events = [await anext(response.streaming_content) for _ in range(2)]
            with pytest.raises(TypeError, match="async for"):
                next(response.streaming_content)
        return response, events

    response, events = asyncio.run(ask())

    assert events == [b"data: 1\n\n", b"data: 2\n\n"]
    assert [message["type"] for message in response.messages] == [START, BODY, BODY]
    assert (finished, response.disconnected) == ([1], True)
    assert record in (["CancelledError"], ["GeneratorExit"])


def test_a_stream_read_to_its_end_is_complete(finished):
    """The end of the iterator is the end of the request."""

    async def ask():
        response = await AsyncHopClient().get("/async-stream/", stream=True)
        return [item async for item in response], response.disconnected

    assert asyncio.run(ask()) == ([b"one ", "zwölf ".encode(), b"three"], False)
    assert finished == [1]


def test_reading_may_time_out(finished):
    """An event that did not come in time is read later."""
    go_on = asyncio.Event()

    async def application(scope, receive, send):
        await send({"type": START, "status": 200})
        await go_on.wait()
        await send({"type": BODY, "body": b"late"})

    async def ask():
        response = await AsyncHopClient(application=application).get("/", stream=True)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await anext(response.streaming_content)
        go_on.set()
        return [item async for item in response.streaming_content]

    assert asyncio.run(ask()) == [b"late"]


def test_an_error_in_a_stream_is_raised_once():
    """After the error the stream is over."""

    async def ask():
        response = await AsyncHopClient().get("/fails-later/", stream=True)
        items = [await anext(response.streaming_content)]
        with pytest.raises(ValueError, match="too late"):
            await anext(response.streaming_content)
        return items + [item async for item in response.streaming_content]

    assert asyncio.run(ask()) == [b"one"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_cancelled_test_takes_its_request_along(finished, stream):
    """A request does not outlive the test that waits for it."""
    record.clear()

    async def ask():
        client = AsyncHopClient()
        await client.get("/hello/")
        finished.clear()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await client.get("/sleepy/", stream=stream)
        while not (record and finished):
            await asyncio.sleep(0.001)

    asyncio.run(asyncio.wait_for(ask(), 10))

    assert (record, finished) == (["cancelled"], [1])


def test_a_disconnect_before_the_response(finished):
    """The view is cancelled once, and the client has got nothing."""
    record.clear()

    async def ask():
        return await AsyncHopClient().get("/sleepy/", disconnect_after=0.3)

    response = asyncio.run(ask())

    assert (record, finished) == (["cancelled"], [1])
    assert (response.status_code, response.messages, response.disconnected) == (499, [], True)


def test_concurrent_requests_count_apart():
    """Requests of one client on one loop have their own options, hops and streams."""

    async def ask():
        client = AsyncHopClient()
        await client.get("/sync-hello/")
        urls = ["/hello/", "/sync-hello/"] * 10
        answers = await asyncio.gather(*(client.get(url, stream=index % 3 == 0) for index, url in enumerate(urls)))
        for response in answers:
            await response.aclose()
        return [response.streaming for response in answers], [response.hops for response in answers]

    streaming, hops = asyncio.run(ask())

    assert streaming == [index % 3 == 0 for index in range(20)]
    assert hops == [0, 1] * 10
    assert pool.drain(10)


def test_what_outlives_a_request_does_not_count():
    """``hops`` stands still when the application has returned."""
    tasks = []
    go_on = asyncio.Event()

    async def hop_late():
        await go_on.wait()
        await sync_to_async(int)()

    async def application(scope, receive, send):
        tasks.append(asyncio.create_task(hop_late()))
        await send({"type": START, "status": 200})
        await send({"type": BODY})

    async def ask():
        response = await AsyncHopClient(application=application).get("/", stream=True)
        await response.aclose()
        before = response.hops
        go_on.set()
        with watching:  # as if another request were open
            await asyncio.gather(*tasks)
        return before, response.hops

    before, after = asyncio.run(ask())

    assert before == after


def test_a_sync_view_has_a_thread_of_its_own():
    """Without an ``async_to_sync`` above, the application runs as on a server."""

    async def ask():
        return (await AsyncHopClient().get("/thread/")).json()

    thread, in_transaction = asyncio.run(ask())

    assert (thread != threading.get_ident(), in_transaction) == (True, False)
    assert pool.drain(10)
