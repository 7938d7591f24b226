"""Tests as a project has them: Django's ``AsyncClient`` and ``Client``, and services that really answer."""

import asyncio
import json

import upstream
from aggregation.lifespan import lifespan
from django.test import AsyncRequestFactory, SimpleTestCase, override_settings

from shop.figures import figures
from shop.live import stream
from shop.services import SERVICES
from shop.views import async_view

TIMING = r"^total;dur=\d+\.\d$"
SLOWEST_MS, SUM_MS = max(upstream.DELAYS_MS.values()), sum(upstream.DELAYS_MS.values())


class AggregationTests(SimpleTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        url = cls.enterClassContext(upstream.running())
        cls.enterClassContext(override_settings(UPSTREAM=url))

    def check(self, response, at_least_ms):
        self.assertEqual(response.status_code, 200)
        self.assertEqual(list(response.json()["answers"]), list(SERVICES))
        self.assertGreaterEqual(response.json()["took_ms"], at_least_ms - 5)
        self.assertRegex(response["Server-Timing"], TIMING)

    async def test_async_view(self):
        self.check(await self.async_client.get("/async/"), SLOWEST_MS)

    async def test_async_view_asks_with_the_client_of_the_lifespan(self):
        asked = []

        async def note(request):
            asked.append(request.url.path.strip("/"))

        async with lifespan() as state:
            state["client"].event_hooks = {"request": [note]}
            request = AsyncRequestFactory().get("/async/")
            request.scope["state"] = state
            await async_view(request)
        self.assertCountEqual(asked, SERVICES)
        self.assertTrue(state["client"].is_closed)

    async def test_sync_view(self):
        self.check(await self.async_client.get("/sync/"), SUM_MS)

    async def test_pool_view(self):
        self.check(await self.async_client.get("/pool/"), SLOWEST_MS)

    async def test_views_run_side_by_side(self):
        requests = asyncio.gather(*(self.async_client.get("/async/") for _ in range(3)))
        await asyncio.sleep(SLOWEST_MS / 2000)
        in_flight = figures.read()["in_flight"]
        await requests
        self.assertEqual((in_flight, figures.read()["in_flight"]), (3, 0))


class LiveTests(SimpleTestCase):
    async def test_page(self):
        response = await self.async_client.get("/live/")
        self.assertContains(response, "<title>Live figures")

    def test_page_under_wsgi_is_timed_too(self):
        self.assertRegex(self.client.get("/live/")["Server-Timing"], TIMING)

    async def test_events(self):
        response = await self.async_client.get("/live/events/")
        self.assertEqual(response["Content-Type"], "text/event-stream")
        events = aiter(response)
        event = await anext(events)
        self.assertTrue(event.startswith(b"data: ") and event.endswith(b"\n\n"))
        self.assertEqual(json.loads(event.removeprefix(b"data: "))["viewers"], 1)

    async def test_stream_that_is_left_lowers_the_viewers(self):
        events = stream()
        await anext(events)
        viewers = figures.viewers
        await events.aclose()
        self.assertEqual(figures.viewers, viewers - 1)

    async def test_stream_ends_with_the_server(self):
        events = stream()
        await anext(events)
        figures.closing = True
        self.addCleanup(setattr, figures, "closing", False)
        self.assertEqual([event async for event in events], [])
