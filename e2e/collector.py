"""A collector of traces: takes what is sent by OTLP over HTTP, and keeps the spans."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from e2e.stack import wait_for


class Collector:
    """What has come so far."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.spans: list[Span] = []
        self.raw: list[bytes] = []
        self.pids: set[int] = set()  # of the processes that sent something

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        self.raw.append(body)
        for group in request.resource_spans:
            resource = attributes(group.resource)
            assert resource["service.name"] == "burble"
            self.pids.add(resource["process.pid"])
            for scope in group.scope_spans:
                self.spans += scope.spans

    def named(self, name: str) -> Span:
        """Wait for the span with this name."""
        return wait_for(
            lambda: next((span for span in self.spans if span.name == name), None),  # type: ignore[return-value]
            f"a span {name!r}",
        )


def attributes(thing: Any) -> dict[str, Any]:
    """The attributes of a span, an event or a resource."""
    found = {}
    for attribute in thing.attributes:
        kind = attribute.value.WhichOneof("value")
        value = getattr(attribute.value, kind)
        if kind == "array_value":
            value = [item.string_value for item in value.values]
        found[attribute.key] = value
    return found


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector on a free port of the loopback address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            collector.take(self.rfile.read(int(self.headers["Content-Length"])))
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=[0.05])
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
