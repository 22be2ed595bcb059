"""What a streamed answer means, without a network: each recorded stream cut at every byte, and what is no answer."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from backend.errors import BurbleError, UpstreamCutOff, UpstreamRefused
from backend.models import Delta, End, Item
from backend.models.chat_completions import (
    MAX_EVENT_BYTES,
    AnswerReader,
    ErrorInAnswer,
    MalformedAnswer,
)
from backend.tests import corpus
from backend.tests.scripted_upstream import DONE, delta, event, finish, text, usage


def read(pieces: Iterable[bytes], inside: bool = False) -> list[Item]:
    """Return what an answer yields."""
    reader = AnswerReader(inside)
    items = [item for piece in pieces for item in reader.feed(piece)]
    return [*items, *reader.finish()]


def answer(*chunks: Any) -> list[Item]:
    return read([event(chunk) for chunk in chunks])


def heard(recording: corpus.Recorded, pieces: Iterable[bytes]) -> dict[str, Any]:
    """Return what a recorded stream says when it comes in these pieces. An error in it counts as the model's own."""
    reader = AnswerReader(recording.inside)
    items: list[Item] = []
    error = None
    try:
        for piece in pieces:
            items.extend(reader.feed(piece))
    except ErrorInAnswer:
        error = BurbleError()
    try:
        items.extend(reader.finish())
    except BurbleError as failure:
        error = error or failure
    return corpus.said(items, error)


@pytest.mark.parametrize("name", corpus.NAMES)
def test_a_recorded_stream_says_the_same_however_it_is_cut(name: str) -> None:
    recording = corpus.recorded(name)
    stream = recording.stream
    whole = heard(recording, [stream])
    expected = corpus.to_be_said(recording)
    if whole.get("error") == BurbleError.code:  # which one it becomes is the model's to say
        expected["error"] = BurbleError.code
    assert whole == expected
    assert heard(recording, [stream[i : i + 1] for i in range(len(stream))]) == expected
    for cut in range(len(stream)):
        assert heard(recording, [stream[:cut], stream[cut:]]) == expected, cut
    assert heard(recording, [stream.replace(b"\n", b"\r\n")]) == expected


def test_text_comes_as_plain_strings() -> None:
    items = answer(text("<think>a</think>b"), text("c"), finish(), "[DONE]")
    assert items == [Delta(thinking="a"), "b", "c", End()]


def test_thinking_in_its_own_member_comes_before_the_text_beside_it() -> None:
    items = answer(delta(reasoning_content="a", reasoning="a", content="b"), finish())
    assert items == [Delta(thinking="a"), "b", End()]


def test_only_the_first_choice_is_read() -> None:
    chunk = text("a")
    chunk["choices"].append({"index": 1, "delta": {"content": "b"}, "finish_reason": None})
    assert answer(chunk, finish()) == ["a", End()]


def test_what_is_held_back_comes_before_the_end() -> None:
    assert answer(text("<thi"), finish()) == ["<thi", End()]


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ("stop", "stop"),
        ("eos_token", "stop"),
        ("stop_sequence", "stop"),
        ("something new", "stop"),
        ("length", "length"),
        ("model_length", "length"),
        ("max_tokens", "length"),
    ],
)
def test_a_finish_reason_is_stop_or_length(named: str, expected: str) -> None:
    assert answer(text("a"), finish(named)) == ["a", End(expected)]


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("content_filter", "content filter"),
        ("tool_calls", "call a tool"),
        ("function_call", "call a tool"),
    ],
)
def test_an_end_that_is_not_the_models_own_is_an_error(named: str, words: str) -> None:
    with pytest.raises(UpstreamRefused, match=words):
        answer(text("a"), finish(named), "[DONE]")


@pytest.mark.parametrize(
    "chunks",
    [
        [],
        ["[DONE]"],
        [text("a")],
        [text("a"), "[DONE]"],
        [text("a"), usage(1, 2), "[DONE]"],
        [text("a"), finish("abort"), "[DONE]"],
        [text("a"), finish("error")],
    ],
)
def test_an_answer_whose_end_is_not_named_is_cut_off(chunks: list[Any]) -> None:
    with pytest.raises(UpstreamCutOff):
        answer(*chunks)


def test_the_end_is_known_without_the_last_line() -> None:
    # What could still come says nothing more about the answer.
    assert answer(text("a"), finish(), usage(1, 2)) == ["a", End("stop", 1, 2)]


def test_nothing_is_read_after_the_last_line() -> None:
    reader = AnswerReader()
    stream = event(text("a")) + event(finish()) + DONE + event(text("b")) + b"data: {\n\n"
    assert list(reader.feed(stream)) == ["a"]
    assert reader.done


@pytest.mark.parametrize(
    "counts",
    [None, {}, *({"prompt_tokens": count} for count in (None, "3", -1, 1.5, 10**4000))],
)
def test_usage_that_is_not_told_is_left_to_the_engine(counts: Any) -> None:
    assert answer(text("a"), {**finish(), "usage": counts}) == ["a", End()]


@pytest.mark.parametrize(
    "data",
    [
        "",
        "{",
        '{"choices": [{"delta": {"content": "a',
        "null",
        "[]",
        "17",
        '"text"',
        '{"choices": 1}',
        '{"choices": {"0": {}}}',
        '{"choices": [1]}',
        '{"choices": [{"delta": 1}]}',
        '{"choices": [{"delta": {"content": 1}}]}',
        '{"choices": [{"delta": {"content": {"a": 1}}}]}',
        '{"choices": [{"delta": {"content": ["a"]}}]}',
        '{"choices": [{"delta": {"content": [{"type": "text"}]}}]}',
        '{"choices": [{"delta": {"content": [{"type": "text", "text": 1}]}}]}',
        '{"choices": [{"delta": {"reasoning": ["a"]}}]}',
        '{"choices": [{"finish_reason": ["stop"]}]}',
        '{"choices": [], "usage": 17}',
        '{"prompt_progress": {"total": 1}}',
        '{"prompt_progress": {"processed": 1e999, "total": 1}}',
        "[" * 100_000,
    ],
)
def test_what_is_no_chunk_is_malformed_and_what_came_before_it_stays(data: str) -> None:
    reader = AnswerReader()
    items = reader.feed(event(text("Hi")) + event(data))
    assert next(items) == "Hi"
    with pytest.raises(MalformedAnswer):
        next(items)


@pytest.mark.parametrize("data", [b"\xff\xfe\xfd", b'{"choices": "\xc3"}'])
def test_what_is_not_utf_8_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        list(AnswerReader().feed(b"data: " + data + b"\n\n"))


def test_a_chunk_that_never_ends_is_malformed() -> None:
    with pytest.raises(MalformedAnswer, match="more than"):
        list(AnswerReader().feed(b"data: " + b"a" * (MAX_EVENT_BYTES + 1)))


@pytest.mark.parametrize("error", [{"message": "x"}, "x", ["x"], {"code": 1}])
def test_an_error_in_the_stream_is_found(error: Any) -> None:
    reader = AnswerReader()
    items = reader.feed(event(text("Hi")) + event(json.dumps({"error": error, **text("b")})))
    assert next(items) == "Hi"
    with pytest.raises(ErrorInAnswer) as found:
        next(items)
    assert found.value.error == error


@pytest.mark.parametrize("nothing", [None, {}, ""])
def test_a_member_that_says_there_is_no_error_is_none(nothing: Any) -> None:
    assert answer({**text("a"), "error": nothing}, finish()) == ["a", End()]
