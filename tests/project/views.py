"""Views named by what they do. ``/sync/<name>/`` and ``/async/<name>/`` reach those of the parity tests."""

from django.http import HttpResponse


def sync_view(request):
    return HttpResponse("sync")


async def async_view(request):
    return HttpResponse("async")


def by_name(request, mode, name):
    raise NotImplementedError("replaced by the parity tests")
