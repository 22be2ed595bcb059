from __future__ import annotations

import json

import pytest

from backend import sse
from backend.errors import EngineLost, InvalidPosition

HOSTILE = [
    "",
    "Hello! ",
    'quotes " and \\ and \\" and /',
    "".join(map(chr, range(32))) + "\x7f\x85",
    "line\nline\r\nline\r",
    "\n\ndata: [DONE]\n\n",
    "separators \u2028 and \u2029",
    "byte order mark \ufeff and replacement \ufffd",
    "中文, עברית, 😀, 👩\u200d👩\u200d👧",
    "\U0010ffff",
    "lone high \ud800",
    "lone low \udfff and text",
    "wrong order \udc00\ud800",
    "\ud800\ud800\udc00\udc00",
    "a pair in two halves \ud83d\ude00",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_the_fast_frame_of_a_token_is_the_ordinary_one(text: str) -> None:
    assert sse.token(text) == sse.event({"token": text})


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("frame", [sse.token, sse.thinking])
def test_any_text_is_one_data_line_of_utf_8_and_comes_back(frame: object, text: str) -> None:
    assert callable(frame)
    data: bytes = frame(text)
    assert data.startswith(b"data: ")
    assert data.endswith(b"\n\n")
    assert data.count(b"\n") == 2
    assert b"\r" not in data
    event = json.loads(data[6:].decode())
    read = event.get("thinking", event["token"])
    assert read == text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    read.encode()  # has no half of a character, which could not be sent on


def test_half_a_character_becomes_the_replacement_character_and_two_halves_the_character() -> None:
    assert json.loads(sse.token("a\ud83db")[6:]) == {"token": "a\ufffdb"}
    assert json.loads(sse.token("a\ud83d\ude00b")[6:]) == {"token": "a😀b"}


def test_the_events_are_those_of_the_wire() -> None:
    events = {
        sse.token("Hello! "): '{"token": "Hello! "}',
        sse.thinking_begin(): '{"token": "[thinking", "thinking": ""}',
        sse.thinking("Hm. "): '{"token": ".", "thinking": "Hm. "}',
        sse.thinking_end(): r'{"token": "]\n\n", "thinking": ""}',
        sse.queued(3): '{"token": "", "status": "queued", "position": 3}',
        sse.loading(): '{"token": "", "status": "loading"}',
        sse.prefill(1, 10): '{"token": "", "status": "prefill", "done": 1, "total": 10}',
        sse.finish("stop", 1, 33): '{"token": "", "finish_reason": "stop", '
        '"usage": {"prompt_tokens": 1, "completion_tokens": 33}}',
        sse.failure(
            EngineLost("It is gone.")
        ): '{"error": {"code": "engine_lost", "message": "It is gone."}}',
    }
    for frame, expected in events.items():
        assert frame.decode() == f"data: {expected}\n\n"
    assert sse.DONE == b"data: [DONE]\n\n"
    assert sse.KEEP_ALIVE.startswith(b":")
    assert sse.KEEP_ALIVE.endswith(b"\n\n")


@pytest.mark.parametrize("numbered", [False, True])
def test_decoding_gives_each_event_once_and_in_order(numbered: bool) -> None:
    frames = [sse.thinking_begin(), *map(sse.token, HOSTILE), sse.finish("stop", 1, 2), sse.DONE]
    if numbered:
        frames = [b"id: %d\n%b" % parts for parts in enumerate(frames, 1)]
    frames.insert(2, sse.KEEP_ALIVE)
    events = list(sse.decode(b"".join(frames)))
    assert events[0] == {"token": "[thinking", "thinking": ""}
    assert [event["token"] for event in events[1:-1]] == [
        json.loads(sse.token(text)[6:])["token"] for text in HOSTILE
    ]
    assert events[-1]["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("value", "position"), [(None, 0), ("", 0), ("0", 0), ("1", 1), ("0042", 42), ("9999999999", 9999999999)]
)  # fmt: skip
def test_last_event_id_names_a_position(value: str | None, position: int) -> None:
    assert sse.last_event_id(value) == position


@pytest.mark.parametrize(
    "value", ["-1", "+1", "1.0", "1e3", " 1", "one", "0x1", "²", "٣", "1" * 11, "9" * 5000]
)
def test_anything_but_a_decimal_number_is_no_position(value: str) -> None:
    with pytest.raises(InvalidPosition):
        sse.last_event_id(value)


# Each stream, and the data of its events.
STREAMS = {
    "one event": (b"data: a\n\n", [b"a"]),
    "no space": (b"data:a\n\ndata:  b\n\n", [b"a", b" b"]),
    "several lines": (b"data: a\ndata: b\n\n", [b"a\nb"]),
    "nothing in it": (b"data\n\ndata:\n\n", [b"", b""]),
    "carriage returns": (b"data: a\r\n\r\ndata: b\r\rdata: c\n\r\n", [b"a", b"b", b"c"]),
    "comments and other fields": (b": hi\n\nid: 1\nevent: x\ndata: a\nretry: 1\nx\n\n", [b"a"]),
    "another field of the same beginning": (b"database: a\n\n", []),
    "an event that is not over": (b"data: a\n\ndata: b\n", [b"a"]),
    "characters of several bytes": ("data: é😀\n\n".encode(), ["é😀".encode()]),
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_is_taken_apart_however_it_is_cut(name: str) -> None:
    stream, expected = STREAMS[name]
    decoder = sse.EventDecoder(100)
    assert [data for byte in stream for data in decoder.feed(bytes([byte]))] == expected
    for cut in range(len(stream) + 1):
        decoder = sse.EventDecoder(100)
        pieces = (stream[:cut], b"", stream[cut:])
        assert [data for piece in pieces for data in decoder.feed(piece)] == expected, cut


@pytest.mark.parametrize(
    "stream", [b"data: " + b"a" * 200, b"data: aaaaaaaa\n" * 20, b"data\n" * 200]
)
def test_an_event_that_never_ends_is_refused(stream: bytes) -> None:
    decoder = sse.EventDecoder(100)
    pieces = [stream[start : start + 10] for start in range(0, len(stream), 10)]
    with pytest.raises(ValueError, match="more than 100 bytes"):
        list(map(list, map(decoder.feed, pieces)))
