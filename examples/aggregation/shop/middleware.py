"""A hybrid middleware: Django calls it in the mode of what is inside."""

from asgiref.sync import iscoroutinefunction
from django.utils.decorators import sync_and_async_middleware

from shop.figures import figures


@sync_and_async_middleware
def timing(get_response):
    """Tell in a ``Server-Timing`` header how long each request took, and count it for the live page."""
    if iscoroutinefunction(get_response):

        async def middleware(request):
            with figures.request() as stopwatch:
                response = await get_response(request)
            response["Server-Timing"] = f"total;dur={stopwatch.ms:.1f}"
            return response

    else:

        def middleware(request):
            with figures.request() as stopwatch:
                response = get_response(request)
            response["Server-Timing"] = f"total;dur={stopwatch.ms:.1f}"
            return response

    return middleware
