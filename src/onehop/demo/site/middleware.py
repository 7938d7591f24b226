"""A home-made middleware as many projects have one, mistakes included."""

import logging
from collections.abc import Callable
from datetime import datetime

from django.http import HttpRequest, HttpResponse

logger = logging.getLogger("api")


class ApiLoggerMiddleware:
    """Log each request before the view and each response after it.

    A classic synchronous class. The two times are kept on ``self``, which all requests share: the
    duration it logs is wrong as soon as two requests overlap. Left as it was found.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.request_time = datetime.now()
        self.response_time = self.request_time

    def __call__(self, request: HttpRequest) -> HttpResponse:
        self.request_time = datetime.now()
        agent = request.headers.get("User-Agent", "")
        body = request.body.decode("utf-8", "replace")
        logger.info("request %s %s agent=%r body=%r", request.method, request.path, agent, body)
        response = self.get_response(request)
        self.response_time = datetime.now()
        duration_s = (self.response_time - self.request_time).total_seconds()
        logger.info("response %s %s took=%.6f", response.status_code, request.path, duration_s)
        return response
