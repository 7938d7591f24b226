"""A plain file is left to granian, which offers to send it; the answers stay those of stock Django."""

import json

import pytest

FILE_BYTES = 3_000_000
PATHSEND, BODY = "http.response.pathsend", "http.response.body"


@pytest.fixture(scope="module")
def servers(serve):
    """Start granian on Onehop and on stock Django, with files of the same bytes."""
    started = [serve("granian", app="counting", size=FILE_BYTES, stock=stock) for stock in (False, True)]
    for served in started:
        with open(served.file, "r+b") as file:
            file.write(b"the beginning")
            file.seek(FILE_BYTES - 7)
            file.write(b"the end")
        served.wait()
    return started


def transport(server):
    """Return what the server offers, and how many messages it was sent for each path."""
    return json.loads(server.fetch("/transport/")[2])


def test_a_plain_file_is_sent_by_the_server(servers):
    """One message with the path takes the place of all messages with bytes; stock Django sends the bytes."""
    sent = []
    for server in servers:
        status, _, body = server.fetch("/stock-file/")
        assert (status, body) == (200, server.file.read_bytes())
        found = transport(server)
        assert PATHSEND in found["offers"]
        sent.append(found["messages"]["/stock-file/"])

    assert sent[0] == {"http.response.start": 1, PATHSEND: 1}
    assert PATHSEND not in sent[1] and sent[1][BODY] >= FILE_BYTES // 2**16


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", {}),
        ("HEAD", {}),
        ("GET", {"Range": "bytes=0-9"}),
        ("GET", {"Range": "bytes=-7"}),
        ("GET", {"Range": "bytes=9999999-"}),
        ("GET", {"If-Modified-Since": "Wed, 01 Jan 2200 00:00:00 GMT"}),
    ],
    ids=str,
)
def test_answers_with_a_file_equal_stock_djangos(servers, method, headers):
    """Status, headers and bytes are the same, whatever is asked of the file."""
    answers = [server.fetch("/stock-file/", method, headers=headers) for server in servers]

    assert answers[0] == answers[1]
    assert answers[0][0] == 200
    assert len(answers[0][2]) == (0 if method == "HEAD" else FILE_BYTES)
