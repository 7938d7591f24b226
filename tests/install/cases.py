"""
A project's tests, with Django's own clients. ``test_install`` runs them on stock Django and with ``install()``.

What differs between the two is asserted through ``INSTALLED``; all else must hold in both.
"""

import asyncio
import os
import threading
import urllib.request

from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import User
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler, StaticFilesHandler
from django.contrib.staticfiles.testing import StaticLiveServerTestCase
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.test import AsyncRequestFactory, RequestFactory, SimpleTestCase, TestCase
from django.urls import path

from tests.asgi import counting, get

INSTALLED = os.environ["INSTALL"] == "yes"


def where():
    return {"thread": threading.get_ident(), "users": User.objects.count(), "name": threading.current_thread().name}


def sync_view(request):
    return JsonResponse(where())


async def async_view(request):
    found = await sync_to_async(where)()
    return JsonResponse({**found, "count": await User.objects.acount(), "loop": threading.current_thread().name})


async def quiet_view(request):
    return HttpResponse("quiet")


async def stream_view(request):
    async def items():
        for number in range(3):
            yield b"%d" % await sync_to_async(User.objects.count)() + b"-%d " % number

    return StreamingHttpResponse(items())


def broken_view(request):
    raise LookupError("broken")


urlpatterns = [
    path("sync/", sync_view),
    path("async/", async_view),
    path("quiet/", quiet_view),
    path("stream/", stream_view),
    path("broken/", broken_view),
]


class ClientTests(TestCase):
    """Rows of the test's open transaction are seen: all blocking work is done on the test's thread."""

    def setUp(self):
        User.objects.create_user("ada", password="lovelace")

    def test_sync_view(self):
        assert self.client.get("/sync/").json()["thread"] == threading.get_ident()
        assert self.client.get("/sync/").json()["users"] == 1

    def test_async_view(self):
        answer = self.client.get("/async/").json()
        assert (answer["thread"], answer["users"], answer["count"]) == (threading.get_ident(), 1, 1)
        assert (answer["loop"] == "onehop-loop") == INSTALLED

    def test_no_thread_is_started_for_each_call(self):
        self.client.get("/async/")
        with counting() as counts:
            for _ in range(3):
                self.client.get("/async/")
        assert counts["threads"] == (0 if INSTALLED else 3)

    def test_login(self):
        assert self.client.login(username="ada", password="lovelace")
        assert self.client.session["_auth_user_id"]

    def test_error(self):
        with self.assertRaisesMessage(LookupError, "broken"):
            self.client.get("/broken/")
        self.client.raise_request_exception = False
        assert self.client.get("/broken/").status_code == 500

    def test_sender_of_signals(self):
        senders = []

        def note(sender, **_):
            senders.append(getattr(sender, "__name__", None))

        request_started.connect(note)
        request_finished.connect(note)
        try:
            self.client.get("/sync/")
            async_to_sync(self.async_client.get)("/quiet/")
        finally:
            request_started.disconnect(note)
            request_finished.disconnect(note)
        assert senders == ["ClientHandler", None, "AsyncClientHandler", None]

    async def test_async_client(self):
        answer = (await self.async_client.get("/async/")).json()
        assert (answer["users"], answer["count"]) == (1, 1)
        assert answer["thread"] == await sync_to_async(threading.get_ident)()
        assert (await self.async_client.get("/sync/")).json()["thread"] == answer["thread"]

    async def test_async_client_hops(self):
        await self.async_client.get("/quiet/")
        with counting() as counts:
            await self.async_client.get("/quiet/")
        # The client itself makes one hop, to send request_started.
        assert counts["hops"] == 1 if INSTALLED else counts["hops"] >= 10, counts

    async def test_streaming(self):
        response = await self.async_client.get("/stream/")
        assert b"".join([part async for part in response.streaming_content]) == b"1-0 1-1 1-2 "


class FactoryTests(TestCase):
    """Handlers that a test calls itself, with requests of a factory."""

    def test_sync_handler(self):
        handler = WSGIHandler()
        assert handler.get_response(RequestFactory().get("/async/")).status_code == 200

    async def test_async_handler(self):
        handler = ASGIHandler()
        request = AsyncRequestFactory().get("/quiet/")
        with counting() as counts:
            response = await handler.get_response_async(request)
        assert response.content == b"quiet"
        assert counts["hops"] == 0 if INSTALLED else counts["hops"] >= 10, counts


class ApplicationTests(SimpleTestCase):
    """Django's own applications, and what wraps them."""

    databases = {"default"}

    def test_asgi(self):
        application = ASGIHandler()
        get(application, "/quiet/")
        with counting() as counts:
            assert get(application, "/quiet/").body == b"quiet"
        assert (counts["hops"], counts["threads"]) == (0, 0) if INSTALLED else counts["hops"] >= 14, counts

    def test_asgi_static_files(self):
        application = ASGIStaticFilesHandler(ASGIHandler())
        assert get(application, "/quiet/").body == b"quiet"
        with open(__file__, "rb") as file:
            assert get(application, "/static/cases.py").body == file.read()
        assert get(application, "/static/nothing.txt").status == 404

    def test_lifespan(self):
        async def speak():
            sent = []
            words = iter(["startup", "shutdown"])

            async def receive():
                return {"type": f"lifespan.{next(words)}"}

            async def send(message):
                sent.append(message["type"])

            try:
                await ASGIStaticFilesHandler(ASGIHandler())({"type": "lifespan"}, receive, send)
            except ValueError as error:
                return str(error)
            return sent

        if INSTALLED:
            assert asyncio.run(speak()) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
        else:
            assert "not lifespan" in asyncio.run(speak())

    def test_wsgi_stream(self):
        environ = RequestFactory().get("/stream/").environ
        started = []
        body = WSGIHandler()(environ, lambda *head: started.append(head))
        try:
            if INSTALLED:
                assert not hasattr(body, "streaming")
            else:
                with self.assertWarns(Warning):
                    iter(body)
                return
        finally:
            body.close()

    def test_wsgi_static_files(self):
        environ = RequestFactory().get("/static/cases.py").environ
        body = StaticFilesHandler(WSGIHandler())(environ, lambda *_: None)
        with open(__file__, "rb") as file:
            assert b"".join(body) == file.read()
        body.close()


class LiveTests(StaticLiveServerTestCase):
    def fetch(self, address):
        with urllib.request.urlopen(self.live_server_url + address, timeout=10) as answer:
            return answer.read()

    def test_views(self):
        User.objects.create_user("ada")
        assert b'"users": 1' in self.fetch("/sync/")
        answer = self.fetch("/async/")
        assert b'"users": 1' in answer and b'"count": 1' in answer
        assert (b'"loop": "onehop-loop"' in answer) == INSTALLED
        assert b"LiveTests" in self.fetch("/static/cases.py")
