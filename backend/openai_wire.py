"""What clients of OpenAI's chat API get: answers, chunks of them, and errors.

Events become chunks here, in the HTTP worker: the log of a generation has one wire, ours. The shapes are those of
OpenAI's API reference ("Chat", "Error codes"); `reasoning_content`, which it does not know, is DeepSeek's, vLLM's and
SGLang's word for what a model thinks.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from json.encoder import encode_basestring as quote
from typing import Any, Literal

from pydantic import BaseModel, Field

from backend import sse
from backend.errors import BurbleError, EngineLost, from_event

PREFIX = "/v1"  # of every path of this API

# How our events look: what is around the text of a plain token, what every event holds that says more than that, and
# what is before a thought.
TEXT, TEXT_END = sse.token("").split(b'""')
NOT_TEXT = b'", "'
THOUGHT = sse.thinking("").split(b'""')[0]

SPLIT = b"\0"  # holds the place of a text in a chunk

# The codes that OpenAI's clients know by another status, or another name; and what kind of error they take it for.
KNOWN_AS = {
    "invalid_request": (400, "invalid_request"),
    "prompt_too_long": (400, "context_length_exceeded"),
    "unknown_model": (404, "model_not_found"),
    "unauthorized": (401, "invalid_api_key"),
}
TYPES = {429: "rate_limit_error"}


class Usage(BaseModel):
    """Tokens, as the model counts them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class AnswerMessage(BaseModel):
    """The whole answer."""

    role: Literal["assistant"] = "assistant"
    content: str
    reasoning_content: str | None = Field(description="what the model has thought, if it did")
    refusal: None = None


class Choice(BaseModel):
    """The one choice."""

    index: Literal[0] = 0
    message: AnswerMessage
    finish_reason: Literal["stop", "length"]
    logprobs: None = None


class Completion(BaseModel):
    """An answer at once."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage


class Model(BaseModel):
    """A model that can be asked. Nobody knows when it was made."""

    id: str
    object: Literal["model"] = "model"
    created: Literal[0] = 0
    owned_by: Literal["burble"] = "burble"


class Models(BaseModel):
    """All that can be asked."""

    object: Literal["list"] = "list"
    data: list[Model]


class ErrorDetails(BaseModel):
    """What went wrong, for people and for programs; `param` is the dotted name of what is wrong in the request."""

    message: str
    type: Literal["invalid_request_error", "rate_limit_error", "server_error"]
    param: str | None
    code: str


class ErrorBody(BaseModel):
    """Why there is no answer, or no more of it."""

    error: ErrorDetails


def completion(generation_id: str, model: str, events: Iterable[dict[str, Any]]) -> Completion:
    """Make the whole answer of all events of a stream. Raises the error with which they end."""
    content: list[str] = []
    reasoning: list[str] = []
    for event in events:
        match event:
            case {"error": error}:
                raise from_event(error)
            case {"finish_reason": reason, "usage": usage}:
                message = AnswerMessage(
                    content="".join(content), reasoning_content="".join(reasoning) or None
                )
                return Completion(
                    id=completion_id(generation_id),
                    created=int(time.time()),
                    model=model,
                    choices=[Choice(message=message, finish_reason=_finish_reason(reason))],
                    usage=_usage(usage),
                )
            case {"thinking": thought}:
                reasoning.append(thought)
            case {"token": text}:
                content.append(text)
    raise EngineLost


class Chunks:
    """Translates the events of one stream into chunks.

    The constant parts of a chunk are made once. A run of answer text is then translated in one go, by replacing what is
    around each text: neither of the two byte strings can be part of one, where a quote is escaped and a line end too.
    """

    def __init__(self, generation_id: str, model: str, *, usage: bool) -> None:
        head = {
            "id": completion_id(generation_id),
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": model,
        }
        self._head = _json(head)[:-1]
        self._usage = usage
        # OpenAI's promise: with `include_usage` each chunk has it, and in all but the last it is null.
        self._tail = b',"usage":null}\n\n' if usage else b"}\n\n"
        self._text, self._end = self._chunk(b'{"content":%b}' % SPLIT).split(SPLIT)
        self._thought = self._chunk(b'{"reasoning_content":%b}' % SPLIT).split(SPLIT)[0]
        self._opening = self._chunk(b'{"role":"assistant","content":""}')

    def translate(self, events: bytes) -> bytes:
        """Return the chunks for these events, which are whole ones."""
        if self._opening or NOT_TEXT in events:
            return b"".join(map(self._translate_one, events.split(b"\n\n")[:-1]))
        return events.replace(TEXT, self._text).replace(TEXT_END, self._end)

    def _translate_one(self, line: bytes) -> bytes:
        if line.startswith(THOUGHT):
            thought = line[len(THOUGHT) : -1]
            return self._open() + self._thought + thought + self._end if thought != b'""' else b""
        if not line.startswith(b"data: {"):
            return line + b"\n\n"  # a comment, or [DONE]
        match json.loads(line[6:]):
            case {"status": _}:
                return sse.KEEP_ALIVE  # it says nothing that has a place here, but that all is well
            case {"error": error}:
                _, body = refusal(from_event(error))
                return b"data: %b\n\n" % _json(body)
            case {"finish_reason": reason, "usage": usage}:
                chunk = self._open() + self._chunk(b"{}", _json(_finish_reason(reason)))
                return chunk + self._usage_chunk(usage) if self._usage else chunk
            case {"thinking": _}:
                return b""  # the brackets around it
            case {"token": text}:
                return self._open() + self._text + _string(text) + self._end
            case _:
                return b""  # of a newer engine, during a reload

    def _open(self) -> bytes:
        """Return the chunk that comes before all others, once."""
        opening, self._opening = self._opening, b""
        return opening

    def _chunk(self, delta: bytes, finish_reason: bytes = b"null") -> bytes:
        choice = b'{"index":0,"delta":%b,"finish_reason":%b}' % (delta, finish_reason)
        return b'data: %b,"choices":[%b]%b' % (self._head, choice, self._tail)

    def _usage_chunk(self, usage: dict[str, int]) -> bytes:
        return b'data: %b,"choices":[],"usage":%b}\n\n' % (
            self._head,
            _json(_usage(usage).model_dump()),
        )


def refusal(error: BurbleError) -> tuple[int, dict[str, Any]]:
    """Return the status and the body that say what `error` says, by the codes that OpenAI's clients know."""
    status, code = KNOWN_AS.get(error.code, (error.status, error.code))
    kind = "server_error" if status >= 500 else TYPES.get(status, "invalid_request_error")
    param = error.errors[0]["field"] if error.errors else None
    return status, {"error": {"message": str(error), "type": kind, "param": param, "code": code}}


def completion_id(generation_id: str) -> str:
    return f"chatcmpl-{generation_id}"


def _finish_reason(reason: str) -> Literal["stop", "length"]:
    """Of an answer that somebody else has stopped say that it is not whole: there is no word for why."""
    return "stop" if reason == "stop" else "length"


def _usage(usage: dict[str, int]) -> Usage:
    return Usage(**usage, total_tokens=usage["prompt_tokens"] + usage["completion_tokens"])


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _string(text: str) -> bytes:
    return quote(text).encode()
