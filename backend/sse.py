"""Events to bytes and back, and `Last-Event-ID` to a position.

An event is one `data:` line of JSON and an empty line (WHATWG HTML, section 9.2). The frames below are made once, in
the engine, when an event is appended to its log; everything after that moves bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from json.encoder import encode_basestring as quote
from typing import Any

from backend.errors import BurbleError, InvalidPosition, text_of

CONTENT_TYPE = "text/event-stream; charset=utf-8"
DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": keep-alive\n\n"


def token(text: str) -> bytes:
    """Frame one piece of answer text. This is the hot path: it builds what `event({"token": text})` would."""
    try:
        return f'data: {{"token": {quote(text)}}}\n\n'.encode()
    except UnicodeEncodeError:
        return token(well_formed(text))


def event(data: dict[str, Any]) -> bytes:
    """Frame one event of any other kind."""
    text = json.dumps(data, ensure_ascii=False)
    try:
        return b"data: %b\n\n" % text.encode()
    except UnicodeEncodeError:
        return b"data: %b\n\n" % well_formed(text).encode()


def thinking_begin() -> bytes:
    return event({"token": "[thinking", "thinking": ""})


def thinking(text: str) -> bytes:
    return event({"token": ".", "thinking": text})


def thinking_end() -> bytes:
    return event({"token": "]\n\n", "thinking": ""})


def queued(position: int) -> bytes:
    """Say that `position - 1` others are served before."""
    return event({"token": "", "status": "queued", "position": position})


def loading() -> bytes:
    return event({"token": "", "status": "loading"})


def prefill(done: int, total: int) -> bytes:
    return event({"token": "", "status": "prefill", "done": done, "total": total})


def finish(reason: str, prompt_tokens: int, completion_tokens: int) -> bytes:
    """Frame the record that ends a log well; `DONE` follows it."""
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens}
    return event({"token": "", "finish_reason": reason, "usage": usage})


def failure(error: BurbleError) -> bytes:
    """Frame the record that ends a log badly; nothing follows it. `retry_after` is in seconds."""
    record: dict[str, Any] = {"code": error.code, "message": text_of(error) or error.default}
    if error.retry_after is not None:
        record["retry_after"] = error.retry_after
    return event({"error": record})


def decode(stream: bytes) -> Iterator[dict[str, Any]]:
    """Yield the JSON of each whole event that this module framed, in order, without `[DONE]`."""
    for line in stream.split(b"\n"):
        if line.startswith(b"data: {"):
            yield json.loads(line[6:])


def last_event_id(value: str | None) -> int:
    """Return the position that `Last-Event-ID` names; 0, the beginning, when there is none.

    Raises `InvalidPosition` for anything but a decimal number.
    """
    if not value:
        return 0
    if not (value.isascii() and value.isdigit() and len(value) <= 10):
        raise InvalidPosition
    return int(value)


def well_formed(text: str) -> str:
    """Join surrogate pairs and replace lone surrogates, which no UTF-8 can carry (RFC 3629, section 3)."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class EventDecoder:
    """Takes the events of somebody else's stream apart (WHATWG HTML, section 9.2.6). It does no I/O."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._rest = bytearray()  # of a line, which may come byte by byte
        self._data: list[bytes] = []
        self._size = 0
        self._after_cr = False

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield the data of each event that `piece` completes. Raises `ValueError` beyond `max_bytes` of one event."""
        if self._after_cr and piece:  # a line end may be cut between its two characters
            piece = piece.removeprefix(b"\n")
            self._after_cr = False
        if b"\r" in piece:
            self._after_cr = piece.endswith(b"\r")
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        self._rest += piece
        lines: list[bytes] = []
        if b"\n" in piece:
            *lines, rest = bytes(self._rest).split(b"\n")
            self._rest = bytearray(rest)
        for line in lines:
            if line == b"data" or line.startswith(b"data:"):
                data = line[5:].removeprefix(b" ")
                self._data.append(data)
                self._size += len(data) + 1  # an empty line counts as well
            elif not line and self._data:
                yield b"\n".join(self._data)
                self._data.clear()
                self._size = 0
        if self._size + len(self._rest) > self._max_bytes:
            raise ValueError(f"an event of more than {self._max_bytes} bytes")
