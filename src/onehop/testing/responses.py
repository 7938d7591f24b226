"""Make a response of what an application has sent."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse, StreamingHttpResponse

from onehop.testing.bodies import Bodies

CLIENT_CLOSED_REQUEST = 499
"""The status of a response of which nothing was sent before the client hung up, as in nginx's logs."""


class Answer:
    """What a response of our clients has beyond one of Django's."""

    _bodies: Bodies

    @property
    def hops(self) -> int:
        """The number of hops that the request has made or caused up to now."""
        return len(self._bodies.exchange.hops)

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The ASGI messages that were sent up to now, in order."""
        return self._bodies.exchange.messages

    @property
    def disconnected(self) -> bool:
        """Whether the client hung up before the response was complete."""
        return self._bodies.exchange.disconnected

    @property
    def url(self) -> str:
        """Where a redirect leads. Source: Django 6.1, ``HttpResponseRedirectBase.url``."""
        try:
            return self["Location"]  # type: ignore[index, no-any-return]
        except KeyError:
            raise AttributeError("This response has no Location header.") from None

    def close(self) -> None:
        """Hang up if the response is still arriving. Its ``request_finished`` is the application's to send."""
        self._bodies.close()
        self.closed = True

    async def aclose(self) -> None:
        """Do the same as ``close`` in a coroutine."""
        await self._bodies.aclose()
        self.closed = True

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    async def __aenter__(self) -> Answer:
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.aclose()


class HopResponse(Answer, HttpResponse):
    """A response that has arrived as a whole."""


class HopStreamingResponse(Answer, StreamingHttpResponse):
    """A response that the application streamed, or that is still arriving."""

    streaming_content: Any = ()
    is_async = False


def response_of(bodies: Bodies, *, arriving: bool = False) -> Any:
    """
    Make a response of what the application has sent.

    Args:
        bodies: The bodies of the response.
        arriving: The application has not returned.
    """
    exchange = bodies.exchange
    response: Any
    if arriving or exchange.is_streaming:
        response = HopStreamingResponse()
        response.streaming_content = bodies
    else:
        response = HopResponse(b"".join(exchange.arrived))
    response._bodies = bodies
    response.wsgi_request = response.asgi_request = exchange.request
    response.closed = not arriving
    del response.headers["Content-Type"]
    if exchange.start is None:
        response.status_code = CLIENT_CLOSED_REQUEST
        return response
    response.status_code = exchange.start["status"]
    for raw_name, raw_value in exchange.start.get("headers", ()):
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        if name.lower() == "set-cookie":
            response.cookies.load(value)
        else:
            response[name] = f"{response[name]}, {value}" if name in response else value
    return response
