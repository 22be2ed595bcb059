from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from backend import sse
from backend.errors import (
    BodyTooLarge,
    BurbleError,
    EngineLost,
    InvalidRequest,
    MethodNotAllowed,
    ModelError,
    ModelTimeout,
    NotFound,
    PromptTooLong,
    QueueFull,
    UnknownModel,
    UpstreamBusy,
)
from backend.openai_wire import Chunks, completion, refusal

ID = "0123abcd" + "e" * 32
# Texts that look like what is around them on the wire.
TEXTS = [
    "Hello! ",
    "",
    "\n\n",
    '"',
    '", "',
    '"}\n\n',
    '{"token": "',
    'data: {"token": "a"}\n\n',
    'data: {"token": ',
    "}\n\n",
    "\\",
    '\\"}',
    "\0\x1f\x7f",
    "grüß 你好 👩‍👩‍👧\u2028\u2029",
    "data: [DONE]",
    ": keep-alive",
]
THOUGHTS = [sse.thinking_begin(), sse.thinking("Hm. "), sse.thinking(""), sse.thinking_end()]
END = [sse.finish("stop", 3, 4), sse.DONE]


def translate(events: Iterable[bytes], *, usage: bool = False) -> bytes:
    """Translate these events, one batch after the other."""
    chunks = Chunks(ID, "openai/llama3.2:3b", usage=usage)
    return b"".join(chunks.translate(batch) for batch in events)


def read(stream: bytes) -> list[dict[str, Any]]:
    """All chunks of a stream, each of which must be what the official client takes for one."""
    assert stream.endswith(b"\n\n")
    found = [
        json.loads(block[6:])
        for block in stream.split(b"\n\n")
        if block.startswith(b"data: {") and b'"error"' not in block[:15]
    ]
    for chunk in found:
        ChatCompletionChunk.model_validate(chunk, strict=True)
    return found


def deltas(stream: bytes) -> list[dict[str, str]]:
    return [chunk["choices"][0]["delta"] for chunk in read(stream) if chunk["choices"]]


# Streams


def test_an_answer_begins_with_its_role_and_ends_with_its_reason() -> None:
    stream = translate([sse.token("Hello! "), sse.token("I'm "), *END])
    assert stream.endswith(b"\n\ndata: [DONE]\n\n")
    found = read(stream)
    assert [chunk["choices"][0] for chunk in found] == [
        {"index": 0, "delta": delta, "finish_reason": reason}
        for delta, reason in [
            ({"role": "assistant", "content": ""}, None),
            ({"content": "Hello! "}, None),
            ({"content": "I'm "}, None),
            ({}, "stop"),
        ]
    ]
    for chunk in found:
        assert set(chunk) == {"id", "object", "created", "model", "choices"}
        assert chunk["id"] == f"chatcmpl-{ID}"
        assert chunk["object"] == "chat.completion.chunk"
        assert chunk["created"] == found[0]["created"] > 1_700_000_000
        assert chunk["model"] == "openai/llama3.2:3b"


@pytest.mark.parametrize("usage", [False, True])
@pytest.mark.parametrize("batch", [1, 2, 3, 1000])
def test_every_text_arrives_unchanged_however_the_events_come(batch: int, usage: bool) -> None:
    texts = [*TEXTS, *(a + b for a, b in itertools.product(TEXTS, TEXTS))]
    events = [sse.token("begin"), *map(sse.token, texts)]
    batches = [b"".join(events[at : at + batch]) for at in range(0, len(events), batch)]
    assert deltas(translate(batches, usage=usage))[2:] == [{"content": text} for text in texts]
    thoughts = [text for text in texts if text]
    events = [sse.thinking_begin(), *map(sse.thinking, texts), sse.thinking_end()]
    batches = [b"".join(events[at : at + batch]) for at in range(0, len(events), batch)]
    expected = [{"reasoning_content": thought} for thought in thoughts]
    assert deltas(translate(batches, usage=usage))[1:] == expected


def test_thinking_is_reasoning_content_and_its_brackets_are_nothing() -> None:
    events = [*THOUGHTS, sse.token("Yes."), *END]
    for batches in (events, [b"".join(events)]):
        stream = translate(batches)
        assert deltas(stream) == [
            {"role": "assistant", "content": ""},
            {"reasoning_content": "Hm. "},
            {"content": "Yes."},
            {},
        ]
        assert stream.count(b"\n\n") == 5  # and [DONE]


def test_news_of_the_waiting_are_comments() -> None:
    waiting = [sse.loading(), sse.queued(3), sse.queued(1), sse.KEEP_ALIVE, sse.prefill(1, 10)]
    assert translate(waiting) == sse.KEEP_ALIVE * 5
    begun = translate([sse.KEEP_ALIVE, sse.token("a"), sse.KEEP_ALIVE, sse.token("b")])
    assert begun.startswith(sse.KEEP_ALIVE)
    assert begun.count(sse.KEEP_ALIVE) == 2
    assert deltas(begun)[1:] == [{"content": "a"}, {"content": "b"}]


def test_usage_is_the_last_chunk_where_it_is_asked_for_and_null_in_all_others() -> None:
    found = read(translate([sse.token("a"), sse.token("b"), *END], usage=True))
    assert found[-1]["choices"] == []
    assert found[-1]["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    assert [chunk["usage"] for chunk in found[:-1]] == [None] * 4
    assert found[-2]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("reason", "told"), [("stop", "stop"), ("length", "length"), ("cancelled", "length")]
)
def test_an_answer_that_is_not_whole_is_never_said_to_be(reason: str, told: str) -> None:
    [opening, end] = read(translate([sse.finish(reason, 1, 0), sse.DONE]))
    assert opening["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert end["choices"][0]["finish_reason"] == told


def test_a_failure_is_the_last_event_and_there_is_no_done() -> None:
    stream = translate([sse.token("begun"), sse.failure(ModelTimeout())])
    assert deltas(stream)[1:] == [{"content": "begun"}]
    [last] = [block for block in stream.split(b"\n\n") if b"error" in block]
    assert json.loads(last.removeprefix(b"data: ")) == {
        "error": {
            "message": "The model was silent for too long.",
            "type": "server_error",
            "param": None,
            "code": "timeout",
        }
    }
    assert stream.endswith(last + b"\n\n")
    assert translate([sse.failure(EngineLost())]).startswith(b'data: {"error":')


# Whole answers


def whole(*events: bytes) -> Any:
    return completion(ID, "simulated", sse.decode(b"".join(events))).model_dump()


def test_a_whole_answer_is_what_the_official_client_reads() -> None:
    found = whole(
        sse.queued(1), sse.loading(), *THOUGHTS, *map(sse.token, TEXTS), sse.finish("stop", 3, 4)
    )
    ChatCompletion.model_validate(found, strict=True)
    assert found["id"] == f"chatcmpl-{ID}"
    assert found["object"] == "chat.completion"
    assert found["model"] == "simulated"
    assert found["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    [choice] = found["choices"]
    assert choice["finish_reason"] == "stop"
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"] == "".join(TEXTS)
    assert choice["message"]["reasoning_content"] == "Hm. "


def test_a_whole_answer_without_thinking_has_none() -> None:
    [choice] = whole(sse.token("a"), sse.finish("cancelled", 1, 1))["choices"]
    assert choice["message"]["reasoning_content"] is None
    assert choice["finish_reason"] == "length"


def test_a_whole_answer_that_failed_is_its_error() -> None:
    with pytest.raises(UpstreamBusy, match=r"Later\.") as failure:
        whole(sse.token("a"), sse.failure(UpstreamBusy("Later.", retry_after=7)))
    assert failure.value.retry_after == 7
    with pytest.raises(EngineLost):
        whole(sse.token("a"))


# Errors


@pytest.mark.parametrize(
    ("error", "status", "kind", "code"),
    [
        (InvalidRequest("No."), 400, "invalid_request_error", "invalid_request"),
        (PromptTooLong("No."), 400, "invalid_request_error", "context_length_exceeded"),
        (UnknownModel("No."), 404, "invalid_request_error", "model_not_found"),
        (NotFound("No."), 404, "invalid_request_error", "not_found"),
        (MethodNotAllowed("No."), 405, "invalid_request_error", "method_not_allowed"),
        (BodyTooLarge("No."), 413, "invalid_request_error", "body_too_large"),
        (QueueFull("No."), 503, "server_error", "queue_full"),
        (UpstreamBusy("No."), 503, "server_error", "upstream_busy"),
        (ModelError("No."), 500, "server_error", "model_error"),
        (ModelTimeout("No."), 504, "server_error", "timeout"),
        (BurbleError("No."), 500, "server_error", "error"),
    ],
)
def test_an_error_has_the_status_the_type_and_the_code_that_clients_know(
    error: BurbleError, status: int, kind: str, code: str
) -> None:
    body = {"message": "No.", "type": kind, "param": None, "code": code}
    assert refusal(error) == (status, {"error": body})


def test_an_error_names_the_parameter_that_is_wrong() -> None:
    error = InvalidRequest("No.", errors=[{"field": "messages.0.role", "message": "No."}])
    assert refusal(error)[1]["error"]["param"] == "messages.0.role"
