"""Reads a streamed answer of the chat completions API, as OpenAI and those who speak its API send it.

The servers differ: thinking comes as `reasoning_content` (DeepSeek, SGLang, llama.cpp, LM Studio), as `reasoning`
(vLLM, Ollama, OpenRouter), in parts of the content (Mistral) or between tags in the text; usage in the last chunk or in
one of its own; errors as an object, a bare string or a chunk of the kind `error`. `backend/tests/corpus/` has a stream
of each.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from backend.errors import UpstreamCutOff, UpstreamRefused
from backend.models import Delta, End, Item, Prefill
from backend.models.thinking import ThinkingSplitter
from backend.sse import EventDecoder

# No server sends so large a chunk; one that does shall not fill the memory.
MAX_EVENT_BYTES = 4 * 1024 * 1024

# What Burble calls it, for each reason that a server is known to name. A reason that is not here is one for which the
# answer was finished.
LENGTHS = {"length", "max_tokens", "model_length"}
CUTS = {"abort", "aborted", "cancelled", "error", "insufficient_system_resource"}
REFUSALS = {
    "content_filter": "The content filter of the model's server stopped this answer.",
    "tool_calls": "The model wants to call a tool, and there are none here.",
    "function_call": "The model wants to call a tool, and there are none here.",
}


class MalformedAnswer(Exception):
    """What was sent is no chunk of an answer. `sample` is the beginning of it."""

    def __init__(self, what: str, sample: bytes = b"") -> None:
        super().__init__(what)
        self.sample = sample


class ErrorInAnswer(Exception):
    """The server said in the middle of the stream that it failed: `error` is its object, or its text."""

    def __init__(self, error: Any) -> None:
        super().__init__("an error in the stream")
        self.error = error


class AnswerReader:
    """Turns the bytes of one answer into what a model yields. It does no I/O.

    `inside` says that the answer begins in the middle of the thinking (`ThinkingSplitter`).
    """

    def __init__(self, inside: bool = False) -> None:
        self.done = False  # nothing that follows belongs to the answer
        self.finish_reason: str | None = None  # named once the answer is complete
        self._events = EventDecoder(MAX_EVENT_BYTES)
        self._splitter = ThinkingSplitter(inside)
        self._usage: dict[str, Any] = {}

    def feed(self, piece: bytes) -> Iterator[Item]:
        """Yield what `piece` completes. Raises `MalformedAnswer` or `ErrorInAnswer`, after what came before it."""
        try:
            for data in self._events.feed(piece):
                if data == b"[DONE]":
                    self.done = True
                    return
                yield from self._read(data)
        except ValueError as error:
            raise MalformedAnswer(str(error)) from None

    def finish(self) -> Iterator[Item]:
        """Yield what was held back, and the `End`.

        Raises `UpstreamCutOff` for an answer whose end was never named: it looks finished and is not. `[DONE]` alone
        says nothing, for a proxy sends it as well; with a reason named, nothing but `[DONE]` can be missing.
        Raises `UpstreamRefused` where the end is not the model's own.
        """
        yield from map(_plain, self._splitter.finish())
        reason = self.finish_reason
        if reason is None or reason in CUTS:
            raise UpstreamCutOff
        if reason in REFUSALS:
            raise UpstreamRefused(REFUSALS[reason])
        yield End(
            "length" if reason in LENGTHS else "stop",
            self._count("prompt_tokens"),
            self._count("completion_tokens"),
        )

    def _read(self, data: bytes) -> Iterator[Item]:
        """Translate one chunk."""
        try:
            chunk = json.loads(data)
        except (ValueError, RecursionError):  # or nested too deeply
            raise MalformedAnswer("a chunk that is not JSON", data) from None
        if not isinstance(chunk, dict):
            raise MalformedAnswer("a chunk that is no object", data)
        if chunk.get("error") or chunk.get("object") == "error":
            raise ErrorInAnswer(chunk.get("error") or chunk)
        try:
            if usage := chunk.get("usage"):
                self._usage = dict(usage)
            # llama.cpp's, where `return_progress` asks for it.
            if progress := chunk.get("prompt_progress"):
                yield Prefill(int(progress["processed"]), int(progress["total"]))
            choices = chunk.get("choices")
            if not choices:
                return
            choice = choices[0]
            delta = choice.get("delta") or {}
            thinking = delta.get("reasoning_content") or delta.get("reasoning") or ""
            content = delta.get("content") or delta.get("refusal") or ""
            reason = choice.get("finish_reason") or self.finish_reason
            parts = _parts(content) if isinstance(content, list) else [Delta(content, thinking)]
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            raise MalformedAnswer("a chunk of another shape", data) from None
        if not isinstance(reason, str | None):
            raise MalformedAnswer("a chunk of another shape", data)
        self.finish_reason = reason
        for part in parts:
            if not isinstance(part.text, str) or not isinstance(part.thinking, str):
                raise MalformedAnswer("a chunk of another shape", data)
            if part.thinking:
                yield Delta(thinking=part.thinking)
            if part.text:
                if self._splitter.answering:
                    yield part.text
                else:
                    yield from map(_plain, self._splitter.feed(part.text))

    def _count(self, name: str) -> int | None:
        count = self._usage.get(name)
        return count if End.is_count(count) else None


def _plain(delta: Delta) -> Item:
    """Return text as a `str`, which costs the engine least."""
    return delta.text or delta


def _parts(content: list[Any]) -> list[Delta]:
    """Translate content that comes in typed parts: Mistral's, of models that think."""
    parts = []
    for part in content:
        if part["type"] == "text":
            parts.append(Delta(text=part["text"]))
        elif part["type"] == "thinking":
            parts.append(Delta(thinking="".join(piece["text"] for piece in part["thinking"])))
    return parts
