"""What goes wrong between this server and the one that has the model, told twice: to users, and in the log.

Users get a `BurbleError`, whose sentence says what they, or whoever runs this server, can do. The log gets what the
other server said. Neither gets a secret: `Upstream.redact` takes out the key, and what may be a part of it, for servers
repeat it (OpenAI: "Incorrect API key provided: sk-ab***yz"), and the messages of the conversation, for some repeat
the whole request.
"""

from __future__ import annotations

import json
import logging
import math
import re
import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.utils import mktime_tz, parsedate_tz
from typing import Any

from backend.errors import (
    BurbleError,
    PromptTooLong,
    UpstreamBusy,
    UpstreamCutOff,
    UpstreamFailed,
    UpstreamMalformed,
    UpstreamModelUnknown,
    UpstreamRefused,
    UpstreamUnauthorized,
    UpstreamUnreachable,
)
from backend.link import Message

LOGGER = logging.getLogger("gunicorn.error.engine")

MAX_REASON_CHARS = 300
MAX_READ_CHARS = 5000  # of what a server says, for what was not asked for may be long
RUN = 16  # so many characters of a message in a row are a part of it
# A word of an error that holds so many characters of a secret in a row is a part of it.
SECRET_PART = 8
# What is a key, whosever it is: OpenAI's and its imitators', and a header's. `MASK` is what servers put into one.
KEY = re.compile(r"\bsk-[\w.*-]+|\b(?:Bearer|Basic) +\S+", re.IGNORECASE)
MASK = "***"

# How servers say that the conversation is longer than the model's context.
TOO_LONG = re.compile(
    "|".join(
        [
            "context_length_exceeded",  # OpenAI's code, and that of many
            "maximum context length",  # OpenAI, vLLM, SGLang, DeepSeek, OpenRouter, Mistral
            "longer than the model's context length",  # SGLang
            "longer than the maximum model length",  # vLLM
            "exceed_context_size_error",  # llama.cpp's type
            "exceeds? the available context size",  # llama.cpp
            r"`inputs` tokens \+ `max_new_tokens` must be",  # TGI
            "`inputs` must have less than",  # TGI
            "reduce the length of the (messages|prompt|input)",  # OpenAI, Groq
            "prompt is too long",
        ]
    ),
    re.IGNORECASE,
)
# The same words, when it is not the conversation that is too long (vLLM).
TOO_MANY_ASKED_FOR = re.compile(r"max_(completion_)?tokens'? is too large", re.IGNORECASE)
# How servers say that there is no such model; a 404 without such a word is about the address.
UNKNOWN_MODEL = re.compile("model|endpoints found|deployment", re.IGNORECASE)
# How servers say that nothing more will be paid for: waiting does not help.
QUOTA = re.compile("insufficient_quota|exceeded your current quota", re.IGNORECASE)

ASK_OPERATOR = "Whoever runs this server finds the reason in its log."
UNREACHABLE = "The model's server cannot be reached. Please try again in a moment."
DISCONNECTED = "The model's server hung up without an answer. Please try again in a moment."
UNAUTHORIZED = (
    "The model's server does not accept this server's API key. "
    "Whoever runs this server has to set BURBLE_OPENAI_API_KEY."
)
NOT_AN_API = (
    "The model's server sent something that is not an answer. "
    "Whoever runs this server has to check BURBLE_OPENAI_BASE_URL."
)
GARBLED = f"The model's server sent something that is not an answer. {ASK_OPERATOR}"
FAILED = "The model's server failed. Please try again in a moment."
CUT_OFF = "The model's server broke off in the middle of the answer. Please ask again."
QUOTA_USED_UP = f"The model's server says that the quota is used up. {ASK_OPERATOR}"


@dataclass(frozen=True)
class Failure:
    """What failed before the answer began; `again` says that the same request may be sent once more.

    `retry_after_s` is how long the other server wants to be left alone, where it said so.
    """

    error: BurbleError
    again: bool = False
    retry_after_s: float | None = None


class Upstream:
    """The other server, as the log calls it (`name`), and the secrets that it knows."""

    def __init__(self, name: str, model: str, secrets: Iterable[str]) -> None:
        self._name = name
        self._model = model
        self._secrets = sorted(filter(None, secrets), key=len, reverse=True)
        self._parts = {
            secret[start : start + SECRET_PART]
            for secret in self._secrets
            for start in range(len(secret) - SECRET_PART + 1)
        }

    # What failed

    def unreachable(self, error: BaseException, *, connected: bool) -> Failure:
        """Nobody answered: before or after the connection stood. A certificate gets no better by trying again."""
        causes = list(_causes(error))
        reason = self.redact(repr(causes[-1]), [])
        self._log(f"{'no answer' if connected else 'no connection'}: {reason}")
        text = DISCONNECTED if connected else f"{UNREACHABLE} {ASK_OPERATOR}"
        certain = any(isinstance(cause, ssl.SSLError) for cause in causes)
        return Failure(UpstreamUnreachable(text), again=not certain)

    def refused(
        self, status: int, headers: Mapping[str, str], body: Any, messages: list[Message]
    ) -> Failure:
        """The answer is an HTTP status that is no success; `body` is its JSON, or its text."""
        reason, words = self._understand(body, messages)
        self._log(f"status {status}: {reason or 'no reason'}")
        if 300 <= status < 400:
            self._log(f"it redirects to {self.redact(headers.get('location', '?'), [])}")
            return Failure(UpstreamMalformed(NOT_AN_API))
        if status == 405 or (status == 404 and not UNKNOWN_MODEL.search(words)):
            return Failure(UpstreamMalformed(NOT_AN_API))
        wait_s = retry_after_s(headers)
        error = self._judge(status, reason, words, wait_s)
        again = isinstance(error, UpstreamBusy) and wait_s is not None
        return Failure(error, again and not QUOTA.search(words), wait_s)

    def failed_in_answer(self, error: Any, messages: list[Message]) -> BurbleError:
        """The server put an error into the stream."""
        reason, words = self._understand({"error": error}, messages)
        code = str(error.get("code")) if isinstance(error, dict) else ""
        self._log(f"an error in the stream: {reason or 'no reason'}")
        status = int(code) if re.fullmatch("[345][0-9][0-9]", code) else 500
        if "rate_limit" in words or QUOTA.search(words):
            status = 429
        return self._judge(status, reason, words, None)

    def malformed(self, what: str, sample: str) -> BurbleError:
        """The server sent what is no answer."""
        # Not the sample: it may well be a piece of the answer.
        self._log(f"{what} ({len(sample)} characters)")
        return UpstreamMalformed(GARBLED)

    def not_an_api(self, content_type: str, sample: str, messages: list[Message]) -> BurbleError:
        """The server answered well, but with something else than a stream."""
        if "json" in content_type:  # it may well be an answer
            sample = f"{len(sample)} characters"
        self._log(self.redact(f"no stream, but {content_type}: {sample}", messages))
        return UpstreamMalformed(NOT_AN_API)

    def cut_off(self, cause: BaseException | str) -> BurbleError:
        """The answer broke off."""
        if isinstance(cause, BaseException):
            cause = repr(list(_causes(cause))[-1])
        self._log(f"the answer broke off: {self.redact(cause, [])}")
        return UpstreamCutOff(CUT_OFF)

    # What it says

    def redact(self, text: str, messages: list[Message]) -> str:
        """Return one short line of `text` without secrets and without the conversation."""
        text = without_messages(text, messages)
        for secret in self._secrets:
            text = text.replace(secret, "[key]")
        text = KEY.sub("[key]", text)
        words = ["[key]" if self._holds_secret(word) else word for word in text.split()]
        text = "".join(char for char in " ".join(words) if char.isprintable())
        return text if len(text) <= MAX_REASON_CHARS else text[: MAX_REASON_CHARS - 1] + "…"

    def _holds_secret(self, word: str) -> bool:
        return MASK in word or any(
            word[start : start + SECRET_PART] in self._parts
            for start in range(len(word) - SECRET_PART + 1)
        )

    def _understand(self, body: Any, messages: list[Message]) -> tuple[str, str]:
        """Return the reason that a body gives, to be shown, and all its words, to be searched but never shown."""
        error = body.get("error", body) if isinstance(body, dict) else body
        if isinstance(error, dict):
            reason = error.get("message") or error.get("detail") or ""
            if isinstance(reason, list):  # FastAPI's, which hold the request as well
                reason = "; ".join(
                    str(part.get("msg")) for part in reason if isinstance(part, dict)
                )
            words = json.dumps(error, ensure_ascii=False)
        elif isinstance(error, str) and not error.lstrip().startswith("<"):
            reason = words = error
        else:
            reason = words = ""
        if not isinstance(reason, str):
            reason = json.dumps(reason, ensure_ascii=False)
        return self.redact(reason, messages), words

    def _judge(self, status: int, reason: str, words: str, wait_s: float | None) -> BurbleError:
        # OpenRouter's 403 may be about what was asked.
        if status == 401 or (status == 403 and "moderation" not in words):
            return UpstreamUnauthorized(UNAUTHORIZED)
        if status == 404:
            return UpstreamModelUnknown(f"The model's server has no model {self._model!r}.")
        if TOO_LONG.search(words) and not TOO_MANY_ASKED_FOR.search(words):
            text = f"The conversation is too long for the model: {reason}"
            return PromptTooLong(text if reason else "")
        if status in (429, 503, 529):
            text = QUOTA_USED_UP if QUOTA.search(words) else UpstreamBusy.default
            return UpstreamBusy(text, retry_after=None if wait_s is None else math.ceil(wait_s))
        if 400 <= status < 500:
            text = f"The model's server does not accept this request: {reason}"
            return UpstreamRefused(text if reason else "")
        return UpstreamFailed(FAILED)

    def _log(self, what: str) -> None:
        LOGGER.warning("The model's server %s: %s", self._name, what)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that `Retry-After` asks to wait (RFC 9110, section 10.2.3), or `retry-after-ms`."""
    if milliseconds := _number(headers.get("retry-after-ms")):
        return milliseconds / 1000
    value = headers.get("retry-after")
    if (seconds := _number(value)) is not None:
        return seconds
    try:
        date = parsedate_tz(value) if value else None
        return max(0.0, mktime_tz(date) - time.time()) if date else None
    except (OverflowError, ValueError):  # a year that there is not
        return None


def without_messages(text: str, messages: list[Message]) -> str:
    """Return the beginning of `text` with `[message]` in the place of what it repeats of the conversation.

    Messages are known as they are, as JSON, and as Python shows them, and by any `RUN` characters in a row, for servers
    shorten what they repeat.
    """
    text = text[:MAX_READ_CHARS]
    runs = {text[start : start + RUN] for start in range(len(text) - RUN + 1)}
    repeated = set()
    for content in {message["content"] for message in messages}:
        json_forms = (json.dumps(content, ensure_ascii=ascii)[1:-1] for ascii in (True, False))
        for form in {content, *json_forms, repr(content)[1:-1]}:
            if len(form) >= RUN:
                beginnings = range(len(form) - RUN + 1)
                repeated |= runs.intersection(form[start : start + RUN] for start in beginnings)
            elif len(form) > 3:
                repeated.add(form)
    places = sorted(place for part in repeated for place in _places(text, part))
    parts, end = [], 0
    for start, after in places:  # they overlap
        if start >= end:
            parts += [text[end:start], "[message]"]
        end = max(end, after)
    return "".join([*parts, text[end:]])


def _places(text: str, part: str) -> Iterable[tuple[int, int]]:
    start = text.find(part)
    while start >= 0:
        yield start, start + len(part)
        start = text.find(part, start + 1)


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 <= number < math.inf else None


def _causes(error: BaseException) -> Iterable[BaseException]:
    """Yield an exception and what led to it, down to the first."""
    cause: BaseException | None = error
    while cause:
        yield cause
        inner = cause.exceptions[0] if isinstance(cause, BaseExceptionGroup) else None
        cause = inner or cause.__cause__ or cause.__context__
