"""Tell what was measured and where: versions and facts of this machine."""

from __future__ import annotations

import asyncio
import os
import platform
import sys
import sysconfig
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypedDict

DISTORTING = frozenset(
    {
        "PYTHONASYNCIODEBUG",
        "PYTHONDEVMODE",
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONPROFILEIMPORTTIME",
        "PYTHONTRACEMALLOC",
    }
)
"""Environment variables that make Python slower or noisier; measuring processes do not inherit them."""


class Facts(TypedDict):
    """Versions of what is measured, and the machine it is measured on."""

    versions: dict[str, str]
    machine: dict[str, str | int | float | bool | None]


def facts() -> Facts:
    """Return the facts as seen from this process."""
    with asyncio.Runner() as runner:
        event_loop = type(runner.get_loop()).__name__
    versions = {name: _version(name) for name in ("django-onehop", "Django", "asgiref", "greenlet")}
    return {
        "versions": {"Python": platform.python_version()} | versions,
        "machine": {
            "system": platform.platform(),
            "cpu": _cpu(),
            "cores": os.cpu_count(),
            "usable_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
            "governor": _line_of("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
            "compiler": platform.python_compiler(),
            "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
            "switch_interval_s": sys.getswitchinterval(),
            "event_loop": event_loop,
        },
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # imported from its source folder
        return "unknown"


def _cpu() -> str:
    """Return the processor's name as Linux gives it, else as Python does."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _line_of(path: str) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None
