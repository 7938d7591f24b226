"""
Measure one contender in this process and print a report as JSON.

Run it as ``python -m onehop.bench.child MODE …`` with ``DJANGO_SETTINGS_MODULE`` set. ``onehop bench`` starts
such a process for each contender and round, and prints the command when one fails.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from onehop.bench.contenders import CONTENDERS, is_built_in

MODES = ("prepare", "count", "time", "floor")


def main(arguments: Sequence[str]) -> None:
    """Do what the arguments say and print the report, alone, on stdout."""
    parser = argparse.ArgumentParser(prog="python -m onehop.bench.child", description=__doc__)
    parser.add_argument("mode", choices=MODES)
    parser.add_argument("--contender", choices=CONTENDERS, default="stock")
    parser.add_argument("--view", action="append", default=[], metavar="URL")
    parser.add_argument("--concurrency", action="append", type=int, default=[], metavar="C")
    parser.add_argument("--block-s", type=float, default=0.3)
    options = parser.parse_args(arguments)
    stdout = os.dup(1)
    os.dup2(2, 1)  # what the project itself prints goes to stderr
    try:
        report = report_on(options)
    finally:
        sys.stdout.flush()  # before the error, if there is one: the last line on stderr is shown
    with open(stdout, "w", encoding="utf-8") as file:
        json.dump(report, file)


def report_on(options: argparse.Namespace) -> Mapping[str, Any]:
    """Measure what the options say and return the report of their mode (``onehop.bench.reports``)."""
    if is_built_in():
        import django

        from onehop.bench.database import fill_once

        django.setup(set_prefix=False)
        fill_once()
    match options.mode:
        case "count":
            from onehop.bench.count import count_contender

            return count_contender(options.contender, options.view, options.concurrency)
        case "time":
            from onehop.bench.timing import time_contender

            return time_contender(options.contender, options.view, options.concurrency, options.block_s)
        case "floor":
            from onehop.bench.straight import measure_floor

            return measure_floor(options.block_s)
        case _:
            from onehop.bench.machine import facts

            return facts()


if __name__ == "__main__":
    main(sys.argv[1:])
