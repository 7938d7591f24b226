"""The body file is closed when reading the body fails, also when the request is cancelled meanwhile."""

import asyncio
import errno
import io
import tempfile

import pytest
from django.test import override_settings

from onehop.handler import OnehopASGIHandler
from tests.asgi import scope_of
from tests.faults.scene import keeping
from tests.run.drive import Gate, run

PIECE = {"type": "http.request", "body": b"x" * 1000, "more_body": True}


class FullDisk(io.BytesIO):
    """A file that takes some writes; the next waits at a gate and fails, and so does ``close``, as a buffered one."""

    gate, takes = None, 0

    def write(self, data):
        if self.takes:
            self.takes -= 1
            return super().write(data)
        self.gate.wait()
        raise OSError(errno.ENOSPC, "the disk is full")

    def close(self):
        if not self.closed:
            super().close()
            raise OSError(errno.ENOSPC, "the disk is still full")


@pytest.fixture
def spools(monkeypatch):
    """All body files of a test, with a full disk below them."""
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda *_, **__: FullDisk())
    monkeypatch.setattr(FullDisk, "gate", Gate())
    made = []
    with override_settings(FILE_UPLOAD_MAX_MEMORY_SIZE=10), keeping(made):
        yield made


def upload(piece=PIECE):
    async def receive():
        return piece

    return OnehopASGIHandler()(scope_of("/", "POST"), receive, None)


async def cancelled_upload():
    task = asyncio.create_task(upload())
    await FullDisk.gate.reached()
    task.cancel()
    await asyncio.sleep(0)
    FullDisk.gate.open()
    await task


@pytest.mark.parametrize("takes", [0, 1], ids=["becoming a file", "being one"])
def test_a_write_that_fails_behind_a_cancellation_closes_the_file(spools, monkeypatch, takes):
    """On the request thread, or on one of Django's; the cancellation is what comes through."""
    monkeypatch.setattr(FullDisk, "takes", takes)
    with pytest.raises(asyncio.CancelledError):
        run(cancelled_upload())

    assert [spool.closed for spool in spools] == [True]


@pytest.mark.parametrize("piece", [PIECE, {**PIECE, "more_body": False}], ids=["a piece", "all"])
def test_an_error_in_closing_does_not_hide_the_one_before(spools, piece):
    FullDisk.gate.open()
    with pytest.raises(OSError, match="the disk is full"):
        run(upload(piece))

    assert [spool.closed for spool in spools] == [True]
