"""A big upload to a view behind the default middleware: no write and no parsing on the loop, and all bytes arrive."""

import json
import random
from hashlib import sha256

import pytest

from tests.transport.conftest import LONG, answer_of

BODY = random.Random(1).randbytes(50_000_000 if LONG else 12_000_000)
DIGEST = sha256(BODY).hexdigest()
BOUNDARY = "----------boundary"
DISK_S = 0.4
"""How long the site's disk keeps each kind of writer waiting, once."""


@pytest.fixture(scope="module")
def server(serve):
    """Start a server whose disk is slow."""
    served = serve("uvicorn", slow_disk=True)
    served.wait()
    return served


def post(server, path, body, headers=""):
    """Send a body while the loop's lag is measured; return the answer, and what was seen meanwhile."""
    server.fetch("/lag/")
    with server.ask(path, method="POST", body=body, headers=headers) as client, answer_of(client) as answer:
        received = answer.status, answer.read().decode()
    seen = json.loads(server.fetch("/lag/")[2])
    print(f"{len(body)} bytes: {seen}")
    return received, seen


def test_bug_15_a_raw_body_is_not_written_on_the_loop(server):
    """The disk keeps a thread waiting."""
    received, seen = post(server, "/upload/", BODY)

    assert received == (200, DIGEST)
    assert seen["writers"] == ["body on a thread"]
    assert seen["worst_s"] < DISK_S


def test_a_form_with_a_file_is_neither_written_nor_parsed_on_the_loop(server):
    """It is the CSRF middleware that has it parsed."""
    with server.ask("/form/") as client, answer_of(client) as answer:
        cookie, token = answer.getheader("Set-Cookie").split(";")[0], answer.read().decode()
    disposition = "Content-Disposition: form-data; name="
    parts = (
        f'--{BOUNDARY}\r\n{disposition}"csrfmiddlewaretoken"\r\n\r\n{token}\r\n'
        f'--{BOUNDARY}\r\n{disposition}"field"\r\n\r\nvalue\r\n'
        f'--{BOUNDARY}\r\n{disposition}"file"; filename="file.bin"\r\nContent-Type: application/octet-stream\r\n\r\n'
    )
    body = parts.encode() + BODY + f"\r\n--{BOUNDARY}--\r\n".encode()
    headers = f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nCookie: {cookie}\r\n"

    received, seen = post(server, "/form/", body, headers)

    assert received == (200, f"value {DIGEST}")
    assert seen["writers"] == ["body on a thread", "upload on a thread"]
    assert seen["worst_s"] < DISK_S
