"""The `openai` model before a real server that does what the test wrote down, every fault included."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from backend.engine.engine import Engine
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
from backend.models import Delta, End, Item, LoadedModel, load_model
from backend.models.openai_compatible import MAX_ERROR_BYTES
from backend.models.upstream import MAX_READ_CHARS, Upstream
from backend.runtime import private_folder
from backend.settings import Settings
from backend.tests import corpus
from backend.tests.scripted_engine import LIMIT_S, ending, events, finished, request, until
from backend.tests.scripted_engine import text as whole_text
from backend.tests.scripted_upstream import (
    DONE,
    END_OF_BODY,
    Asked,
    Cut,
    Hold,
    ScriptedUpstream,
    Stall,
    Step,
    begin,
    chunk,
    delta,
    event,
    finish,
    head,
    reply,
    stream,
    text,
    usage,
)

pytestmark = pytest.mark.anyio

MakeSettings = Callable[..., Settings]
Load = Callable[..., Awaitable[LoadedModel]]

KEY = "sk-proj-0123456789abcdefghijklmnopqrstuvwxyz"
GOOD = stream(text("Hi"), finish(), usage(3, 1))
PROMPT = "the quick brown prompt"


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing come between this process and the loopback address, and nothing take long that is tried again."""
    monkeypatch.setattr("backend.models.openai_compatible.BACK_OFF_S", 0.001)
    for name in list(os.environ):
        if name.upper().endswith("_PROXY") or name.startswith("OPENAI_"):
            monkeypatch.delenv(name)


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream() as running:
        yield running


@pytest.fixture
async def load(upstream: ScriptedUpstream, make_settings: MakeSettings) -> AsyncIterator[Load]:
    """Load a model whose server is the scripted one: `await load(key="…")` sets `openai_key`."""
    models = []

    async def load(**changed: Any) -> LoadedModel:
        settings = {f"openai_{name}": value for name, value in changed.items()}
        settings = {"openai_base_url": upstream.url, **settings}
        model = await load_model("openai/m", make_settings(model="openai/m", **settings))
        models.append(model)
        return model

    yield load
    for model in models:
        await model.close()


async def ask(
    model: LoadedModel, prompt: str = PROMPT, *, thinking: bool = False, **sampling: Any
) -> list[Item]:
    """Return what the answer yields."""
    return [item async for item in model.stream(asked_for(prompt, thinking, **sampling))]


def asked_for(prompt: str = PROMPT, thinking: bool = False, **sampling: Any) -> Any:
    return {**request(prompt, **sampling), "thinking": thinking}


def messages(*contents: str) -> list[Message]:
    return [{"role": "user", "content": content} for content in contents]


async def failure(model: LoadedModel, prompt: str = PROMPT) -> BurbleError:
    """Ask, and return the error."""
    with pytest.raises(BurbleError) as raised:
        await ask(model, prompt)
    return raised.value


# What is sent


async def test_a_request_is_what_every_server_of_this_kind_takes(
    upstream: ScriptedUpstream, load: Load
) -> None:
    upstream.script(*GOOD)
    assert await ask(await load()) == ["Hi", End("stop", 3, 1)]
    asked = upstream.requests[0]
    assert (asked.method, asked.path) == ("POST", "/v1/chat/completions")
    assert asked.body == {
        "model": "m",
        "messages": [{"role": "user", "content": PROMPT}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_sampling_settings_are_passed_on(upstream: ScriptedUpstream, load: Load) -> None:
    upstream.script(*GOOD)
    sampling: dict[str, Any] = {
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 7,
        "stop": ["x"],
        "seed": 1,
    }
    await ask(await load(), **sampling)
    assert sampling.items() <= upstream.requests[0].body.items()


async def test_an_empty_list_of_stop_strings_is_left_out(
    upstream: ScriptedUpstream, load: Load
) -> None:
    upstream.script(*GOOD)
    await ask(await load(), stop=[])
    assert "stop" not in upstream.requests[0].body


async def test_thinking_adds_its_members_and_only_then(
    upstream: ScriptedUpstream, load: Load
) -> None:
    model = await load(
        thinking={"chat_template_kwargs": {"enable_thinking": True}},
        extra={"chat_template_kwargs": {"enable_thinking": False}, "top_k": 20},
    )
    upstream.script(*GOOD)
    upstream.script(*GOOD)
    await ask(model)
    await ask(model, thinking=True)
    without, with_thinking = (asked.body for asked in upstream.requests)
    assert without["chat_template_kwargs"] == {"enable_thinking": False}
    assert with_thinking["chat_template_kwargs"] == {"enable_thinking": True}
    assert without["top_k"] == with_thinking["top_k"] == 20


async def test_reasoning_effort_asks_for_thinking_unless_something_else_is_set(
    upstream: ScriptedUpstream, load: Load
) -> None:
    upstream.script(*GOOD)
    await ask(await load(), thinking=True)
    assert upstream.requests[0].body["reasoning_effort"] == "medium"


async def test_extra_members_give_way_to_what_is_asked_for_and_null_takes_one_out(
    upstream: ScriptedUpstream, load: Load
) -> None:
    model = await load(extra={"temperature": 0.1, "top_p": 0.2, "stream_options": None})
    upstream.script(*GOOD)
    await ask(model, temperature=0.9)
    body = upstream.requests[0].body
    assert (body["temperature"], body["top_p"]) == (0.9, 0.2)
    assert "stream_options" not in body


@pytest.mark.parametrize("name", ["model", "messages", "stream", "n"])
@pytest.mark.parametrize("option", ["extra", "thinking"])
async def test_members_that_the_answer_depends_on_cannot_be_set(
    load: Load, option: str, name: str
) -> None:
    with pytest.raises(ValueError, match=name):
        await load(**{option: {name: 1}})


async def test_what_the_model_is_known_by(load: Load) -> None:
    model = await load(context_tokens=4096)
    assert model.abilities["name"] == "m"
    assert model.abilities["context_tokens"] == 4096
    assert model.abilities["thinking"]
    assert model.max_running == 100
    assert not (await load(thinking={})).abilities["thinking"]


# Keys


async def authorization(upstream: ScriptedUpstream, model: LoadedModel) -> str:
    upstream.script(*GOOD)
    await ask(model)
    return upstream.requests[-1].headers["authorization"]


async def test_the_key_is_sent(upstream: ScriptedUpstream, load: Load, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f" {KEY}\n")
    assert await authorization(upstream, await load(api_key=KEY)) == f"Bearer {KEY}"
    assert await authorization(upstream, await load(api_key_file=file)) == f"Bearer {KEY}"
    assert await authorization(upstream, await load()) == "Bearer none"


async def test_a_login_in_the_address_is_sent_where_there_is_no_key(
    upstream: ScriptedUpstream, load: Load
) -> None:
    url = upstream.url.replace("://", "://ada:l%40velace@")
    assert await authorization(upstream, await load(base_url=url)) == "Basic YWRhOmxAdmVsYWNl"
    model = await load(base_url=url, api_key=KEY)
    assert await authorization(upstream, model) == f"Bearer {KEY}"


@pytest.mark.parametrize("content", ["", " \n", "two words", "line\nline", "schlüssel", "\x00"])
async def test_a_file_without_a_key_is_said_when_loading(
    load: Load, tmp_path: Path, content: str
) -> None:
    file = tmp_path / "key"
    file.write_text(content)
    with pytest.raises(ValueError, match="BURBLE_OPENAI_API_KEY") as raised:
        await load(api_key_file=file)
    assert not content.strip() or content not in str(raised.value)


async def test_a_file_that_is_not_there_is_said_when_loading(load: Load, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await load(api_key_file=tmp_path / "missing")


@pytest.mark.parametrize("address", ["http://ada:pass/word@host/v1", "http://ada:pass@[::1"])
async def test_an_address_that_is_none_is_said_and_not_shown(load: Load, address: str) -> None:
    with pytest.raises(ValueError, match="openai_base_url is no address") as raised:
        await load(base_url=address)
    assert "pass" not in "".join(traceback.format_exception(raised.value))


async def test_two_keys_are_one_too_many(load: Load, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="both set"):
        await load(api_key=KEY, api_key_file=tmp_path / "key")


async def test_nothing_is_taken_from_the_packages_own_variables(
    upstream: ScriptedUpstream, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("API_KEY", "ADMIN_KEY", "ORG_ID", "PROJECT_ID", "WEBHOOK_SECRET"):
        monkeypatch.setenv(f"OPENAI_{name}", "surprise")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/surprise")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Odd: surprise\nAuthorization: surprise")
    upstream.script(*GOOD)
    await ask(await load())
    assert "surprise" not in str(upstream.requests[0].headers)


# What comes back


@pytest.mark.parametrize("name", corpus.NAMES)
async def test_a_recorded_stream_is_understood(
    upstream: ScriptedUpstream, load: Load, name: str
) -> None:
    recording = corpus.recorded(name)
    model = await load(inside_thinking=recording.inside)
    # In pieces of odd sizes, and of one that no piece of the network's has.
    for size in (len(recording.stream), 7, 61, 1001):
        pieces = [
            recording.stream[start : start + size]
            for start in range(0, len(recording.stream), size)
        ]
        upstream.script(head(), *map(chunk, pieces), END_OF_BODY)
        items: list[Item] = []
        error = None
        try:
            async for item in model.stream(asked_for()):
                items.append(item)
        except BurbleError as failure:
            error = failure
        assert corpus.said(items, error) == corpus.to_be_said(recording)


async def test_a_response_that_ends_with_the_connection_is_understood(
    upstream: ScriptedUpstream, load: Load
) -> None:
    plain = head(connection="close").replace(b"transfer-encoding: chunked\r\n", b"")
    upstream.script(plain, event(text("Hi")), event(finish()), DONE, Cut())
    assert await ask(await load()) == ["Hi", End()]


async def test_a_media_type_has_no_case(upstream: ScriptedUpstream, load: Load) -> None:
    upstream.script(head(content_type="Text/Event-Stream"), *GOOD[1:])
    assert await ask(await load()) == ["Hi", End("stop", 3, 1)]


# Faults

TOO_LONG = "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens."
TOO_LONG_SAID = [
    {"error": {"message": "x", "code": "context_length_exceeded"}},
    {"error": {"message": TOO_LONG, "type": "BadRequestError", "code": 400}},
    {"object": "error", "message": TOO_LONG, "code": 400},
    {"error": {"message": "The input (5 tokens) is longer than the model's context length (4 tokens)."}},
    {"error": {"code": 400, "message": "request (13 tokens) exceeds the available context size (8 tokens)",
               "type": "exceed_context_size_error"}},
    {"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8. Given: 9",
     "error_type": "validation"},
]  # fmt: skip

# What the server does, the error it becomes, words of its sentence, and how often it is asked.
FAULTS: dict[str, tuple[tuple[Step, ...], type[BurbleError], str, int]] = {
    "401": (reply(401, {"error": {"message": "bad key"}}), UpstreamUnauthorized, "BURBLE_OPENAI_API_KEY", 1),
    "403": (reply(403, "<html>Forbidden</html>"), UpstreamUnauthorized, "BURBLE_OPENAI_API_KEY", 1),
    "403, moderated": (
        reply(403, {"error": {"code": 403, "message": "requires moderation: flagged"}}), UpstreamRefused, "flagged", 1,
    ),
    "402": (reply(402, {"error": {"message": "Insufficient Balance"}}), UpstreamRefused, "Balance", 1),
    "404, the model": (reply(404, {"error": {"message": "no model `m`"}}), UpstreamModelUnknown, "'m'", 1),
    "404, the address": (reply(404, {"detail": "Not Found"}), UpstreamMalformed, "BURBLE_OPENAI_BASE_URL", 1),
    "404, a page": (reply(404, "<h1>no model here</h1>"), UpstreamMalformed, "BURBLE_OPENAI_BASE_URL", 1),
    "400": (reply(400, {"error": {"message": "no such voice"}}), UpstreamRefused, "no such voice", 1),
    "422": (reply(422, {"detail": [{"msg": "extra forbidden"}]}), UpstreamRefused, "extra forbidden", 1),
    "400 without a reason": (reply(400), UpstreamRefused, "does not accept", 1),
    **{
        f"too long, {number}": (reply(400, body), PromptTooLong, "too long", 1)
        for number, body in enumerate(TOO_LONG_SAID)
    },
    "413, too long": (reply(413, TOO_LONG_SAID[0]), PromptTooLong, "too long", 1),
    "max_tokens too large": (
        reply(400, {"error": {"message": f"'max_tokens' is too large: 9999. {TOO_LONG}"}}), UpstreamRefused, "9999", 1,
    ),
    "429": (reply(429), UpstreamBusy, "no more requests", 1),
    "429, for long": (reply(429, retry_after=60), UpstreamBusy, "no more requests", 1),
    "429, for a moment": (reply(429, retry_after=0), UpstreamBusy, "no more requests", 3),
    "429, in milliseconds": (reply(429, retry_after_ms=1), UpstreamBusy, "no more requests", 3),
    "429, a past date": (
        reply(429, retry_after="Wed, 21 Oct 2015 07:28:00 GMT"), UpstreamBusy, "no more requests", 3,
    ),
    "429, nonsense": (reply(429, retry_after="soon"), UpstreamBusy, "no more requests", 1),
    "429, the quota": (
        reply(429, {"error": {"message": "x", "code": "insufficient_quota"}}, retry_after=0), UpstreamBusy, "quota", 1,
    ),
    "503": (reply(503, {"error": {"message": "Loading model"}}), UpstreamBusy, "no more requests", 1),
    "503, for a moment": (reply(503, retry_after=0), UpstreamBusy, "no more requests", 3),
    "529": (reply(503), UpstreamBusy, "no more requests", 1),
    "500": (reply(500, {"error": {"message": "boom"}}), UpstreamFailed, "try again", 1),
    "500, for a moment": (reply(500, retry_after=0), UpstreamFailed, "try again", 1),
    "502": (reply(502, "<html>Bad Gateway</html>"), UpstreamFailed, "try again", 1),
    "504": (reply(504), UpstreamFailed, "try again", 1),
    "a redirect": (reply(307, location="http://127.0.0.1:9/"), UpstreamMalformed, "BURBLE_OPENAI_BASE_URL", 1),
    "a page": (reply(200, "<html>Welcome</html>"), UpstreamMalformed, "BURBLE_OPENAI_BASE_URL", 1),
    "no stream": (reply(200, {"choices": []}), UpstreamMalformed, "BURBLE_OPENAI_BASE_URL", 1),
    "a page that breaks off": ((head(200, "text/html"), chunk(b"<html>"), Cut()), UpstreamMalformed, "BASE_URL", 1),
    "an error with status 200": (reply(200, {"error": {"code": 429, "message": "x"}}), UpstreamBusy, "no more", 1),
    "no answer": ((Cut(),), UpstreamUnreachable, "hung up", 3),
    "no answer, a reset": ((Cut(reset=True),), UpstreamUnreachable, "hung up", 3),
    "half a head": ((b"HTTP/1.1 200 OK\r\nconte", Cut()), UpstreamUnreachable, "hung up", 3),
    "no HTTP": ((b"SSH-2.0-OpenSSH_9\r\n", Cut()), UpstreamUnreachable, "hung up", 3),
    "half of a refusal": ((head(400, content_length=100), b"{", Cut()), UpstreamRefused, "does not accept", 1),
    "half of a failure": ((head(500, content_length=100), b"{", Cut()), UpstreamFailed, "try again", 1),
    "a cut after the head": ((head(), Cut()), UpstreamCutOff, "broke off", 1),
    "a reset after the head": ((head(), Hold(), Cut(reset=True)), UpstreamCutOff, "broke off", 1),
    "a cut in the answer": ((*begin(text("Hi")), Cut()), UpstreamCutOff, "broke off", 1),
    "a cut in a chunk": ((*begin(text("Hi")), b"ff\r\ndata: {", Cut()), UpstreamCutOff, "broke off", 1),
    "an end without a reason": (stream(text("Hi")), UpstreamCutOff, "broke off", 1),
    "an end without anything": ((*begin(text("Hi")), END_OF_BODY), UpstreamCutOff, "broke off", 1),
    "no JSON": (stream(text("Hi"), '{"choices": [{'), UpstreamMalformed, "not an answer", 1),
    "no object": (stream(text("Hi"), "17"), UpstreamMalformed, "not an answer", 1),
    "no length": ((*begin(text("Hi")), b"zz\r\n"), UpstreamCutOff, "broke off", 1),
    "an error in the stream": (stream(text("Hi"), {"error": {"message": "boom"}}), UpstreamFailed, "try again", 1),
    "an error after the end": (
        stream(text("Hi"), finish(), {"error": {"message": "boom"}}), UpstreamFailed, "try again", 1,
    ),
    "no room in the stream": (
        stream({"error": {"message": "x", "code": "rate_limit_exceeded"}}), UpstreamBusy, "no more requests", 1,
    ),
    "too long in the stream": (stream(TOO_LONG_SAID[1]), PromptTooLong, "too long", 1),
    "refused in the stream": (stream({"error": {"message": "not so", "code": 400}}), UpstreamRefused, "not so", 1),
    "filtered": (stream(text("Hi"), finish("content_filter")), UpstreamRefused, "content filter", 1),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_is_an_error_that_says_what_to_do(
    upstream: ScriptedUpstream,
    load: Load,
    caplog: pytest.LogCaptureFixture,
    name: str,
) -> None:
    steps, kind, words, asked = FAULTS[name]
    for step in steps:
        if isinstance(step, Hold):
            step.open()
    upstream.otherwise = lambda _: steps
    error = await failure(await load())
    assert type(error) is kind
    assert words in str(error)
    assert len(upstream.requests) == asked
    if name != "filtered":
        assert "The model's server 127.0.0.1:" in caplog.text
    # Nothing is left behind.
    await until(lambda: all(request.done or request.left for request in upstream.requests))


async def test_a_refusal_that_never_ends_is_not_read_to_its_end(
    upstream: ScriptedUpstream, load: Load
) -> None:
    upstream.script(head(500, "text/html"), chunk(b"<" * 2 * MAX_ERROR_BYTES), Stall())
    async with asyncio.timeout(LIMIT_S):
        assert isinstance(await failure(await load()), UpstreamFailed)
    await until(lambda: upstream.requests[0].left is not None)


async def test_what_came_before_a_fault_is_kept(upstream: ScriptedUpstream, load: Load) -> None:
    upstream.script(*begin(text("Hi"), text(" <"), delta(reasoning="a")), Cut())
    answer = (await load()).stream(asked_for())
    assert [await anext(answer) for _ in range(3)] == ["Hi", " <", Delta(thinking="a")]
    with pytest.raises(UpstreamCutOff):
        await anext(answer)


async def test_a_connection_that_breaks_after_the_end_was_named_breaks_nothing(
    upstream: ScriptedUpstream, load: Load
) -> None:
    model = await load()
    for garbage in (b"", b"5\r\ndata", chunk(event("{"))):
        upstream.script(*begin(text("Hi"), finish()), garbage, Cut())
        assert await ask(model) == ["Hi", End()]


async def test_the_log_says_where_a_redirect_leads(
    upstream: ScriptedUpstream, load: Load, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.script(*reply(308, location="https://elsewhere.example/v1"))
    await failure(await load())
    assert "redirects to https://elsewhere.example/v1" in caplog.text


async def test_how_long_to_wait_is_passed_on(upstream: ScriptedUpstream, load: Load) -> None:
    upstream.script(*reply(429, retry_after=61.2))
    assert (await failure(await load())).retry_after == 62
    for unknown in ({}, {"retry_after": "soon"}, {"retry_after": "Mon, 01 Jan 99999 00:00:00 GMT"}):
        upstream.script(*reply(503, **unknown))
        assert (await failure(await load())).retry_after is None


async def test_nobody_there(make_settings: MakeSettings, caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        model = await load_model("openai/m", make_settings(model="openai/m", openai_base_url=url))
        error = await failure(model)
        await model.close()
    assert type(error) is UpstreamUnreachable
    assert "cannot be reached" in str(error)
    assert caplog.text.count("no connection") == 3
    assert "refused" in caplog.text


async def test_a_name_that_nobody_has(make_settings: MakeSettings) -> None:
    settings = make_settings(model="openai/m", openai_base_url="http://upstream.invalid/v1")
    model = await load_model("openai/m", settings)
    assert type(await failure(model)) is UpstreamUnreachable
    await model.close()


async def test_a_certificate_that_is_none_is_not_tried_again(
    upstream: ScriptedUpstream, load: Load, caplog: pytest.LogCaptureFixture
) -> None:
    model = await load(base_url=upstream.url.replace("http:", "https:"))
    assert type(await failure(model)) is UpstreamUnreachable
    assert upstream.connections == 1
    assert "SSL" in caplog.text


async def test_connecting_takes_no_longer_than_its_limit(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.models.openai_compatible.CONNECT_S", 0.05)
    monkeypatch.setattr("backend.models.openai_compatible.RETRY_S", 0)
    with full_server() as url:
        assert type(await failure(await load(base_url=url))) is UpstreamUnreachable


# Trying again


async def test_a_server_that_comes_up_in_time_is_asked_again(
    make_settings: MakeSettings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.models.openai_compatible.BACK_OFF_S", 0.5)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        settings = make_settings(model="openai/m", openai_base_url=f"http://127.0.0.1:{port}/v1")
        model = await load_model("openai/m", settings)
        answer = asyncio.create_task(ask(model))
        await until(lambda: "no connection" in caplog.text)
    async with ScriptedUpstream(port, lambda _: GOOD) as upstream:
        assert await answer == ["Hi", End("stop", 3, 1)]
        assert len(upstream.requests) == 1
        await model.close()


@pytest.mark.parametrize("first", [(Cut(reset=True),), reply(503, retry_after=0.01)])
async def test_what_passes_is_not_seen(
    upstream: ScriptedUpstream, load: Load, first: tuple[Step, ...]
) -> None:
    upstream.script(*first)
    upstream.script(*first)
    upstream.script(*GOOD)
    assert await ask(await load()) == ["Hi", End("stop", 3, 1)]
    bodies = [asked.body for asked in upstream.requests]
    assert bodies == [bodies[0]] * 3


async def test_nothing_is_sent_again_after_the_limit(
    upstream: ScriptedUpstream, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.models.openai_compatible.RETRY_S", 0)
    upstream.otherwise = lambda _: (Cut(),)
    await failure(await load())
    assert len(upstream.requests) == 1


async def test_a_connection_that_was_closed_while_idle_is_replaced(
    upstream: ScriptedUpstream, load: Load
) -> None:
    model = await load()
    upstream.script(*GOOD)
    await ask(model)
    for connection in list(upstream.open):
        connection.abort()
    upstream.script(*GOOD)
    assert await ask(model) == ["Hi", End("stop", 3, 1)]
    assert upstream.connections == 2


async def test_waiting_to_try_again_can_be_stopped(upstream: ScriptedUpstream, load: Load) -> None:
    upstream.script(*reply(429, retry_after=4))
    waiting = asyncio.create_task(ask(await load()))
    await until(lambda: upstream.requests and upstream.requests[0].done)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    ("complaint", "sent", "instead"),
    [
        ("Unknown parameter: 'stream_options'.", "stream_options", None),
        ("body.stream_options: Extra inputs are not permitted", "stream_options", None),
        (
            "Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead.",
            "max_tokens",
            "max_completion_tokens",
        ),
    ],
)
async def test_a_member_that_a_server_does_not_take_is_not_sent_to_it_twice(
    upstream: ScriptedUpstream, load: Load, complaint: str, sent: str, instead: str | None
) -> None:
    model = await load()
    upstream.script(*reply(400, {"error": {"message": complaint}}))
    upstream.script(*GOOD)
    upstream.script(*GOOD)
    assert await ask(model, max_tokens=5) == ["Hi", End("stop", 3, 1)]
    assert await ask(model, max_tokens=6) == ["Hi", End("stop", 3, 1)]
    first, second, third = (asked.body for asked in upstream.requests)
    assert sent in first
    assert sent not in second
    assert sent not in third
    if instead:
        assert (second[instead], third[instead]) == (5, 6)


async def test_a_user_changes_nothing_that_is_sent(upstream: ScriptedUpstream, load: Load) -> None:
    model = await load()
    prompt = "Use max_completion_tokens and no stream_options"
    upstream.script(*reply(400, {"error": {"message": f"This is not for me: {prompt}"}}))
    upstream.script(*GOOD)
    assert isinstance(await failure(model, prompt), UpstreamRefused)
    await ask(model, max_tokens=5)
    assert {"max_tokens", "stream_options"} <= {*upstream.requests[1].body}


# Stopping


@asynccontextmanager
async def _running(model: LoadedModel) -> AsyncIterator[asyncio.Task[list[Item]]]:
    task = asyncio.create_task(ask(model))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


class full_server:
    """A server whose queue of connections is full, so that connecting to it takes for ever."""

    def __enter__(self) -> str:
        self._sockets = [socket.socket() for _ in range(8)]
        server, *clients = self._sockets
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for client in clients:
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        return f"http://127.0.0.1:{server.getsockname()[1]}/v1"

    def __exit__(self, *_: object) -> None:
        for sock in self._sockets:
            sock.close()


async def test_stopping_while_it_connects(load: Load) -> None:
    with full_server() as url:
        async with _running(await load(base_url=url)) as task:
            await asyncio.sleep(0.05)  # nothing can be seen of a connection that is not there
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task


@pytest.mark.parametrize(
    "steps",
    [
        (Stall(),),
        (b"HTTP/1.1 200 OK\r\n", Stall()),
        (head(), Stall()),
        (*begin(text("Hi")), Stall()),
        (*begin(text("Hi")), b"ff\r\ndata", Stall()),
        (head(200, "text/html"), chunk(b"<"), Stall()),
        (head(500, content_length=10), Stall()),
    ],
    ids=["before the head", "in the head", "after the head", "in the answer", "in a chunk", "in a page",
         "in a refusal"],
)  # fmt: skip
async def test_stopping_closes_the_request(
    upstream: ScriptedUpstream, load: Load, steps: tuple[Step, ...]
) -> None:
    upstream.script(*steps)
    async with _running(await load()) as task:
        await until(lambda: upstream.requests)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: upstream.requests[0].left)
    await until(lambda: not upstream.open)


async def test_closing_the_generator_closes_the_request(
    upstream: ScriptedUpstream, load: Load
) -> None:
    upstream.script(*begin(text("Hi"), text(" there")), Stall())
    answer: Any = (await load()).stream(asked_for())
    assert await anext(answer) == "Hi"
    await answer.aclose()
    await until(lambda: upstream.requests[0].left)


# Many at once


async def test_more_than_100_run_at_once_and_use_their_connections_again(
    upstream: ScriptedUpstream, load: Load
) -> None:
    hold = Hold()
    upstream.otherwise = lambda _: (
        *begin(text("Hi")),
        hold,
        *map(_body, (finish(), "[DONE]")),
        END_OF_BODY,
    )
    model = await load()
    for _ in range(2):
        answers = [asyncio.create_task(ask(model)) for _ in range(120)]
        await until(lambda: len(upstream.requests) >= 120)  # none waits for another's connection
        hold.open()
        assert await asyncio.gather(*answers) == [["Hi", End()]] * 120
    assert len(upstream.requests) == 240
    assert upstream.connections == 120


def _body(data: Any) -> bytes:
    return chunk(event(data))


async def test_nothing_is_left_of_200_generations(upstream: ScriptedUpstream, load: Load) -> None:
    def otherwise(asked: Asked) -> tuple[Step, ...]:
        if asked.body["messages"][0]["content"] == "stop":
            return (*begin(text("Hi")), Stall())
        return GOOD

    upstream.otherwise = otherwise
    model = await load()
    before = asyncio.all_tasks()

    async def stop() -> None:
        answer: Any = model.stream(asked_for("stop"))
        assert await anext(answer) == "Hi"
        await answer.aclose()

    for _ in range(10):
        await asyncio.gather(*(ask(model, "go") for _ in range(10)), *(stop() for _ in range(10)))
    assert len(upstream.requests) == 200
    await until(lambda: sum(bool(asked.left) for asked in upstream.requests) == 100)
    await until(lambda: len(upstream.open) <= 20)  # idle ones, to be used again
    await model.close()
    await until(lambda: not upstream.open)
    await until(lambda: asyncio.all_tasks() == before)


# Secrets


LOGIN = "ada:l%40velace-secret@"
SECRETS = {
    "the key": f"Incorrect API key provided: {KEY}.",
    "a part of it": f"Incorrect API key provided: {KEY[:20]}****{KEY[-4:]}. Find yours at …",
    "its end": f"key=…{KEY[-12:]}",
    "masked": f"Your api key: ****{KEY[-4:]} is invalid",
    "a short key": "who is k3y-x?",
    "a header": f"got Authorization: Bearer {KEY}",
    "somebody else's": "Invalid key sk-other-key-0001",
    "the login": "user ada:l@velace-secret is not known; l@velace-secret, YWRhOmxAdmVsYWNlLXNlY3JldA==",
}
HIDDEN = (
    KEY,
    KEY[:12],
    "k3y-x",
    KEY[-4:],
    "l@velace",
    "l%40velace",
    "YWRhOmxAdm",
    "sk-other",
    "0001",
)


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("status", [200, 400, 401, 404, 500])
async def test_no_secret_is_shown(
    upstream: ScriptedUpstream, load: Load, caplog: pytest.LogCaptureFixture, status: int, name: str
) -> None:
    caplog.set_level(logging.DEBUG)
    body = {"error": {"message": SECRETS[name], "code": status}}
    upstream.otherwise = lambda _: reply(status, body)
    key = {"the login": None, "a short key": "k3y-x"}.get(name, KEY)
    error = await failure(
        await load(base_url=upstream.url.replace("://", f"://{LOGIN}"), api_key=key)
    )
    shown = [caplog.text, *traceback.format_exception(error), json.dumps(error.to_wire())]
    assert "127.0.0.1" in caplog.text
    for secret in HIDDEN:
        assert secret not in "".join(shown)


async def test_a_conversation_that_a_server_repeats_is_not_shown(
    upstream: ScriptedUpstream, load: Load, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    prompt = 'my "secret"\nplan: café'
    repeated = [{"msg": "wrong", "input": {"messages": [{"content": prompt}]}}]
    for body in (
        {"detail": repeated},
        {"error": {"message": str(repeated)}},
        {"error": {"message": f"wrong: {prompt}"}},
    ):
        upstream.script(*reply(400, body))
        error = await failure(await load(), prompt)
        assert "wrong" in str(error)
        assert "plan" not in str(error) + caplog.text
    assert "wrong" in caplog.text


def test_a_long_conversation_holds_nobody_up_and_none_of_it_is_shown() -> None:
    upstream = Upstream("host", "m", [])
    said = [f"{number} said Grace " + "x" * 80 for number in range(10_000)]
    began = time.monotonic()
    assert upstream.redact("\n".join(said), messages(*said)).startswith("[message] [message] ")
    assert time.monotonic() - began < 10  # the event loop stands still meanwhile


@pytest.mark.parametrize(
    "conversation",
    [
        ("hello", "hello Grace"),  # one holds another
        ("x" * (MAX_READ_CHARS - 10) + "Grace" + "x" * 500,),  # it goes on where no more is read
        ("the plan of Grace is to take a boat to the island at night",),  # and is shortened
    ],
)
def test_no_part_of_a_message_is_left(conversation: tuple[str, ...]) -> None:
    whole = " ".join(conversation)
    for said in (conversation, whole, f"{whole[:25]}...{whole[-22:]}"):
        shown = Upstream("host", "m", []).redact(f"wrong: {said}", messages(*conversation))
        assert shown.startswith("wrong: ")
        assert "[message]" in shown
        assert "Grace" not in shown
        assert "island" not in shown


async def test_a_long_reason_is_cut_and_is_one_line(
    upstream: ScriptedUpstream, load: Load, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.script(*reply(400, {"error": {"message": "a\nb\x1b[31m" + "c" * 10_000}}))
    error = await failure(await load())
    assert "a b[31mccc" in str(error)
    assert len(str(error)) < 400
    assert len(caplog.text.splitlines()) == 1


# In the engine


@asynccontextmanager
async def running_engine(settings: Settings) -> AsyncIterator[Engine]:
    private_folder(settings.runtime_path)
    engine = Engine(settings, settings.models[0], "0123abcd", on_change=lambda: None)
    engine.start()
    await until(lambda: engine.state()["state"] == "ready")
    try:
        yield engine
    finally:
        await engine.unload()
        engine._sweeping.cancel()


async def test_an_answer_goes_through_the_engine(
    upstream: ScriptedUpstream, make_settings: MakeSettings
) -> None:
    upstream.script(*stream(delta(reasoning_content="Hm."), text("Hi"), finish(), usage(3, 2)))
    async with running_engine(
        make_settings(model="openai/m", openai_base_url=upstream.url)
    ) as engine:
        found = await finished(engine.submit(request(PROMPT)))
    assert whole_text(found) == "[thinking...]\n\nHi"
    assert found[-1]["usage"] == {"prompt_tokens": 3, "completion_tokens": 2}


async def test_an_error_goes_through_the_engine(
    upstream: ScriptedUpstream, make_settings: MakeSettings
) -> None:
    upstream.script(*reply(429, retry_after=60))
    async with running_engine(
        make_settings(model="openai/m", openai_base_url=upstream.url)
    ) as engine:
        found = await finished(engine.submit(request(PROMPT)))
    assert found[-1]["error"]["code"] == "upstream_busy"
    assert found[-1]["error"]["retry_after"] == 60


@pytest.mark.parametrize(
    ("steps", "said"), [((Stall(),), ""), ((*begin(text("Hi")), Stall()), "Hi")]
)
async def test_a_server_that_falls_silent_is_left(
    upstream: ScriptedUpstream, make_settings: MakeSettings, steps: tuple[Step, ...], said: str
) -> None:
    upstream.script(*steps)
    settings = make_settings(model="openai/m", openai_base_url=upstream.url, dirty_timeout=60)
    async with running_engine(settings) as engine:
        engine._sweeping.cancel()
        generation = engine.submit(request(PROMPT))
        engine.reader_came(generation.id)
        await until(lambda: upstream.requests and whole_text(events(generation)) == said)
        now = time.monotonic()
        for passed_s in (0, 61):
            engine._check_clocks(generation, now + passed_s)
        assert ending(await finished(generation)) == "timeout"
        await until(lambda: upstream.requests[0].left)


async def test_a_server_that_falls_silent_after_the_end_has_answered(
    upstream: ScriptedUpstream, make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.models.openai_compatible.USAGE_S", 0.01)
    upstream.script(*begin(text("Hi"), finish()), Stall())
    settings = make_settings(model="openai/m", openai_base_url=upstream.url)
    async with running_engine(settings) as engine:
        found = await finished(engine.submit(request(PROMPT)))
    assert ending(found) == "stop"


async def test_a_stop_in_the_engine_closes_the_request(
    upstream: ScriptedUpstream, make_settings: MakeSettings
) -> None:
    upstream.script(*begin(text("Hi")), Stall())
    settings = make_settings(model="openai/m", openai_base_url=upstream.url)
    async with running_engine(settings) as engine:
        generation = engine.submit(request(PROMPT))
        engine.reader_came(generation.id)
        await until(lambda: generation.tokens)
        engine.stop(generation.id)
        await until(lambda: upstream.requests[0].left)
        assert ending(await finished(generation)) == "cancelled"


async def test_a_key_that_is_none_is_what_the_engine_says(
    make_settings: MakeSettings, tmp_path: Path, runtime_folder: Path
) -> None:
    settings = make_settings(model="openai/m", openai_api_key_file=tmp_path / "missing")
    private_folder(settings.runtime_path)
    engine = Engine(settings, settings.models[0], "0123abcd", on_change=lambda: None)
    engine.start()
    await until(lambda: engine.state()["state"] == "failed")
    assert "missing" in engine.state()["reason"]
    await engine.unload()
    engine._sweeping.cancel()


async def test_thinking_in_tags_goes_through(upstream: ScriptedUpstream, load: Load) -> None:
    upstream.script(*stream(*map(text, ["<thi", "nk>a", "</think>", "\n\n", "b"]), finish()))
    assert await ask(await load()) == [Delta(thinking="a"), "b", End()]
