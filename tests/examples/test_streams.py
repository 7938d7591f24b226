"""Five hundred browsers look at once, and no thread starts for them."""

import asyncio
import json

from tests.examples.conftest import PATIENCE_S, example, wait_until

VIEWERS = 500
GET = b"GET /live/events/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


async def look(port, opened, everybody):
    """Open a stream; return its connection, and its events until two have come after everybody's first."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(GET)
    assert (await reader.readline()).split()[1] == b"200"
    events = [await next_event(reader)]
    opened.append(None)
    if len(opened) == VIEWERS:
        everybody.set()
    waiting = asyncio.create_task(everybody.wait())
    while not waiting.done():
        events.append(await next_event(reader))
    return writer, [*events, await next_event(reader), await next_event(reader)]


async def next_event(reader):
    """Return the next event of a stream."""
    while not (line := await reader.readline()).startswith(b"data: "):
        assert line, "the stream has ended"
    return json.loads(line.removeprefix(b"data: "))


async def look_all(port):
    """Return the events of each viewer; all have gone then."""
    opened, everybody = [], asyncio.Event()
    async with asyncio.timeout(PATIENCE_S):
        seen = await asyncio.gather(*(look(port, opened, everybody) for _ in range(VIEWERS)))
        for writer, _ in seen:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer, _ in seen))
    return [events for _, events in seen]


def test_five_hundred_streams_need_one_thread():
    with example() as running:
        running.figures()
        before = running.figures()  # the first request has loaded the URLs, on a thread
        seen = asyncio.run(look_all(running.port))
        wait_until(lambda: running.figures()["viewers"] == 0, "the end of all streams")
        after = running.figures()

    assert len(seen) == VIEWERS
    assert min(map(len, seen)) >= 3
    assert [events[-1]["viewers"] for events in seen] == [VIEWERS] * VIEWERS
    assert max(event["threads"] for events in seen for event in events) <= 2
    assert (after["hops"], after["threads_started"]) == (before["hops"], before["threads_started"])
