"""What the HTTP side tells those who run it of each request: an id, metrics, a log line, a span.

It stands outside of all that may refuse, and is pure ASGI: Starlette's `BaseHTTPMiddleware` would hide from streams
that their client has left. A stream's request ends with the stream.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from fastapi.routing import APIRoute, iter_route_contexts
from starlette.datastructures import Headers, MutableHeaders
from starlette.routing import BaseRoute, Mount, compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import backend
from backend import metrics, tracing
from backend.errors import QueueFull
from backend.link import NOBODY, Caller
from backend.settings import Settings
from backend.tracing import Tracing

LOGGER = logging.getLogger("gunicorn.error.requests")

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
UNKNOWN = "unknown"  # the label of what a client has made up
TRACE_HEADERS = ("traceparent", "tracestate")


class Route(NamedTuple):
    """What a request is counted as; `api` where programs ask, and not a browser for its files.

    `probe` is asked again and again by what watches the server.
    """

    template: str
    api: bool
    probe: bool


NO_ROUTE = Route(UNKNOWN, api=True, probe=False)


class Routes:
    """The routes of an application, by path: also for what is refused before it comes to them."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._exact: dict[str, Route] = {}
        self._patterns: list[tuple[Any, Route]] = []
        for context in iter_route_contexts(routes):
            # Only the context has the whole path, and the tags, of what a router has included.
            path, template = context.path or "", context.path_format or ""
            if isinstance(context.original_route, Mount):
                self._add(path + "/{path:path}", Route(template, api=False, probe=False))
            else:
                api = isinstance(context.original_route, APIRoute) and context.include_in_schema
                probe = api and "operations" in context.tags
                self._add(path, Route(template, api, probe))

    def _add(self, path: str, route: Route) -> None:
        if "{" in path:
            self._patterns.append((compile_path(path)[0], route))
        else:
            self._exact.setdefault(path, route)

    def find(self, path: str) -> Route:
        if route := self._exact.get(path):
            return route
        return next((route for regex, route in self._patterns if regex.match(path)), NO_ROUTE)


class Observation:
    """Observes each request to `app`, whose routes are `routes`.

    It begins `scope["state"]["caller"]`, which what is inside adds to.
    """

    def __init__(self, app: ASGIApp, settings: Settings, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        self._routes = Routes(routes)
        self._settings = settings
        self._log_requests = settings.log_format == "json"
        self._tracing: Tracing | None = None
        tracing.check(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._observe(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Begin and end with the process: it is after the fork that spans can be made."""
        metrics.fold_dead()
        self._tracing = tracing.begin(self._settings)
        try:
            await self._app(scope, receive, send)
        finally:
            tracing.end()

    async def _observe(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        route = self._routes.find(scope["path"])
        method = scope["method"] if scope["method"] in METHODS else UNKNOWN
        request_id = secrets.token_hex(8)
        about = {"request_id": request_id}
        backend.about.set(about)
        span = None
        if self._tracing and route.api and not route.probe:
            headers = Headers(scope=scope)
            trace = {name: headers[name] for name in TRACE_HEADERS if name in headers}
            span = self._tracing.request(method, route.template, trace)
        traceparent = span.traceparent if span else ""
        caller: Caller = {**NOBODY, "request_id": request_id, "traceparent": traceparent}
        scope.setdefault("state", {})["caller"] = caller
        status: int | None = None

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if route.api:
                    headers = MutableHeaders(scope=message)
                    headers["X-Request-Id"] = request_id
                    if generation_id := headers.get("X-Generation-Id"):
                        about["generation_id"] = generation_id
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except Exception:
            status = status or 500
            raise
        finally:
            duration_s = time.perf_counter() - began
            # A client that leaves before there is an answer gets no status.
            label = UNKNOWN if status is None else str(status)
            metrics.REQUESTS.labels(route.template, method, label).inc()
            metrics.REQUEST_DURATION.labels(route.template, method).observe(duration_s)
            generation_id = about.get("generation_id", "")
            if span:
                span.end(status, request_id, generation_id)
            if self._log_requests and route.api:
                LOGGER.log(
                    logging.DEBUG if route.probe else logging.INFO,
                    "%s %s: %s",
                    *(method, route.template, status),
                    extra={
                        "method": method,
                        "route": route.template,
                        "status": status,
                        "duration_s": round(duration_s, 6),
                        "owner": scope["state"]["caller"]["owner"],
                    },
                )


def count_refused(path: str) -> None:
    """Count a question that was refused before it came here (`backend/refusals.py`)."""
    metrics.REQUESTS.labels(path, "POST", str(QueueFull.status)).inc()
    metrics.REFUSALS.labels(QueueFull.code).inc()
