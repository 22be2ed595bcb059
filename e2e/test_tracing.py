"""Traces, from a browser's `traceparent` to the spans of a model's own code."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from e2e.collector import attributes, collecting
from e2e.stack import Stack, http_client, wait_for

pytestmark = pytest.mark.long

MODELS = "e2e.traced_model:Traced,e2e.traced_model:TracedInThread"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PROMPT = "xylophone"


def test_a_trace_leads_from_the_browser_through_all_processes_to_the_model_s_own_code(
    start_stack: Callable[..., Stack],
) -> None:
    with collecting() as collector:
        stack = start_stack(model=MODELS, otlp_endpoint=collector.url, allow_anonymous=1)
        answer = http_client.post(
            stack.url + "/chat",
            json={"prompt": PROMPT, "model": "e2e.traced_model:Traced", "temperature": 0.5},
            headers={"traceparent": f"00-{TRACE}-{PARENT}-01"},
        )
        http_client.post(stack.url + "/chat", json={"prompt": "fail"})
        http_client.post(
            stack.url + "/chat", json={"prompt": PROMPT, "model": "e2e.traced_model:TracedInThread"}
        )
        stack.interrupt()
        wait_for(lambda: stack.returncode is not None, "the end, and with it the last spans")
        names = [span.name for span in collector.spans]
        ours = {span.name: span for span in collector.spans if span.trace_id.hex() == TRACE}
        request, generation, queue, model, own = (
            ours[name]
            for name in (
                "POST /chat", "generation", "queue", "chat e2e.traced_model:Traced",
                "mine, on the loop",
            )
        )  # fmt: skip
        assert len(ours) == 5
        assert request.parent_span_id.hex() == PARENT
        assert generation.parent_span_id == request.span_id
        assert queue.parent_span_id == generation.span_id
        assert model.parent_span_id == generation.span_id
        assert own.parent_span_id == model.span_id
        assert queue.end_time_unix_nano <= model.start_time_unix_nano
        assert [event.name for event in model.events] == ["first_token"]
        assert attributes(model) == {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "burble",
            "gen_ai.output.type": "text",
            "gen_ai.request.model": "e2e.traced_model:Traced",
            "gen_ai.request.temperature": 0.5,
            "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.usage.input_tokens": 5,
            "gen_ai.usage.output_tokens": 7,
        }
        generation_id = answer.headers["x-generation-id"]
        assert attributes(request) == {
            "http.request.method": "POST",
            "http.route": "/chat",
            "http.response.status_code": 200,
            "burble.request.id": answer.headers["x-request-id"],
            "burble.generation.id": generation_id,
        }
        assert attributes(generation)["burble.generation.id"] == generation_id
        # What failed says so, by its code.
        (failed,) = [
            span for span in collector.spans
            if span.name == "generation" and span.status.code == span.status.STATUS_CODE_ERROR
        ]  # fmt: skip
        assert attributes(failed)["error.type"] == "model_error"
        # In a thread the model's code is inside its span as well.
        (thread,) = [span for span in collector.spans if span.name == "mine, in a thread"]
        (its_model,) = [span for span in collector.spans if span.name.endswith("InThread")]
        assert thread.parent_span_id == its_model.span_id
        assert names.count("POST /chat") == 3
        assert not [name for name in names if "health" in name]
        assert len(collector.pids) >= 3  # one HTTP worker at least, and two engines
        everything = b"".join(collector.raw)
        assert PROMPT.encode() not in everything
        assert b"one " not in everything


def test_a_collector_that_is_not_there_holds_up_nobody(start_stack: Callable[..., Stack]) -> None:
    stack = start_stack(model="simulated", otlp_endpoint="http://127.0.0.1:9", log_format="json")
    assert http_client.post(stack.url + "/chat/sync", json={"prompt": "hello"}).status_code == 200
    stack.master.terminate()
    wait_for(lambda: stack.returncode == 0, "the end", timeout_s=20)
