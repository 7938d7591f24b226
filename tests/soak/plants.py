"""Leaks to plant, at least one for each law: ``SOAK_PLANTS`` names those that a call of the site's async view makes."""

import asyncio
import os
import tempfile
from pathlib import Path

from django.core import signals
from django.http import HttpResponse

from onehop.run.greenlets import WrapperGreenlet
from onehop.run.lease import Lease
from onehop.run.stream import Stream
from onehop.run.threads import pool
from tests.soak.ledger import count

kept = []


def _signal(request):
    signals.request_finished.send(sender=None)


def _response(request):
    HttpResponse()


def _response_twice(request):
    response = HttpResponse()
    response.close()
    response.close()


def _stream(request):
    def rows():
        count("streams entered")
        try:
            yield
        finally:
            count("streams left")

    kept.append(rows())
    next(kept[-1])


def _body(request):
    kept.append(tempfile.SpooledTemporaryFile())  # noqa: SIM115


def _dropped_body(request):
    tempfile.SpooledTemporaryFile()  # noqa: SIM115


def _file(request):
    kept.append(open(Path(os.environ["SOAK_FOLDER"], "file.bin"), "rb"))  # noqa: SIM115


def _lease(request):
    kept.append(Lease())
    kept[-1].submit(int)


class _Waiter:
    """What waits for a thread again as soon as it has given back the one that it was granted."""

    is_urgent = False

    def wait(self):
        if not pool._waiting:
            pool._waiting.append(self)
        asyncio.get_running_loop().call_later(0.02, self.wait)

    def grant(self, thread):
        count("leases taken")
        pool.announce()
        pool.give_back(thread)


def _waiting_lease(request):
    if not pool._waiting:
        _Waiter().wait()


def _call(request):
    count("calls begun")


def _sent_stream(request):
    kept.append(Stream(iter(())))


def _closed_response(request):
    kept.append(HttpResponse())
    kept[-1].close()


def _task(request):
    async def stay():
        await asyncio.Event().wait()

    kept.append(asyncio.create_task(stay()))


def _greenlet(request):
    kept.append(WrapperGreenlet(int))


def _request(request):
    kept.append(request)


def _answer(request):
    query = request.GET.copy()
    query["id"] = "somebody-else"
    request.GET = query


def _coroutine(request):
    asyncio.sleep(0)


PLANTS = {
    "a signal": _signal,
    "a response": _response,
    "a response twice": _response_twice,
    "a stream": _stream,
    "a body": _body,
    "a dropped body": _dropped_body,
    "a file": _file,
    "a lease": _lease,
    "a waiting lease": _waiting_lease,
    "a call": _call,
    "a sent stream": _sent_stream,
    "a closed response": _closed_response,
    "a task": _task,
    "a greenlet": _greenlet,
    "a request": _request,
    "an answer": _answer,
    "a coroutine": _coroutine,
}
