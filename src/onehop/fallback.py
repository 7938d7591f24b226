"""When stock Django serves in Onehop's place."""

from __future__ import annotations

import logging
import os

import asgiref
import django

logger = logging.getLogger("onehop")


def is_stock_wanted() -> bool:
    """
    Tell whether stock Django is to serve: ``ONEHOP_DISABLE=1`` asks for it, or Onehop does not know this core.

    The latter (a version of Django or asgiref that it was not checked against) is said in a warning.
    """
    if os.environ.get("ONEHOP_DISABLE", "") not in ("", "0"):
        return True
    from onehop._django import unknown_core
    from onehop.plan.known.rows import fingerprints

    unknown = unknown_core(fingerprints()["core"])
    if unknown:
        logger.warning(
            "Onehop was not checked against Django %s with asgiref %s: %s changed. Stock Django serves the requests.",
            django.__version__,
            asgiref.__version__,
            ", ".join(unknown),
        )
    return bool(unknown)
