"""Two models that make spans of their own, as a user's code does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from opentelemetry import trace

from backend.models import End

tracer = trace.get_tracer("mine")


class Traced:
    async def generate(self, prompt: str, *, temperature: float = 1) -> AsyncIterator[str | End]:
        with tracer.start_as_current_span("mine, on the loop"):
            yield "one "
        yield "two "
        if prompt == "fail":
            raise RuntimeError(prompt)
        yield End("stop", 5, 7)


class TracedInThread:
    def generate(self, prompt: str) -> Iterator[str]:
        with tracer.start_as_current_span("mine, in a thread"):
            yield "one "
