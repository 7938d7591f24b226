"""Make the ASGI scope that a server would make of a request."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlsplit

SAFE = "/:@!$&'()*+,;=~"
CARRIED = {
    *("PATH_INFO", "QUERY_STRING", "REMOTE_ADDR", "REMOTE_PORT", "REQUEST_METHOD"),
    *("SCRIPT_NAME", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL"),
}


def scope_of(environ: dict[str, Any], raw_path: bytes | None = None) -> dict[str, Any]:
    """
    Return the ASGI scope that a server would make of the request that a WSGI environment describes.

    Args:
        environ: The environment that Django's ``RequestFactory`` makes.
        raw_path: The percent-encoded path, without ``SCRIPT_NAME``; without it, that of ``PATH_INFO``.

    Raises:
        TypeError: A key of the environment has no place in a scope.
    """
    headers = []
    for key, value in environ.items():
        if key.startswith("HTTP_") or key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            name = key.removeprefix("HTTP_").replace("_", "-").lower()
            if value or name != "cookie":
                headers.append((name.encode("latin-1"), str(value).encode("latin-1")))
        elif key not in CARRIED and not key.startswith("wsgi."):
            raise TypeError(
                f"{key!r} cannot be sent to an ASGI application: a scope has no place for it. "
                "Send a header (headers=…, or HTTP_… as a keyword), or use Django's own client."
            )
    secure = environ["wsgi.url_scheme"] == "https"
    if "HTTP_HOST" not in environ:
        port = "" if environ["SERVER_PORT"] == ("443" if secure else "80") else f":{environ['SERVER_PORT']}"
        headers.insert(0, (b"host", f"{environ['SERVER_NAME']}{port}".encode("latin-1")))
    root = environ["SCRIPT_NAME"].encode("latin-1")
    path = environ["PATH_INFO"].encode("latin-1")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": environ["SERVER_PROTOCOL"].partition("/")[2],
        "method": environ["REQUEST_METHOD"],
        "scheme": environ["wsgi.url_scheme"],
        "path": (root + path).decode("utf-8", "replace"),
        "raw_path": quote(root, SAFE).encode() + (quote(path, SAFE).encode() if raw_path is None else raw_path),
        "query_string": environ["QUERY_STRING"].encode("latin-1") if "QUERY_STRING" in environ else b"",
        "root_path": root.decode("utf-8", "replace"),
        "headers": headers,
        "client": (environ["REMOTE_ADDR"], int(environ.get("REMOTE_PORT", 0))),
        "server": (environ["SERVER_NAME"], int(environ["SERVER_PORT"])),
    }


def as_sent(scope: dict[str, Any], raw_path: bytes | None) -> dict[str, Any]:
    """Return the scope of Django's ``AsyncRequestFactory`` as a server would make it."""
    path = scope["path"].encode("latin-1")  # the factory decodes it so
    query = scope.get("query_string", b"")
    host, port = scope["server"]
    return {
        "root_path": "",
        **scope,
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "path": path.decode("utf-8", "replace"),
        "raw_path": quote(path, SAFE).encode() if raw_path is None else raw_path,
        "query_string": query.encode() if isinstance(query, str) else query,
        "headers": [header for header in scope["headers"] if header != (b"cookie", b"")],
        "client": tuple(scope["client"]),
        "server": (host, int(port)),
    }


def raw_path_of(path: Any) -> bytes:
    return quote(urlsplit(str(path)).path, SAFE + "%").encode()
