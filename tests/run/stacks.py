"""Middleware of every kind, by the lane on which it may run."""

import threading

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.utils.decorators import sync_and_async_middleware
from django.utils.deprecation import MiddlewareMixin

from onehop import runs_anywhere

HERE = __name__

S1 = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "django.middleware.gzip.GZipMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    f"{HERE}.ApiLoggerMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]


class ApiLoggerMiddleware:
    """The home-made middleware of the question, with its state on ``self``."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        self.request_time = threading.get_ident()
        request.headers.get("User-Agent", "")
        request.body.decode("utf-8", "replace")
        response = self.get_response(request)
        self.response_time = threading.get_ident()
        return response


class Around:
    """What every kind below does on the way in and on the way out; the tests put functions in its place."""

    before = staticmethod(lambda name, request: None)
    after = staticmethod(lambda name, request, response: None)


class Hooks(MiddlewareMixin):
    """Hooks that nobody has declared: they run on the request thread."""

    name = "Hooks"

    def process_request(self, request):
        Around.before(self.name, request)

    def process_response(self, request, response):
        Around.after(self.name, request, response)
        return response


class SyncHooks(Hooks):
    """The same hooks, sync-only: called as a whole on the request thread."""

    name = "SyncHooks"
    async_capable = False


class Asks(MiddlewareMixin):
    """A hook on the way in, which runs on the request thread, and none on the way out."""

    def process_request(self, request):
        pass


@runs_anywhere
class Observes(MiddlewareMixin):
    """Two sync-only hooks that have no place: stock Django calls all that it can in sync mode outside of it."""

    async_capable = False

    def process_request(self, request):
        pass

    def process_response(self, request, response):
        return response


@runs_anywhere
class DeclaredHooks(MiddlewareMixin):
    """The same hooks, declared: they run where the request is."""

    name = "DeclaredHooks"
    process_request = Hooks.process_request
    process_response = Hooks.process_response


class Classic:
    """A classic wrapper that nobody has declared: it runs on the request thread."""

    name = "Classic"
    sync_capable, async_capable = True, False

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        Around.before(self.name, request)
        response = self.get_response(request)
        Around.after(self.name, request, response)
        return response


@runs_anywhere
class DeclaredClassic:
    """A classic wrapper, declared: called on the thread, or in a greenlet on the loop."""

    name = "DeclaredClassic"
    sync_capable, async_capable = True, False
    __init__ = Classic.__init__
    __call__ = Classic.__call__


class Async:
    """An async wrapper: it runs on the loop."""

    name = "Async"
    sync_capable, async_capable = False, True

    def __init__(self, get_response):
        self.get_response = get_response
        markcoroutinefunction(self)

    async def __call__(self, request):
        Around.before(self.name, request)
        response = await self.get_response(request)
        Around.after(self.name, request, response)
        return response


@sync_and_async_middleware
def hybrid(get_response):
    """A wrapper that can be either."""
    if iscoroutinefunction(get_response):

        async def middleware(request):
            Around.before("hybrid", request)
            response = await get_response(request)
            Around.after("hybrid", request, response)
            return response

    else:

        def middleware(request):
            Around.before("hybrid", request)
            response = get_response(request)
            Around.after("hybrid", request, response)
            return response

    return middleware


KINDS = ["Hooks", "DeclaredHooks", "Classic", "DeclaredClassic", "Async", "hybrid"]


def paths(*names):
    """Return the dotted paths of middleware of this module."""
    return [f"{HERE}.{name}" for name in names]
