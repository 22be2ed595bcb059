"""The model of another server that speaks OpenAI's API: OpenAI, vLLM, SGLang, llama.cpp, Ollama, TGI, LM Studio, Ray …

One client for each loaded model, through OpenAI's own package, whose connections are pooled: as many as there are
generations, for it is the engine that lets them wait. How long a generation may be silent is the engine's to say as
well; here only connecting has a limit.

What is sent to the other server is what its API knows, and nothing that a variable of the environment says: the package
would read a key, an organization and headers there, for whatever server.

Retries. Nothing is tried again once the other server has begun to answer: it may have generated, and be paid for, what
would then be generated a second time, most likely where there is too much to do already. Before that, a request is sent
again, twice at most and within `RETRY_S`, when nobody answered, or when the server is busy and asks for so little time.
The package's own retries do more than that: they repeat what has failed for good, and wait for minutes.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import random
import re
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, cast

import httpx2
import openai

from backend.errors import BurbleError, UpstreamCutOff
from backend.link import Message
from backend.models import Item
from backend.models.chat_completions import AnswerReader, ErrorInAnswer, MalformedAnswer
from backend.models.upstream import Failure, Upstream, without_messages
from backend.settings import Settings

CONNECT_S = 5
ATTEMPTS = 3
RETRY_S = 5  # after which nothing is sent again
BACK_OFF_S = 0.25  # before the second attempt, twice as long before the third
# Idle connections are closed before the other side does it (uvicorn's limit, which vLLM and SGLang have, is 5 s).
KEEP_ALIVE_S = 4
USAGE_S = 5  # that a server is given to tell the usage, once it has named the end of the answer
DRAIN_S = 0.1  # that a server is given to end the response after the answer, so that its connection can be used again
SAMPLE_BYTES = 1000
MAX_ERROR_BYTES = 256 * 1024  # of the body of a refusal, which the package would read to its end

# What is sent where there is no key: the package insists on one.
NO_KEY = "none"
# No header may hold another character, and an error about one would show it (RFC 6750, section 2.1, and what else is
# in use).
KEY = re.compile(r"[\x21-\x7e]+")

# Members that some servers do not take, how they say so, and what they want instead: old servers, nothing; OpenAI's
# models that reason, another name. A request that was refused for it has not begun, so it is sent again at once.
RENAMES = {
    "stream_options": (re.compile("stream_options"), None),
    "max_tokens": (
        re.compile("use .?max_completion_tokens", re.IGNORECASE),
        "max_completion_tokens",
    ),
}
OURS = {"model", "messages", "stream", "n"}  # members that are not the operator's to set

TRANSPORT_ERRORS = (httpx2.RequestError, httpx2.StreamError, OSError)


class OpenAIModel:
    """Asks the server at `openai_base_url`, for as many answers at once as the engine lets run."""

    def __init__(self, settings: Settings) -> None:
        """Raises `ValueError` or `OSError` for an address or a key that is none, without showing it."""
        self.name = str(settings.openai_model)
        self.context_tokens = settings.openai_context_tokens
        self.can_think = bool(settings.openai_thinking)
        self._extra = settings.openai_extra
        self._thinking = settings.openai_thinking
        self._inside = settings.openai_inside_thinking
        self._renames: dict[str, str | None] = {}  # of `RENAMES`, those that this server wants
        if taken := OURS & {*self._extra, *self._thinking}:
            raise ValueError(
                f"BURBLE_OPENAI_EXTRA and BURBLE_OPENAI_THINKING must not set {', '.join(sorted(taken))}"
            )

        url = _address(settings)
        # Neither an error nor a log may hold what stands before the host's name.
        self._url = url.copy_with(username=None, password=None)
        login = url.userinfo.decode()
        key = _key(settings)
        self._key = key or NO_KEY
        self._headers = {"Accept-Encoding": "identity"}  # compressed, a stream comes in clumps
        if login and not key:
            self._headers["Authorization"] = (
                f"Basic {base64.b64encode(f'{url.username}:{url.password}'.encode()).decode()}"
            )
        secrets = [key, login, url.password, self._headers.get("Authorization", "")[6:]]
        self._upstream = Upstream(self._url.netloc.decode(), self.name, secrets)
        # It reads all certificates, which takes a while: here in a thread, and not in the event loop.
        self._tls = (
            httpx2.create_ssl_context()
            if url.scheme == "https"
            else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        )
        self._client: openai.AsyncOpenAI

    async def init(self) -> None:
        """Make the client. The other server is not asked: it may be started later than this one."""
        for name in ("openai", "httpx2", "httpcore2"):  # whatever OPENAI_LOG says
            logging.getLogger(name).setLevel(logging.WARNING)
        self._client = openai.AsyncOpenAI(
            api_key=self._key,
            base_url=self._url,
            max_retries=0,
            default_headers=self._headers,
            http_client=openai.DefaultAsyncHttpxClient(
                verify=self._tls,
                timeout=openai.Timeout(None, connect=CONNECT_S),
                limits=httpx2.Limits(
                    max_connections=None,
                    max_keepalive_connections=None,
                    keepalive_expiry=KEEP_ALIVE_S,
                ),
                follow_redirects=False,  # the key is for this server
                event_hooks={"response": [_limit_refusal]},
            ),
        )
        # Not what OPENAI_ORG_ID, OPENAI_PROJECT_ID, OPENAI_ADMIN_KEY and OPENAI_CUSTOM_HEADERS say.
        self._client.organization = self._client.project = self._client.admin_api_key = None
        self._client._custom_headers = self._headers

    async def generate(
        self,
        messages: list[Message],
        *,
        thinking: bool = False,
        temperature: float | None = None,
        top_p: float | None = None,
        max_tokens: int | None = None,
        stop: list[str] | None = None,
        seed: int | None = None,
    ) -> AsyncIterator[Item]:
        """Yield the answer as it arrives. Raises `BurbleError`, most of them `UpstreamFailed`."""
        sampling = {
            "temperature": temperature,
            "top_p": top_p,
            "max_tokens": max_tokens,
            "stop": stop or None,
            "seed": seed,
        }
        response = await self._ask(messages, self._members(sampling, thinking))
        reader = AnswerReader(self._inside)
        failure: BurbleError | None = None
        async with aclosing(response):
            await self._check_head(response, messages)
            try:
                async with aclosing(response.aiter_bytes()) as pieces:
                    while piece := await _next_piece(
                        pieces, ended=reader.finish_reason is not None
                    ):
                        for item in reader.feed(piece):
                            yield item
                        if reader.done:
                            await _drain(pieces)
                            break
            except (MalformedAnswer, ErrorInAnswer, *TRANSPORT_ERRORS) as error:
                failure = self._judge_answer(error, reader, messages)
        try:
            for item in reader.finish():
                yield item
        except UpstreamCutOff:
            failure = failure or self._upstream.cut_off(f"finish_reason {reader.finish_reason!r}")
        if failure:
            raise failure

    async def close(self) -> None:
        await self._client.close()

    # One request

    def _members(self, sampling: dict[str, Any], thinking: bool) -> dict[str, Any]:
        """Return the members of the body beside `OURS`. What a client asks for goes before what is always sent."""
        members = {
            "stream_options": {"include_usage": True},
            **self._extra,
            **{name: value for name, value in sampling.items() if value is not None},
            **(self._thinking if thinking else {}),
        }
        for name, other in self._renames.items():
            _rename(members, name, other)
        return {name: value for name, value in members.items() if value is not None}

    async def _ask(self, messages: list[Message], members: dict[str, Any]) -> httpx2.Response:
        """Send the request, again where that is safe, and return the response once its head is there."""
        deadline = time.monotonic() + RETRY_S
        attempt = 1
        while True:
            try:
                raw = await self._client.chat.completions.with_raw_response.create(
                    model=self.name, messages=cast(Any, messages), stream=True, extra_body=members
                )
                return raw.http_response
            except (openai.APIError, *TRANSPORT_ERRORS) as error:
                if self._give_in(error, members, messages):
                    continue
                failure = self._judge(error, messages)
            # Outside of the handler, so that what is raised does not carry the request along.
            wait_s = failure.retry_after_s or BACK_OFF_S * 2 ** (attempt - 1) * random.uniform(
                1, 1.5
            )
            if not failure.again or attempt == ATTEMPTS or time.monotonic() + wait_s > deadline:
                raise failure.error
            await asyncio.sleep(wait_s)
            attempt += 1

    def _give_in(self, error: Exception, members: dict[str, Any], messages: list[Message]) -> bool:
        """Take out or rename a member that the server does not take, from now on. Returns whether there was one."""
        if isinstance(error, openai.BadRequestError | openai.UnprocessableEntityError):
            said = without_messages(error.response.text, messages)  # by the server, not by a user
            for name, (complaint, other) in RENAMES.items():
                if name in members and complaint.search(said):
                    self._renames[name] = other
                    _rename(members, name, other)
                    return True
        return False

    def _judge(self, error: Exception, messages: list[Message]) -> Failure:
        if isinstance(error, openai.APIStatusError):
            response = error.response
            try:
                body = response.json()
            except ValueError:
                body = response.text
            return self._upstream.refused(response.status_code, response.headers, body, messages)
        cause = error.__cause__ if isinstance(error, openai.APIError) else error
        connected = not isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout)
        return self._upstream.unreachable(error, connected=connected)

    # Its answer

    async def _check_head(self, response: httpx2.Response, messages: list[Message]) -> None:
        """Raise what a response that is no stream means."""
        content_type = response.headers.get("content-type", "text/event-stream")
        if content_type.lower().startswith("text/event-stream"):
            return
        sample = b""
        try:
            async with aclosing(response.aiter_bytes()) as pieces:
                async for piece in pieces:
                    sample += piece
                    if len(sample) > SAMPLE_BYTES:
                        break
        except TRANSPORT_ERRORS:
            pass  # what there is of it is enough
        try:
            body = json.loads(sample)
        except ValueError:
            body = None
        if isinstance(body, dict) and body.get("error"):
            raise self._upstream.failed_in_answer(body["error"], messages)
        raise self._upstream.not_an_api(content_type, sample.decode(errors="replace"), messages)

    def _judge_answer(
        self, error: Exception, reader: AnswerReader, messages: list[Message]
    ) -> BurbleError | None:
        """Return what an error in the middle of the answer means: nothing, once the server had named its end."""
        if isinstance(error, ErrorInAnswer):
            return self._upstream.failed_in_answer(error.error, messages)
        if reader.finish_reason is not None:
            return None
        if isinstance(error, MalformedAnswer):
            sample = error.sample.decode(errors="replace")
            return self._upstream.malformed(str(error), sample)
        return self._upstream.cut_off(error)


class Beginning(httpx2.AsyncByteStream):
    """So much of a body as is worth reading, and as comes."""

    def __init__(self, body: httpx2.AsyncByteStream, max_bytes: int) -> None:
        self._body = body
        self._max_bytes = max_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = self._max_bytes
        try:
            async for piece in self._body:
                yield piece
                left -= len(piece)
                if left < 0:
                    return
        except TRANSPORT_ERRORS:
            pass  # the status has said it all

    async def aclose(self) -> None:
        await self._body.aclose()


async def _limit_refusal(response: httpx2.Response) -> None:
    if not response.is_success:
        body = cast(httpx2.AsyncByteStream, response.stream)
        response.stream = Beginning(body, MAX_ERROR_BYTES)


async def _next_piece(pieces: AsyncIterator[bytes], *, ended: bool) -> bytes:
    """Return the next bytes of an answer, or none at its end. One whose end was named has little time to go on."""
    try:
        async with asyncio.timeout(USAGE_S if ended else None):
            return await anext(pieces, b"")
    except TimeoutError:
        return b""


async def _drain(pieces: AsyncIterator[bytes]) -> None:
    """Read what follows the answer: nothing, but the connection can then be used again."""
    try:
        async with asyncio.timeout(DRAIN_S):
            async for _ in pieces:
                pass
    except (TimeoutError, *TRANSPORT_ERRORS):
        pass  # then it cannot


def _rename(members: dict[str, Any], name: str, other: str | None) -> None:
    if name in members:
        value = members.pop(name)
        if other:
            members[other] = value


def _address(settings: Settings) -> httpx2.URL:
    try:
        url = httpx2.URL(settings.openai_base_url)
    except httpx2.InvalidURL:  # which may show a part of a password
        url = httpx2.URL()
    if not url.host:
        raise ValueError("openai_base_url is no address, such as https://host:port/v1")
    return url


def _key(settings: Settings) -> str:
    """Return the key, or nothing. Raises `ValueError` or `OSError`, which say what is wrong and not what it is."""
    if settings.openai_api_key and settings.openai_api_key_file:
        raise ValueError(
            "BURBLE_OPENAI_API_KEY and BURBLE_OPENAI_API_KEY_FILE are both set: which one?"
        )
    if settings.openai_api_key_file:
        key = settings.openai_api_key_file.read_text(errors="replace").strip()
        if not key:
            raise ValueError(f"BURBLE_OPENAI_API_KEY_FILE: {settings.openai_api_key_file} is empty")
    else:
        key = settings.openai_api_key.get_secret_value().strip() if settings.openai_api_key else ""
    if key and not KEY.fullmatch(key):
        raise ValueError("BURBLE_OPENAI_API_KEY: the key holds characters that no key has")
    return key
