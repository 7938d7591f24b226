"""Send the same requests to both servers and compare status, headers, cookies and body."""

from __future__ import annotations

import gzip
import http.client
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate
from http.cookies import SimpleCookie

from onehop.demo.nouns import Answers

TIMEOUT_S = 15.0
RANDOM_COOKIES = ("csrftoken", "sessionid")
TIMES = ("date", "expires")


@dataclass(frozen=True, slots=True)
class Question:
    """One request to send to both."""

    path: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.path}" + (" with gzip" if "Accept-Encoding" in self.headers else "")


GZIP = {"Accept-Encoding": "gzip"}
QUESTIONS = (
    Question("/sync/"),
    Question("/async/"),
    Question("/async-io/"),
    Question("/aggregate/"),
    Question("/aggregate-sync/"),
    Question("/cookies/"),
    Question("/long/"),
    Question("/long/", headers=GZIP),
    Question("/sync", headers={"Origin": "http://elsewhere.example"}),
    Question("/sync/", "HEAD"),
    Question("/async/", "OPTIONS", {"Origin": "http://elsewhere.example", "Access-Control-Request-Method": "PUT"}),
    Question("/async/", "POST", body=b"a form without its CSRF token"),
    Question("/admin/"),
    Question("/missing/"),
    Question("/error/"),
)
"""Views that answer, redirect, refuse, are not there and fail."""


def compare(stack: str, ports: Mapping[str, int], answers: Answers) -> None:
    """Send ``QUESTIONS`` to both ports and note in ``answers`` what differs and what was ignored."""
    for question in QUESTIONS:
        stock, onehop = (_ask(question, ports[way], answers) for way in ("stock", "onehop"))
        answers.compared += 1
        for part, expected in stock.items():
            if (got := onehop[part]) != expected:
                where = f"{stack} {question}: {part}"
                answers.differences.append(f"{where}: stock {_short(expected)}, onehop {_short(got)}")


def _ask(question: Question, port: int, answers: Answers) -> dict[str, object]:
    """Return what must be the same: status, headers, cookies and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request(question.method, question.path, question.body, dict(question.headers))
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    names_and_values = [(name.lower(), value) for name, value in response.getheaders()]
    zipped = ("content-encoding", "gzip") in names_and_values
    if zipped:
        body = gzip.decompress(body)
        answers.ignore("length of gzip bodies, which Django pads at random (the unpacked bodies are compared)")
    cookies = [value for name, value in names_and_values if name == "set-cookie"]
    return {
        "status": (response.status, response.reason),
        "headers": [_header(name, value, zipped, answers) for name, value in names_and_values if name != "set-cookie"],
        "cookies": [_cookie(value, answers) for value in cookies],
        "body": body,
    }


def _header(name: str, value: str, zipped: bool, answers: Answers) -> tuple[str, str]:
    """Return the header to compare, its value left out if it varies by nature."""
    if name in TIMES and parsedate(value):
        answers.ignore(f"value of the {name.title()} header")
        return name, "…"
    if name == "content-length" and zipped:
        return name, "…"
    return name, value


def _cookie(text: str, answers: Answers) -> list[tuple[str, str, dict[str, str]]]:
    """Return name, value and attributes of the cookie, without what is random or a time."""
    compared = []
    for name, morsel in SimpleCookie(text).items():
        attributes = {key: str(value) for key, value in morsel.items() if value}
        if attributes.pop("expires", None):
            answers.ignore("expiry time of cookies (their Max-Age is compared)")
        value = morsel.value
        if name in RANDOM_COOKIES:
            answers.ignore(f"random value of the cookie {name}")
            value = "…"
        compared.append((name, value, attributes))
    return compared


def _short(value: object) -> str:
    """Return a representation of at most some 300 characters."""
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:297]}…"
