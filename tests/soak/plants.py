"""Leaks to plant, one for each law: ``SOAK_PLANTS`` names those that each call of the site's async view makes."""

import asyncio
import os
import tempfile
from pathlib import Path

from django.core import signals
from django.http import HttpResponse

from onehop.run.greenlets import WrapperGreenlet
from onehop.run.lease import Lease
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
    "a task": _task,
    "a greenlet": _greenlet,
    "a request": _request,
    "an answer": _answer,
    "a coroutine": _coroutine,
}
