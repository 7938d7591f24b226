"""
The two middleware classes of django-prometheus 2.4 and 2.5, read in their source.

They count in the process, under locks that are held for one addition. In multiprocess mode prometheus_client
writes to memory-mapped files instead, and then they are thread steps.
"""

from __future__ import annotations

import sys
from typing import Any

from onehop.plan.known.harmless import custom_response
from onehop.plan.known.rows import unless

BEFORE = "django_prometheus.middleware.PrometheusBeforeMiddleware"
AFTER = "django_prometheus.middleware.PrometheusAfterMiddleware"
WHY = "counts in memory"
CONDITIONS = "prometheus_client runs in multiprocess mode; the metrics are of a class of one's own"


def _count(middleware: Any, *arguments: Any) -> str | None:
    metrics = type(middleware.metrics)
    if metrics is not getattr(sys.modules["django_prometheus.middleware"], "Metrics", None):
        return f"{metrics.__name__} is not django-prometheus' own"
    values = sys.modules["prometheus_client.values"]
    if values.ValueClass is not values.MutexValue:
        return "prometheus_client writes to files in multiprocess mode"
    return None


def _count_response(middleware: Any, request: Any, response: Any) -> str | None:
    return _count(middleware) or custom_response(response)


for _path, _hooks in (
    (BEFORE, ("process_request",)),
    (AFTER, ("process_request", "process_view", "process_template_response")),
):
    for _hook in _hooks:
        unless(_path, _hook, WHY, CONDITIONS)(_count)
for _path in (BEFORE, AFTER):
    unless(_path, "process_response", WHY, CONDITIONS)(_count_response)
