"""The whole stack before another server: the `openai` model, and a scripted server in a thread of the test's process.

Both ends of a stop are in one process then, so one clock measures how long it takes.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

import pytest

from backend.tests.scripted_upstream import (
    Asked,
    ScriptedUpstream,
    Stall,
    Step,
    begin,
    delta,
    finish,
    head,
    reply,
    running_upstream,
    stream,
    text,
    usage,
)
from e2e.client import Answer, asynchronous, chat, eventually, stop
from e2e.stack import Stack, http_client

KEY = "sk-e2e-0123456789abcdefghijklmnop"
STOP_S = 0.25
STOPS = 9  # of each stage; a busy machine delays most of them, but hardly the quickest

# How far the answer has come, by the events of Burble's stream, when it is stopped.
STAGES: dict[str, tuple[tuple[Step, ...], int]] = {
    "before the head": ((Stall(),), 0),
    "after the head": ((head(), Stall()), 0),
    "thinking": ((*begin(delta(reasoning="Hm")), Stall()), 2),
    "answering": ((*begin(text("Hi")), Stall()), 1),
}


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with running_upstream() as running:
        yield running


@pytest.fixture(scope="module")
def stack(upstream: ScriptedUpstream) -> Iterator[Stack]:
    """A stack that asks the scripted server, with a key, and logs all that it can."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("NO_PROXY", "127.0.0.1")
        environment.setenv("OPENAI_LOG", "debug")
        stack = Stack(
            model="openai/m", openai_base_url=upstream.url, openai_api_key=KEY, log_level="debug"
        ).start()
    yield stack
    stack.stop()


@asynchronous
async def test_thinking_text_and_usage_arrive(upstream: ScriptedUpstream, stack: Stack) -> None:
    upstream.script(
        *stream(delta(reasoning="Hm"), text("Hi"), text(" there"), finish("length"), usage(3, 2))
    )
    answer = await (await chat(stack, "hello", thinking=True, temperature=0.5)).rest()
    thinking = "".join(event.get("thinking", "") for event in answer.events)
    assert (thinking, answer.text, answer.finish_reason) == ("Hm", "Hi there", "length")
    assert answer.events[-1]["usage"] == {"prompt_tokens": 3, "completion_tokens": 2}
    asked = upstream.requests[-1]
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.body["messages"] == [{"role": "user", "content": "hello"}]
    assert (asked.body["temperature"], asked.body["reasoning_effort"]) == (0.5, "medium")


def test_the_model_is_called_what_its_server_calls_it(stack: Stack) -> None:
    model = http_client.get(f"{stack.url}/models").json()["models"][0]
    assert (model["id"], model["name"], model["thinking"]) == ("openai/m", "m", True)


async def stopped(
    upstream: ScriptedUpstream, stack: Stack, leave: Callable[[Answer], object] | None, stage: str
) -> float:
    """Stop an answer at this stage. Return how long the other server still had its client, in seconds."""
    steps, events = STAGES[stage]
    upstream.script(*steps)
    asked_before = len(upstream.requests)
    answer = await chat(stack, "hello")
    await answer.until(lambda answer: len(answer.events) >= events)
    await eventually(lambda: len(upstream.requests) > asked_before, "the request")
    asked: Asked = upstream.requests[-1]
    began = time.monotonic()
    if leave:
        leave(answer)
    else:
        assert await stop(stack, answer.id) == 204
    await eventually(lambda: asked.left, "the end of the request")
    assert asked.left
    return asked.left - began


@pytest.mark.parametrize("stage", STAGES)
@asynchronous
async def test_a_stop_closes_the_request(
    upstream: ScriptedUpstream, stack: Stack, stage: str
) -> None:
    by_request = [await stopped(upstream, stack, None, stage) for _ in range(STOPS)]
    by_leaving = [
        await stopped(upstream, stack, lambda answer: answer.connection.close(), stage)
        for _ in range(STOPS)
    ]
    for way, taken in (("DELETE", by_request), ("leaving", by_leaving)):
        median, worst = statistics.median(taken) * 1000, max(taken) * 1000
        print(f"{way} {stage}: median {median:.1f} ms, worst {worst:.1f} ms of {STOPS}")
        assert min(taken) < STOP_S, (way, sorted(taken))


@asynchronous
async def test_an_error_says_what_to_do_and_the_key_is_shown_nowhere(
    upstream: ScriptedUpstream, stack: Stack
) -> None:
    said = {"error": {"message": f"Incorrect API key provided: {KEY}", "code": "invalid_api_key"}}
    upstream.script(*reply(401, said))
    answer = await (await chat(stack, "hello")).rest()
    assert answer.error == "upstream_unauthorized"
    assert "BURBLE_OPENAI_API_KEY" in answer.events[-1]["error"]["message"]
    await eventually(
        lambda: "Incorrect API key provided: [key]" in stack.log(), "the server's words in the log"
    )
    ready = http_client.get(f"{stack.url}/health/ready").text
    for shown in (bytes(answer.raw).decode(), stack.log(), ready):
        assert KEY[:12] not in shown
        assert KEY[-8:] not in shown


@asynchronous
async def test_a_busy_server_says_when_to_come_back(
    upstream: ScriptedUpstream, stack: Stack
) -> None:
    upstream.script(*reply(429, retry_after=30))
    answer = await (await chat(stack, "hello")).rest()
    assert answer.events[-1]["error"]["code"] == "upstream_busy"
    assert answer.events[-1]["error"]["retry_after"] == 30
