from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, cast

import pytest

from backend import sse
from backend.engine_client import Connection, Stream
from backend.errors import UpstreamBusy
from backend.event_stream import DIRECT_BODY, EventStream, read_until_it_speaks
from backend.tests.scripted_engine import LIMIT_S, until

pytestmark = pytest.mark.anyio


class Link:
    """In the place of the connection to an engine: hears what a stream tells it."""

    def __init__(self) -> None:
        self.detached: list[int] = []

    def detach(self, number: int) -> None:
        self.detached.append(number)

    def send(self, data: bytes) -> None:
        pass


class Client:
    """Who has asked: stays until the test says otherwise, and keeps what it is sent."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self.sent: list[Any] = []

    async def receive(self) -> Any:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    @property
    def bodies(self) -> list[bytes]:
        return [part["body"] for part in self.sent if part["type"] == "http.response.body"]


class Body:
    """What our own worker offers for a body (`DirectBody`)."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.full = False

    def begin(self, on_writable: Callable[[], None]) -> None:
        self.on_writable = on_writable

    def write(self, data: bytes) -> bool:
        assert data, "an empty chunk is the end of a body"
        self.written.append(data)
        return not self.full

    def end(self) -> None:
        pass


def open_stream(*events: bytes) -> Stream:
    stream = Stream(cast(Connection, Link()), 1)
    for event in events:
        stream.feed(event)
    return stream


def detached(stream: Stream) -> bool:
    return bool(cast(Link, stream._connection).detached)


async def beginning(stream: Stream, client: Client, limit_s: float = 2 * LIMIT_S) -> bytes:
    async with asyncio.timeout(LIMIT_S):
        return await read_until_it_speaks(stream, client.receive, limit_s)


# The first word


@pytest.mark.parametrize(
    "first",
    [
        sse.token("Hello"),
        sse.thinking_begin(),
        sse.finish("stop", 1, 0) + sse.DONE,
        sse.prefill(10, 10) + sse.token("Hello"),
    ],
)
async def test_news_of_the_waiting_is_passed_over_until_something_is_said(first: bytes) -> None:
    stream = open_stream()
    asking = asyncio.create_task(beginning(stream, Client()))
    for news in (sse.loading(), sse.queued(2), sse.KEEP_ALIVE, sse.prefill(1, 10)):
        stream.feed(news)
        await until(lambda: not stream._pending)
    assert not asking.done()
    stream.feed(first)
    assert await asking == first
    stream.feed(sse.token("next"))
    assert await stream.read() == sse.token("next")


async def test_a_failure_that_comes_first_is_raised() -> None:
    stream = open_stream(sse.queued(1), sse.failure(UpstreamBusy("Later.", retry_after=7)))
    with pytest.raises(UpstreamBusy, match=r"Later\.") as failure:
        await beginning(stream, Client())
    assert failure.value.retry_after == 7
    assert detached(stream)


async def test_a_silence_ends_in_a_comment_and_nothing_is_lost() -> None:
    stream = open_stream(sse.queued(1))
    assert await beginning(stream, Client(), 0.01) == sse.KEEP_ALIVE
    stream.feed(sse.token("Hello"))
    assert await stream.read() == sse.token("Hello")


async def test_who_leaves_before_the_first_word_stops_the_model() -> None:
    stream, client = open_stream(sse.queued(1)), Client()
    asking = asyncio.create_task(beginning(stream, client))
    client.gone.set()
    assert await asking == b""
    assert detached(stream)


# Another API's words


def shout(events: bytes) -> bytes:
    """A translation that has no word for some events."""
    return b"" if b"status" in events else events.upper()


@pytest.mark.parametrize("direct", [False, True])
async def test_a_translated_stream_begins_with_what_was_read_before(direct: bool) -> None:
    stream, client, body = open_stream(), Client(), Body()
    response = EventStream(stream, begun=b"begun", translate=shout)
    scope: Any = {"type": "http", "extensions": {DIRECT_BODY: body} if direct else {}}
    sending = asyncio.create_task(response(scope, client.receive, client.send))
    await until(lambda: client.sent)
    for event in (sse.loading(), sse.token("a"), sse.token("b")):
        stream.feed(event)
        await until(lambda: not stream._pending)
    stream.end()
    await sending
    sent = b"".join(body.written if direct else client.bodies)
    assert sent == b"BEGUN" + sse.token("a").upper() + sse.token("b").upper()
    assert client.sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}


async def test_a_translated_stream_waits_for_a_client_that_takes_no_more() -> None:
    stream, client, body = open_stream(), Client(), Body()
    response = EventStream(stream, translate=shout)
    scope: Any = {"type": "http", "extensions": {DIRECT_BODY: body}}
    sending = asyncio.create_task(response(scope, client.receive, client.send))
    await until(lambda: client.sent)
    body.full = True
    for name in "abc":
        stream.feed(sse.token(name))
    assert body.written == [sse.token("a").upper()]
    body.full = False
    body.on_writable()
    assert body.written[1:] == [(sse.token("b") + sse.token("c")).upper()]
    stream.end()
    await sending


@pytest.mark.parametrize("direct", [False, True])
async def test_a_translation_that_fails_ends_its_own_stream_alone(direct: bool) -> None:
    def fail(events: bytes) -> bytes:
        if events:
            raise ValueError("no word for it")
        return b""

    stream, client = open_stream(), Client()
    response = EventStream(stream, translate=fail)
    scope: Any = {"type": "http", "extensions": {DIRECT_BODY: Body()} if direct else {}}
    sending = asyncio.create_task(response(scope, client.receive, client.send))
    await until(lambda: client.sent)
    stream.feed(sse.token("a"))  # as the link does: it must go on
    with contextlib.suppress(ValueError):
        await sending
    assert detached(stream)
