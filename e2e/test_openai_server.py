"""The API that OpenAI's clients speak, as the official one meets it; in the end one Burble is another one's model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionChunk

from e2e.client import Answer, Connection, asynchronous, chat, eventually, noted, script, stop
from e2e.stack import MODEL, Stack, http_client

MIB = 1024 * 1024

StartStack = Callable[..., Stack]


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[OpenAI]:
    with client_of(stack) as client:
        yield client


# The time is for connecting as well, for which the client's own is 5 s, also where a hundred connect at once.
OPTIONS: dict[str, Any] = {"api_key": "none", "max_retries": 0, "timeout": 120}


def client_of(stack: Stack) -> OpenAI:
    return OpenAI(base_url=stack.url + "/v1", **OPTIONS)


def async_client_of(stack: Stack) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=stack.url + "/v1", **OPTIONS)


def asked(prompt: str, **fields: Any) -> dict[str, Any]:
    """The arguments of a question."""
    return {"model": MODEL, "messages": [{"role": "user", "content": prompt}], **fields}


def text(chunks: list[ChatCompletionChunk]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def thinking(chunks: list[ChatCompletionChunk]) -> str:
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    return "".join(getattr(delta, "reasoning_content", "") for delta in deltas)


def check_error(response: Any, status: int, code: str, param: str | None = None) -> dict[str, Any]:
    """Assert that a refusal has OpenAI's shape, and return it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    [(name, error)] = response.json().items()
    assert name == "error"
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["code"], error["param"]) == (code, param)
    assert error["message"]
    return dict(error)


# Answers


def test_an_answer_is_streamed(client: OpenAI) -> None:
    chunks = list(client.chat.completions.create(**asked("one two three"), stream=True))
    choices = [chunk.choices[0] for chunk in chunks]
    assert [choice.delta.content for choice in choices] == ["", "one ", "two ", "three ", None]
    assert [choice.delta.role for choice in choices] == ["assistant", None, None, None, None]
    assert [choice.finish_reason for choice in choices] == [None] * 4 + ["stop"]
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    assert chunks[0].id.startswith("chatcmpl-")
    assert chunks[0].model == MODEL
    assert all(chunk.usage is None for chunk in chunks)


def test_an_answer_comes_at_once(client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(**asked("one two three"))
    answer = raw.parse()
    assert answer.id == "chatcmpl-" + raw.headers["x-generation-id"]
    [choice] = answer.choices
    assert (choice.message.role, choice.message.content) == ("assistant", "one two three ")
    assert choice.finish_reason == "stop"
    assert answer.usage
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (3, 3)
    assert answer.usage.total_tokens == 6
    assert answer.model == MODEL


def test_usage_ends_a_stream_that_asked_for_it(client: OpenAI) -> None:
    fields = asked("one two", stream_options={"include_usage": True})
    *others, last = client.chat.completions.create(**fields, stream=True)
    assert last.choices == []
    assert last.usage
    assert last.usage.model_dump(exclude_none=True) == {
        "prompt_tokens": 2,
        "completion_tokens": 2,
        "total_tokens": 4,
    }
    assert all(chunk.usage is None for chunk in others)


def test_what_a_model_thinks_is_told_apart(client: OpenAI) -> None:
    prompt = script("a", ["think", "Hm. "], ["think", "So."], ["say", "Yes."])
    chunks = list(client.chat.completions.create(**asked(prompt), stream=True))
    assert (thinking(chunks), text(chunks)) == ("Hm. So.", "Yes.")
    message = client.chat.completions.create(**asked(prompt)).choices[0].message
    assert message.content == "Yes."
    assert message.model_dump()["reasoning_content"] == "Hm. So."


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {"thinking": False, "temperature": None, "max_tokens": None}),
        ({"temperature": 0.5, "top_p": 0.25}, {"temperature": 0.5, "top_p": 0.25}),
        ({"max_completion_tokens": 7}, {"max_tokens": 7}),
        ({"reasoning_effort": "high"}, {"thinking": True}),
        ({"reasoning_effort": "none"}, {"thinking": False}),
        (
            {"extra_body": {"chat_template_kwargs": {"enable_thinking": True}}},
            {"thinking": True},
        ),
        ({"user": "ada", "n": 1, "tools": [], "logprobs": False}, {"messages": 2}),
    ],
)
def test_a_model_is_asked_what_the_client_asks(
    client: OpenAI, fields: dict[str, Any], expected: dict[str, Any]
) -> None:
    question = asked(script("a", ["asked"]), **fields)
    question["messages"].insert(0, {"role": "developer", "content": "Be brief."})
    answer = client.chat.completions.create(**question).choices[0].message.content
    assert answer
    was_asked = json.loads(answer.strip("`"))
    assert was_asked["system"] == "Be brief."
    assert {name: was_asked[name] for name in expected} == expected


def test_a_conversation_goes_on_with_the_answer_as_it_was_read(client: OpenAI) -> None:
    first = script("a", ["think", "Hm."], ["say", "Yes."])
    answer = client.chat.completions.create(**asked(first)).choices[0].message
    second = asked(script("b", ["asked"]))
    second["messages"] = [*asked(first)["messages"], answer.model_dump(), *second["messages"]]
    content = client.chat.completions.create(**second).choices[0].message.content
    assert content
    assert json.loads(content.strip("`"))["messages"] == 3


@asynchronous
async def test_a_hundred_at_once_get_each_its_own_answer(stack: Stack) -> None:
    async with async_client_of(stack) as client:

        async def ask(name: str) -> str:
            prompt = script(name, ["think", name], ["words", 20])
            if int(name[1:]) % 2:
                answer = await client.chat.completions.create(**asked(prompt))
                return answer.choices[0].message.content or ""
            stream = await client.chat.completions.create(**asked(prompt), stream=True)
            chunks = [chunk async for chunk in stream]
            assert thinking(chunks) == name
            return text(chunks)

        names = [f"n{number}" for number in range(100)]
        answers = await asyncio.gather(*map(ask, names))
    assert answers == ["".join(f"{name}-{index} " for index in range(20)) for name in names]


@asynchronous
async def test_who_reads_slowly_gets_every_word(stack: Stack) -> None:
    connection = await Connection.open(stack, receive_buffer=4096)
    question = asked("word " * 15_000, stream=True)
    answer = await connection.ask("POST", "/v1/chat/completions", question)
    while await answer.pull(4096):
        pass
    deltas = [event["choices"][0]["delta"] for event in answer.events]
    assert "".join(delta.get("content", "") for delta in deltas) == "word " * 15_000
    assert answer.done


# Stopping


def test_a_stop_by_its_id_ends_an_answer_which_is_not_said_to_be_whole(
    client: OpenAI, stack: Stack
) -> None:
    prompt = script("stopped", ["say", "begun"], ["wait", "never"])
    raw = client.chat.completions.with_raw_response.create(**asked(prompt), stream=True)
    chunks = iter(raw.parse())
    seen = [next(chunks), next(chunks)]
    generation_id = raw.headers["x-generation-id"]
    assert seen[0].id == f"chatcmpl-{generation_id}"
    assert http_client.delete(f"{stack.url}/chat/{generation_id}").status_code == 204
    seen += chunks
    assert text(seen) == "begun"
    assert seen[-1].choices[0].finish_reason == "length"
    stack.wait_journal("end stopped")


def test_a_client_that_leaves_stops_the_model(client: OpenAI, stack: Stack) -> None:
    prompt = script("left", ["say", "begun"], ["wait", "never"])
    with client.chat.completions.create(**asked(prompt), stream=True) as stream:
        next(iter(stream))
    stack.wait_journal("end left")


@pytest.mark.parametrize("stream", [True, False])
@asynchronous
async def test_a_client_that_loses_its_patience_stops_the_model(stack: Stack, stream: bool) -> None:
    """Also before the head of a stream, which waits for the first word."""
    name = f"silent-{stream}"
    question = asked(script(name, ["prefill", 1, 2], ["wait", "never"]))
    async with async_client_of(stack) as client:
        asking = asyncio.ensure_future(client.chat.completions.create(**question, stream=stream))
        await noted(stack, f"start {name}")
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await noted(stack, f"end {name}")


# Errors


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("step", "message"),
    [
        (["tell", "Out of paper."], "Out of paper."),
        (["fail", "the password"], "The model failed while it was answering."),
    ],
)
def test_a_failure_before_the_first_word_is_a_status(
    client: OpenAI, step: list[Any], message: str, stream: bool
) -> None:
    with pytest.raises(openai.InternalServerError) as failure:
        client.chat.completions.create(**asked(script("a", ["prefill", 1, 2], step)), stream=stream)
    assert failure.value.status_code == 500
    assert (failure.value.code, failure.value.type) == ("model_error", "server_error")
    assert failure.value.body == {
        "message": message,
        "type": "server_error",
        "param": None,
        "code": "model_error",
    }


def test_a_failure_after_it_is_an_error_in_the_stream(client: OpenAI) -> None:
    prompt = script("a", ["say", "begun"], ["tell", "Out of paper."])
    seen = []
    with pytest.raises(openai.APIError, match=r"^Out of paper\.$") as failure:
        seen.extend(client.chat.completions.create(**asked(prompt), stream=True))
    assert failure.value.code == "model_error"
    with pytest.raises(openai.InternalServerError, match=r"Out of paper\."):
        client.chat.completions.create(**asked(prompt))


def test_a_failed_stream_ends_without_done(stack: Stack) -> None:
    prompt = script("a", ["say", "begun"], ["tell", "Out of paper."])
    response = http_client.post(stack.url + "/v1/chat/completions", json=asked(prompt, stream=True))
    *_, before, last, rest = response.text.split("\n\n")
    assert '{"content":"begun"}' in before
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "model_error"
    assert rest == ""


@pytest.mark.parametrize(
    ("fields", "kind", "code", "param"),
    [
        ({"model": "gpt-4o"}, openai.NotFoundError, "model_not_found", "model"),
        ({"n": 2}, openai.BadRequestError, "invalid_request", "n"),
        ({"seed": 1}, openai.BadRequestError, "invalid_request", "seed"),
        ({"temperature": 3}, openai.BadRequestError, "invalid_request", "temperature"),
        (
            {"tools": [{"type": "function", "function": {"name": "f"}}]},
            openai.BadRequestError,
            "invalid_request",
            "tools",
        ),
        ({"extra_body": {"top_k": 1}}, openai.BadRequestError, "invalid_request", "top_k"),
        (
            {"messages": [{"role": "user", "content": "x" * 100_001}]},
            openai.BadRequestError,
            "context_length_exceeded",
            "messages",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            openai.BadRequestError,
            "invalid_request",
            "messages.0.content.0.type",
        ),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_what_cannot_be_done_is_refused_by_name_and_nothing_runs(
    client: OpenAI,
    stack: Stack,
    fields: dict[str, Any],
    kind: type[openai.APIStatusError],
    code: str,
    param: str,
    stream: bool,
) -> None:
    before = stack.journal()
    with pytest.raises(kind) as refusal:
        client.chat.completions.create(**{**asked("a"), **fields}, stream=stream)
    error = refusal.value
    assert (error.code, error.param, error.type) == (code, param, "invalid_request_error")
    assert stack.journal() == before


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "code", "param"),
    [
        ("POST", "/chat/completions", b'{"model": ', 400, "malformed_body", None),
        ("POST", "/chat/completions", b'{"model": "\xff"}', 400, "malformed_body", None),
        ("POST", "/chat/completions", b"{}", 400, "invalid_request", "model"),
        ("POST", "/chat/completions", b"[]", 400, "invalid_request", "body"),
        ("POST", "/chat/completions", b" " * (MIB + 1), 413, "body_too_large", None),
        ("GET", "/chat/completions", None, 405, "method_not_allowed", None),
        ("DELETE", "/models/a", None, 405, "method_not_allowed", None),
        ("POST", "/embeddings", b"{}", 404, "not_found", None),
        ("GET", "", None, 404, "not_found", None),
    ],
)
def test_every_refusal_has_the_shape_that_clients_read(
    stack: Stack,
    method: str,
    path: str,
    content: bytes | None,
    status: int,
    code: str,
    param: str | None,
) -> None:
    headers = {"Content-Type": "application/json"}
    response = http_client.request(
        method, f"{stack.url}/v1{path}", content=content, headers=headers
    )
    error = check_error(response, status, code, param)
    assert error["type"] == "invalid_request_error"
    assert (status == 405) == ("allow" in response.headers)


def test_a_body_that_does_not_claim_to_be_json_is_refused(stack: Stack) -> None:
    url = stack.url + "/v1/chat/completions"
    check_error(http_client.post(url, content=b"{}"), 415, "unsupported_media")


def test_outside_of_it_errors_keep_their_shape(stack: Stack) -> None:
    for path in ("/v1x", "/chat/v1", "/x/v1/models"):
        response = http_client.get(stack.url + path)
        assert response.headers["content-type"] == "application/problem+json"


# What there is


def test_the_models_are_listed_and_found(client: OpenAI) -> None:
    [model] = client.models.list()
    assert (model.id, model.object, model.owned_by) == (MODEL, "model", "burble")
    assert client.models.retrieve(MODEL) == model
    with pytest.raises(openai.NotFoundError) as refusal:
        client.models.retrieve("openai/llama3.2:3b")
    assert refusal.value.code == "model_not_found"


def test_the_description_of_the_api_shows_it(stack: Stack) -> None:
    description = http_client.get(stack.url + "/openapi.json").json()
    operation = description["paths"]["/v1/chat/completions"]["post"]
    assert set(operation["responses"]) == {"200", "4XX", "5XX"}
    content = operation["responses"]["200"]["content"]
    assert set(content) == {"application/json", "text/event-stream"}
    assert "Completion" in content["application/json"]["schema"]["$ref"]
    for example in content["text/event-stream"]["examples"].values():
        for block in example["value"].removesuffix("\n\n").split("\n\n"):
            data = block.removeprefix("data: ")
            assert data == "[DONE]" or json.loads(data)
    assert "/v1/models/{model_id}" in description["paths"]


# Waiting


@pytest.mark.long
@asynchronous
async def test_a_head_waits_for_the_first_word_but_not_for_ever(start_stack: StartStack) -> None:
    stack = start_stack(max_running=1, max_queued=3, keep_alive=0.3, workers=1)

    async def ask(name: str, *steps: list[Any], stream: bool = True) -> Connection:
        connection = await Connection.open(stack)
        await connection.send(
            "POST", "/v1/chat/completions", asked(script(name, *steps), stream=stream)
        )
        return connection

    def in_line() -> int:
        [engine] = http_client.get(stack.url + "/health/ready").json()["engines"]
        return int(engine["queued"])

    first = await ask("first", ["wait", "first"], ["say", "1"])
    await noted(stack, "start first")
    second = await ask("second", ["tell", "Out of paper."])
    third = await ask("third", ["say", "never said"])
    fourth = await ask("fourth", ["say", "never said"], stream=False)
    await eventually(lambda: in_line() == 3, "three to wait in line")

    # There is no place to wait any more: refused at once, with the time to come back.
    async with async_client_of(stack) as client:
        with pytest.raises(openai.InternalServerError) as refusal:
            await client.chat.completions.create(**asked("fifth"), stream=True)
    assert (refusal.value.status_code, refusal.value.code) == (503, "queue_full")
    assert int(refusal.value.response.headers["retry-after"]) > 0

    # Who leaves the line has left it, with or without a head.
    third.close()
    fourth.close()
    await eventually(lambda: in_line() == 1, "their places to be free")

    # Silence is broken by a comment, after which an error can only be an event.
    waiting = await second.answer()
    assert waiting.status == 200
    assert await waiting.pull()
    assert set(bytes(waiting.raw).split(b"\n\n")) == {b": keep-alive", b""}
    stack.open_gate("first")
    await waiting.rest()
    assert waiting.error == "model_error"
    assert not waiting.done
    assert (await (await first.answer()).rest()).done
    assert not {"start third", "start fourth"} & set(stack.journal())


# One Burble behind another


def all_of(answer: Answer) -> dict[str, Any]:
    """What an answer says, whoever wrote it."""
    thoughts = [event["thinking"] for event in answer.events if "thinking" in event]
    return {
        "text": answer.text,
        "thinking": "".join(thoughts),
        "end": answer.events[-1],
        "done": answer.done,
    }


@pytest.mark.long
@asynchronous
async def test_what_is_said_at_the_back_is_said_at_the_front(
    simulated_stack: Stack, start_stack: StartStack
) -> None:
    front = start_stack(model="openai/simulated", openai_base_url=simulated_stack.url + "/v1")
    for fields in ({}, {"thinking": True}, {"max_tokens": 3}, {"thinking": True, "max_tokens": 3}):
        at_back = await (await chat(simulated_stack, "code, please", **fields)).rest()
        at_front = await (await chat(front, "code, please", **fields)).rest()
        assert all_of(at_front) == all_of(at_back)
        assert at_front.text
        assert at_front.done
    async with async_client_of(front) as client:
        question = {**asked("explain"), "model": "openai/simulated", "reasoning_effort": "low"}
        whole = (await client.chat.completions.create(**question)).choices[0].message
        stream = await client.chat.completions.create(**question, stream=True)
        chunks = [chunk async for chunk in stream]
    assert whole.model_dump()["reasoning_content"] == thinking(chunks) != ""
    assert whole.content == text(chunks) != ""


@pytest.mark.long
@asynchronous
async def test_a_stop_reaches_the_back_and_its_errors_the_front(
    stack: Stack, start_stack: StartStack
) -> None:
    front = start_stack(
        model=f"openai/{MODEL}",
        openai_base_url=stack.url + "/v1",
        max_prompt_chars=200_000,
    )

    # Before the first word, when the head is still held back, and after it.
    for name, steps in {"held": [], "begun": [["say", "begun"]]}.items():
        answer = await chat(front, script(name, *steps, ["wait", "never"]))
        await noted(stack, f"start {name}")
        if steps:
            await answer.until(lambda answer: answer.text)
        assert await stop(front, answer.id) == 204
        await noted(stack, f"end {name}")
        assert (await answer.rest()).finish_reason == "cancelled"

    # Who leaves the front leaves the back.
    answer = await chat(front, script("left", ["say", "begun"], ["wait", "never"]))
    await answer.until(lambda answer: answer.text)
    answer.connection.close()
    await noted(stack, "end left")

    for steps, code in (
        ([["tell", "Out of paper."]], "upstream_failed"),
        ([["say", "begun"], ["tell", "Out of paper."]], "upstream_failed"),
        ([["say", "x" * 100_000]], "prompt_too_long"),
    ):
        failed = await (await chat(front, script("failing", *steps))).rest()
        assert failed.error == code
        assert not failed.done
    refused = await (
        await chat(front, "a", seed=1)
    ).rest()  # which the model at the back does not take
    assert refused.error == "upstream_refused"
    assert "The model does not take seed." in refused.events[-1]["error"]["message"]
