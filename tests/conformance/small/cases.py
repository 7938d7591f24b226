"""Cases of each kind of outcome, and cases that show what a mode is."""

import os
import sys
from pathlib import Path

from asgiref.sync import async_to_sync, iscoroutinefunction
from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.core.handlers.wsgi import WSGIRequest
from django.http import FileResponse, HttpResponse, JsonResponse, StreamingHttpResponse
from django.test import AsyncClient, SimpleTestCase
from django.urls import path

ON_STOCK = os.environ["CONFORMANCE_SIDE"] == "stock"
MODE = os.environ["CONFORMANCE_MODE"]


def echo(request):
    response = JsonResponse({"body": len(request.body), "user": request.META.get("REMOTE_USER"), "path": request.path})
    response.set_cookie("crumb", "1")
    return response


def stream(request):
    return StreamingHttpResponse(iter([b"a", b"b"]))


async def async_stream(request):
    async def letters():
        for letter in b"a", b"b":
            yield letter

    return StreamingHttpResponse(letters())


def file(request):
    return FileResponse(open(__file__, "rb"))


def broken(request):
    raise LookupError("broken")


urlpatterns = [
    path("écho/", echo),
    path("stream/", stream),
    path("async-stream/", async_stream),
    path("file/", file),
    path("broken/", broken),
]


class Kinds(SimpleTestCase):
    def setUp(self):
        self.client.get("/écho/")

    def test_both_pass(self):
        pass

    def test_both_skip(self):
        self.skipTest("as they should")

    def test_both_fail(self):
        self.addCleanup(self.skipTest, "too late")
        self.fail("the same")

    def test_both_fail_otherwise(self):
        self.assertEqual(404 if ON_STOCK else 500, 200)

    def test_only_stock_passes(self):
        for number in range(2):
            with self.subTest(number=number):
                self.assertTrue(ON_STOCK or number == 0)

    def test_only_onehop_passes(self):
        self.assertFalse(ON_STOCK)

    def test_only_the_second_run_passes(self):
        seen = Path(os.environ["SEEN"])
        if not (ON_STOCK or seen.exists()):
            seen.touch()
            self.fail("the first time")


class FailingSetUp(SimpleTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not ON_STOCK:
            cls.tearDownClass()
            raise LookupError("set-up")

    def test_after_set_up(self):
        self.client.get("/écho/")


class Left(SimpleTestCase):
    found = False

    def test_1_leaves_something(self):
        type(self).found = not ON_STOCK

    def test_2_finds_nothing(self):
        self.assertFalse(self.found)


class Quiet(SimpleTestCase):
    def test_without_a_request(self):
        pass


class Requests(SimpleTestCase):
    def test_stock_is_free_of_onehop(self):
        self.assertEqual("onehop" in sys.modules, not ON_STOCK)

    def test_what_is_made_of_a_request(self):
        response = self.client.get("/écho/")
        self.assertIs(type(response.wsgi_request), ASGIRequest if MODE == "C" else WSGIRequest)
        self.assertIs(type(response), JsonResponse)
        self.assertEqual(response.json(), {"body": 0, "user": None, "path": "/écho/"})

    def test_the_chain_is_async_but_in_mode_a(self):
        self.client.get("/écho/")
        self.assertEqual(iscoroutinefunction(self.client.handler._middleware_chain), MODE != "A")

    def test_uploads_cookies_and_variables_without_a_header(self):
        response = self.client.post("/écho/", b"x" * 200_000, content_type="text/plain", REMOTE_USER="ada")
        self.assertEqual(response.json(), {"body": 200_000, "user": "ada", "path": "/écho/"})
        self.assertEqual(self.client.cookies["crumb"].value, "1")

    def test_csrf_is_enforced_on_demand(self):
        self.assertEqual(self.client.post("/écho/").status_code, 200)
        self.assertEqual(self.client_class(enforce_csrf_checks=True).post("/écho/").status_code, 403)

    def test_streams_arrive(self):
        self.assertEqual(self.client.get("/stream/").getvalue(), b"ab")
        self.assertEqual(b"".join(self.client.get("/file/").streaming_content), Path(__file__).read_bytes())

    def test_async_streams_arrive(self):
        async def read():
            response = await AsyncClient().get("/async-stream/")
            self.assertIs(type(response.asgi_request), ASGIRequest)
            return [part async for part in response]

        self.assertEqual(async_to_sync(read)(), [b"a", b"b"])

    def test_a_head_has_no_body(self):
        self.assertEqual(self.client.head("/écho/").content, b"")

    def test_exceptions_are_raised(self):
        with self.assertRaisesMessage(LookupError, "broken"):
            self.client.get("/broken/")

    def test_what_was_sent_is_what_the_response_says(self):
        if MODE != "C":
            self.skipTest("Nothing is sent.")

        async def send_response(self, response, send):
            await stock(self, HttpResponse("something else"), send)

        stock, ASGIHandler.send_response = ASGIHandler.send_response, send_response
        try:
            with self.assertRaisesMessage(RuntimeError, "was sent as"):
                self.client.get("/écho/")
        finally:
            ASGIHandler.send_response = stock
