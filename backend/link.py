"""The link between an HTTP worker and an engine: one unix socket that carries all their streams.

Both sides send frames: a header (stream: u32, kind: u8, length: u32, big-endian) and `length` bytes. The HTTP worker
numbers the streams, each number once; stream 0 is the link itself.

    HTTP worker → engine                            engine → HTTP worker
    START   JSON: a `GenerationRequest`             OPENED   JSON {"id": …, "complete": bool}; a STOP: {"id": …}
    ATTACH  JSON {"id", "owner", "after": position} REFUSED  JSON of a `BurbleError`; the stream is over
    STOP    JSON {"id", "owner"}                    DATA     events, whole ones
    WINDOW  u32: so many bytes were consumed        END      the log is finished and was sent whole
    DETACH  nobody reads this stream any more       STATE    JSON of an `EngineState`, on stream 0

START, ATTACH and STOP each open a stream and are answered by OPENED or REFUSED (after STOP nothing follows).
The engine sends at most `WINDOW_BYTES` more than the other side said it consumed (and at least one event): a stream
whose reader stands still costs that much, and its cursor waits in the log.
"""

from __future__ import annotations

import json
from struct import Struct
from typing import Any, NotRequired, TypedDict

START, ATTACH, STOP, WINDOW, DETACH = 1, 2, 3, 4, 5
OPENED, REFUSED, DATA, END, STATE = 16, 17, 18, 19, 20

WINDOW_BYTES = 65536

HEADER = Struct(">IBI")
U32 = Struct(">I")


class Message(TypedDict):
    """One turn of a conversation."""

    role: str
    content: str


class Caller(TypedDict):
    """Who asks, as an engine has to know it.

    `owner` is the name of the API key: nobody else may read or stop what it started; "" where there are no keys, and
    then the id is enough. `key` is the key's hash: once that is taken out, what it started ends. Limits are
    counted for `account`, and `lease` is the place among its concurrent generations that this one has taken ("": there
    is no limit). `request_id` is the HTTP request's, for logs, and `traceparent` what a span of the engine's belongs to
    (W3C Trace Context), "" where nothing is traced.
    """

    owner: str
    key: str
    account: str
    lease: str
    request_id: str
    traceparent: str


NOBODY: Caller = {
    "owner": "",
    "key": "",
    "account": "",
    "lease": "",
    "request_id": "",
    "traceparent": "",
}


class GenerationRequest(TypedDict):
    """What an engine is asked to generate.

    `model` is None for whoever takes the first one that is served. `sampling` holds only what the client set. `queue`
    says whether to wait for a place: without it an engine that is busy refuses, so that another one can be asked.
    `lent` is set by an engine that asks in another's place and counts the generation itself.
    """

    model: str | None
    messages: list[Message]
    thinking: bool
    resumable: bool
    sampling: dict[str, Any]
    queue: bool
    caller: Caller
    lent: NotRequired[bool]


# Settings of a request that a model takes only if its class names them.
SAMPLING = ("temperature", "top_p", "max_tokens", "stop", "seed")


class Abilities(TypedDict):
    """What a loaded model can be asked for: which of `SAMPLING`, thinking, and whole conversations.

    `name` is what people call it, and `context_tokens` how much it can read and write, where its class knows.
    """

    name: str | None
    sampling: list[str]
    thinking: bool
    messages: bool
    context_tokens: int | None


class EngineState(TypedDict):
    """What an engine tells the HTTP workers about itself.

    `state` is `loading`, `ready`, `failed` (the model cannot be loaded: `reason` says why; it will be tried again) or
    `draining` (it takes nothing new). The numbers count generations, and how many may run and wait at once; `log_bytes`
    is the size of all logs; `max_running` is 0, and `abilities` None, until the model is loaded.
    """

    pid: int
    state: str
    reason: str
    model: str
    running: int
    queued: int
    max_running: int
    log_bytes: int
    max_queued: int
    abilities: Abilities | None


def frame(stream: int, kind: int, payload: bytes | bytearray = b"") -> bytes:
    """Return one frame."""
    return HEADER.pack(stream, kind, len(payload)) + payload


def json_frame(stream: int, kind: int, payload: Any) -> bytes:
    """Return one frame whose payload is JSON."""
    return frame(stream, kind, json.dumps(payload).encode())


class FrameDecoder:
    """Cuts a byte stream into frames. It does no I/O and keeps what is not yet a whole frame."""

    def __init__(self) -> None:
        self._rest = b""

    def decode(self, data: bytes) -> list[tuple[int, int, bytes]]:
        """Return the (stream, kind, payload) of each frame that `data` completes, in order."""
        if self._rest:
            data = self._rest + data
        frames = []
        start, end = 0, len(data)
        while end - start >= HEADER.size:
            stream, kind, length = HEADER.unpack_from(data, start)
            after = start + HEADER.size + length
            if after > end:
                break
            frames.append((stream, kind, data[start + HEADER.size : after]))
            start = after
        self._rest = data[start:]
        return frames
