"""OpenTelemetry traces, where `BURBLE_OTLP_ENDPOINT` says where to send them; else nothing here is even imported.

    POST /chat                    in the HTTP worker; a child of what the request's `traceparent` names
    └── generation                in the engine
        ├── queue                 while it waits for its place
        └── chat MODEL            while the model writes, with an event `first_token`; the model's code runs inside it,
                                  so that its own spans, and those of its HTTP client, are children

Names and attributes follow OpenTelemetry's semantic conventions for HTTP and for generative AI. No span holds a prompt,
an answer, an address, or the text of an exception. `OTEL_…` variables mean what they mean to OpenTelemetry's SDK.
"""

from __future__ import annotations

import importlib.util
import os
import threading
from typing import TYPE_CHECKING, Any

from backend.link import GenerationRequest
from backend.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

FLUSH_S = 2.0  # that the last spans are given to leave, at the end of a process
MISSING = (
    "BURBLE_OTLP_ENDPOINT is set, but what sends traces is not installed: "
    "start with `uv run --extra tracing just up`, or install the packages of the extra `tracing`"
)

_current: Tracing | None = None  # this process's

# Of the sampling settings, those that are numbers; `stop` is text of the user's.
PARAMETERS = ("temperature", "top_p", "max_tokens", "seed")


def check(settings: Settings) -> None:
    """Raise `ValueError`, with a sentence, when traces are asked for and cannot be sent."""
    if settings.otlp_endpoint:
        needed = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
        try:
            found = all(importlib.util.find_spec(name) for name in needed)
        except ModuleNotFoundError:  # a package that one of them lies in
            found = False
        if not found:
            raise ValueError(MISSING)


def begin(settings: Settings, *, for_models: bool = False) -> Tracing | None:
    """Return what makes this process's spans; None when none are wanted. Call it after the fork; raises as `check`.

    `for_models` is for where a model's code runs, whose own spans are sent as well.
    """
    global _current
    if not settings.otlp_endpoint:
        return None
    check(settings)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    exporter = OTLPSpanExporter(settings.otlp_endpoint.rstrip("/") + "/v1/traces")
    _current = Tracing(exporter, for_models=for_models)
    return _current


def end() -> None:
    """Send what `begin`'s have made and not sent yet, for `FLUSH_S` seconds at most. Blocks; once is enough."""
    global _current
    if _current:
        current, _current = _current, None
        current.close()


class Tracing:
    """The spans of one process."""

    def __init__(self, exporter: SpanExporter, *, for_models: bool = False) -> None:
        from opentelemetry import context, propagate, trace
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._context = context
        self._trace = trace
        self._propagator = TraceContextTextMapPropagator()
        name = {} if "OTEL_SERVICE_NAME" in os.environ else {"service.name": "burble"}
        self._provider = TracerProvider(
            resource=Resource.create({**name, "process.pid": os.getpid()}), shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        # Elsewhere FastAPI would take it for spans of its own, with addresses and queries.
        if for_models:
            trace.set_tracer_provider(self._provider)
            propagate.set_global_textmap(self._propagator)
        self.tracer = self._provider.get_tracer("burble")

    def request(self, method: str, route: str, headers: dict[str, str]) -> RequestSpan:
        """Begin the span of an HTTP request with these headers of W3C Trace Context."""
        attributes = {"http.request.method": method, "http.route": route}
        span = self.tracer.start_span(
            f"{method} {route}",
            self._propagator.extract(headers),
            kind=self._trace.SpanKind.SERVER,
            attributes=attributes,
        )
        return RequestSpan(self, span)

    def generation(
        self, model: str, generation_id: str, request: GenerationRequest
    ) -> GenerationSpans:
        """Begin the spans of a generation."""
        return GenerationSpans(self, model, generation_id, request)

    def close(self) -> None:
        """Send what is left, for `FLUSH_S` seconds at most. Blocks."""
        # In a thread, for the SDK's own limit is longer than a process may take to end.
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(FLUSH_S)

    # For the spans

    def inside(self, span: Span) -> Context:
        return self._trace.set_span_in_context(span)

    def below(self, traceparent: str) -> Context:
        return self._propagator.extract({"traceparent": traceparent})

    def traceparent(self, span: Span) -> str:
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, self.inside(span))
        return carrier.get("traceparent", "")

    def enter(self, span: Span) -> Any:
        """Make a span the parent of what begins in this context; `leave` takes what is returned."""
        return self._context.attach(self.inside(span))

    def leave(self, token: Any) -> None:
        self._context.detach(token)

    def fail(self, span: Span, code: str) -> None:
        """Mark a span as failed, by the code of an error."""
        span.set_attribute("error.type", code)
        span.set_status(self._trace.StatusCode.ERROR)


class RequestSpan:
    """The span of one HTTP request; what it is entered for runs inside it."""

    def __init__(self, tracing: Tracing, span: Span) -> None:
        self._tracing = tracing
        self._span = span
        self._token = tracing.enter(span)
        self.traceparent = tracing.traceparent(span)

    def end(self, status: int | None, request_id: str, generation_id: str) -> None:
        """End it; without `status` the client left before there was one."""
        span = self._span
        span.set_attribute("burble.request.id", request_id)
        if generation_id:
            span.set_attribute("burble.generation.id", generation_id)
        if status is not None:
            span.set_attribute("http.response.status_code", status)
            if status >= 500:
                self._tracing.fail(span, str(status))
        self._tracing.leave(self._token)
        span.end()


class GenerationSpans:
    """The spans of one generation in one engine."""

    def __init__(
        self, tracing: Tracing, model: str, generation_id: str, request: GenerationRequest
    ) -> None:
        self._tracing = tracing
        self._model_id = model
        caller = request["caller"]
        self._generation = tracing.tracer.start_span(
            "generation",
            tracing.below(caller["traceparent"]),
            attributes={
                "burble.generation.id": generation_id,
                "burble.request.id": caller["request_id"],
                "gen_ai.request.model": model,
            },
        )
        self._queue: Span | None = self._child("queue", {})
        self._model: Span | None = None

    def _child(self, name: str, attributes: dict[str, str | int | float]) -> Span:
        inside = self._tracing.inside(self._generation)
        return self._tracing.tracer.start_span(name, inside, attributes=attributes)

    def started(self, request: GenerationRequest) -> GenerationRequest:
        """End the wait and begin the model's span; return the request with that as the parent of what it leads to."""
        self._end_queue()
        provider, _, _ = self._model_id.partition("/")
        sampling = request["sampling"]
        self._model = self._child(
            f"chat {self._model_id}",
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai" if provider == "openai" else "burble",
                "gen_ai.request.model": self._model_id,
                "gen_ai.output.type": "text",
                **{
                    f"gen_ai.request.{name}": sampling[name]
                    for name in PARAMETERS
                    if sampling.get(name) is not None
                },
            },
        )
        caller = request["caller"]
        traceparent = self._tracing.traceparent(self._model)
        return {**request, "caller": {**caller, "traceparent": traceparent}}

    def enter(self) -> None:
        """Let the model's code run inside its span: in this task, to its end."""
        if self._model:
            self._tracing.enter(self._model)

    def first_token(self) -> None:
        if self._model:
            self._model.add_event("first_token")

    def ended(self, end: str, prompt_tokens: int, completion_tokens: int) -> None:
        self._end_queue()
        for span in filter(None, (self._generation, self._model)):
            if end in ("stop", "length", "cancelled"):
                span.set_attribute("gen_ai.response.finish_reasons", [end])
            else:
                self._tracing.fail(span, end)
        if self._model:
            self._model.set_attribute("gen_ai.usage.input_tokens", prompt_tokens)
            self._model.set_attribute("gen_ai.usage.output_tokens", completion_tokens)
        self._generation.end()

    def let_go(self) -> None:
        if self._model:
            self._model.end()
            self._model = None

    def _end_queue(self) -> None:
        if self._queue:
            self._queue.end()
            self._queue = None
