"""One middleware of each kind; each fails where the query says so, before or after what is inside it."""

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.utils.decorators import async_only_middleware, sync_and_async_middleware
from django.utils.deprecation import MiddlewareMixin


def fail(request, where):
    """Raise if the query asks for it."""
    if request.GET.get("fail") == where:
        raise ValueError(where)


class Hooks(MiddlewareMixin):
    def process_request(self, request):
        fail(request, "process_request")

    def process_response(self, request, response):
        fail(request, "process_response")
        return response


class Classic:
    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        fail(request, "Classic")
        response = self.get_response(request)
        fail(request, "Classic after")
        return response


def classic(get_response):
    def middleware(request):
        fail(request, "classic")
        response = get_response(request)
        fail(request, "classic after")
        return response

    return middleware


class Hybrid:
    sync_capable = async_capable = True

    def __init__(self, get_response):
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request):
        if self.is_async:
            return self.call_async(request)
        fail(request, "Hybrid")
        return self.get_response(request)

    async def call_async(self, request):
        fail(request, "Hybrid")
        return await self.get_response(request)


@sync_and_async_middleware
def hybrid(get_response):
    if iscoroutinefunction(get_response):

        async def middleware(request):
            fail(request, "hybrid")
            response = await get_response(request)
            fail(request, "hybrid after")
            return response

    else:

        def middleware(request):
            fail(request, "hybrid")
            response = get_response(request)
            fail(request, "hybrid after")
            return response

    return middleware


def declared(get_response):
    def middleware(request):
        fail(request, "declared")
        response = get_response(request)
        fail(request, "declared after")
        return response

    return middleware


@async_only_middleware
def asynchronous(get_response):
    async def middleware(request):
        fail(request, "asynchronous")
        response = await get_response(request)
        fail(request, "asynchronous after")
        return response

    return middleware


class AfterAsync(Classic):
    def __call__(self, request):
        fail(request, "AfterAsync")
        return super().__call__(request)


class Views(MiddlewareMixin):
    def process_view(self, request, view, arguments, keywords):
        fail(request, "process_view")

    def process_template_response(self, request, response):
        fail(request, "process_template_response")
        return response

    def process_exception(self, request, error):
        fail(request, "process_exception")


class InnerDeclared:
    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        fail(request, "InnerDeclared")
        return self.get_response(request)
