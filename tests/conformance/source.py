"""What is run: versions, and a digest of Onehop's source."""

import hashlib
import platform
from importlib.metadata import version

from tests.conformance.suite import ROOT


def facts():
    """Return the release of Django, the versions of what takes part, and a digest of Onehop's source."""
    return {
        "release": ".".join(version("Django").split(".")[:2]),
        "versions": {
            "Django": version("Django"),
            "Python": platform.python_version(),
            "asgiref": version("asgiref"),
            "greenlet": version("greenlet"),
        },
        "source": digest(),
    }


def digest():
    """Return twelve hexadecimal digits that stand for Onehop's present source."""
    found = hashlib.sha256()
    for path in sorted((ROOT / "src").rglob("*.py")):
        found.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()[:12]
