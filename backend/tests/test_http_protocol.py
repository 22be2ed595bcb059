"""One connection, in the test's own event loop, and an application that says what it was asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.server import ServerState

from backend import http_protocol
from backend.event_stream import DIRECT_BODY
from backend.http_protocol import Protocol
from backend.refusals import REFUSALS

LIMIT_S = 20
HOST = b"Host: localhost\r\n"
BAD_CHUNK = b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"


class Application:
    """Answers with the headers that it was sent, at `/wait` once the test lets it, at `/direct` past ASGI."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.asked: list[str] = []
        self.written: list[bool] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.append(scope["path"])
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        body = json.dumps({"path": scope["raw_path"].decode(), "headers": headers}).encode()
        start = {"type": "http.response.start", "status": 200, "headers": []}
        if scope["path"] == "/direct":
            direct = scope["extensions"][DIRECT_BODY]
            direct.begin(lambda: None)
            await send(start)
            self.written.append(direct.write(b"x"))
        if scope["path"] == "/body":
            while (await receive()).get("more_body"):
                pass
        if scope["path"] == "/wait":
            await send(start)
            await send({"type": "http.response.body", "body": b"begun", "more_body": True})
            await self.go.wait()
        elif scope["path"] != "/direct":
            await send(start)
        await send({"type": "http.response.body", "body": body})


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def until(self, text: bytes) -> bytes:
        async with asyncio.timeout(LIMIT_S):
            return await self.reader.readuntil(text)

    async def rest(self) -> bytes:
        """Return what comes until the other side ends the connection, whichever way."""
        received = b""
        try:
            async with asyncio.timeout(LIMIT_S):
                while data := await self.reader.read(65536):
                    received += data
        except ConnectionResetError:
            pass
        return received


class Served:
    def __init__(self, app: Application, port: int, state: ServerState) -> None:
        self.app = app
        self.state = state
        self._port = port
        self._clients: list[Client] = []

    async def connect(self) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self._port))
        self._clients.append(client)
        return client

    async def close(self) -> None:
        for client in self._clients:
            client.writer.close()
        async with asyncio.timeout(LIMIT_S):
            while self.state.connections:
                await asyncio.sleep(0.002)


@asynccontextmanager
async def serve(**limits: Any) -> AsyncIterator[Served]:
    app, state, app_state = Application(), ServerState(), limits.pop("app_state", {})
    config = Config(app, timeout_keep_alive=limits.pop("keep_alive", 20), log_config=None)
    kind = type("Limited", (Protocol,), limits)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: kind(config, state, app_state), "127.0.0.1", 0)
    served = Served(app, server.sockets[0].getsockname()[1], state)
    try:
        yield served
    finally:
        app.go.set()
        await served.close()
        server.close()


def scenario(test: Callable[[], Any]) -> Callable[[], None]:
    def test_in_a_loop() -> None:
        asyncio.run(test())

    test_in_a_loop.__name__ = test.__name__
    return test_in_a_loop


def answers(received: bytes) -> int:
    return received.count(b"HTTP/1.1 ")


# Whose turn it is


@scenario
async def test_what_cannot_be_read_behind_a_running_answer_ends_the_connection_after_it() -> None:
    async with serve() as served:
        client = await served.connect()
        client.send(b"GET /wait HTTP/1.1\r\n" + HOST + b"\r\n")
        await client.until(b"begun\r\n")
        client.send(b"\0noise\r\n\r\n")
        client.send(b"GET /after HTTP/1.1\r\n" + HOST + b"\r\n")
        [protocol] = served.state.connections
        async with asyncio.timeout(LIMIT_S):
            while cast(Protocol, protocol)._discarded_bytes is None:
                await asyncio.sleep(0.002)
        served.app.go.set()
        rest = await client.rest()
        assert b"/wait" in rest
        assert rest.endswith(b"\r\n0\r\n\r\n")
        assert answers(rest) == 0
        assert served.app.asked == ["/wait"]


@scenario
async def test_a_request_whose_body_cannot_be_read_has_one_answer() -> None:
    async with serve() as served:
        for path in (b"/", b"/body", b"/direct"):
            client = await served.connect()
            client.send(b"POST " + path + b" HTTP/1.1\r\n" + HOST + BAD_CHUNK)
            received = await client.rest()
            assert received.startswith(b"HTTP/1.1 400 ")
            assert answers(received) == 1
        assert served.app.written == [False]


@scenario
async def test_a_request_that_was_answered_before_its_body_could_not_be_read_has_one_answer() -> (
    None
):
    async with serve() as served:
        client = await served.connect()
        head, bad_chunk = BAD_CHUNK[:-4], BAD_CHUNK[-4:]
        client.send(b"POST /wait HTTP/1.1\r\n" + HOST + head)
        await client.until(b"begun\r\n")
        client.send(bad_chunk)
        served.app.go.set()
        assert answers(await client.rest()) == 0


@scenario
async def test_a_flood_of_requests_ends_before_they_are_made_ready() -> None:
    async with serve() as served:
        client = await served.connect()
        client.send(b"GET /wait HTTP/1.1\r\n" + HOST + b"\r\n")
        await client.until(b"begun\r\n")
        [protocol] = served.state.connections
        client.send((b"GET / HTTP/1.1\r\n" + HOST + b"\r\n") * 1000)
        assert await client.rest() == b""
        assert len(cast(Protocol, protocol).pipeline) == http_protocol.MAX_PIPELINED + 1


# What is made of a request


async def heard(request: bytes) -> dict[str, Any]:
    """Return the path and the headers with which a request reaches the application."""
    async with serve() as served:
        client = await served.connect()
        client.send(request)
        received = await client.until(b"}}")
        found: dict[str, Any] = json.loads(received[received.index(b"{") :])
        return found


@scenario
async def test_an_absolute_target_says_who_is_asked() -> None:
    asked = await heard(b"GET http://two.example:81/a?b HTTP/1.1\r\nHost: one.example\r\n\r\n")
    assert asked == {"path": "/a", "headers": {"host": "two.example:81"}}
    asked = await heard(b"GET http://[::1]:81 HTTP/1.1\r\nHost: one.example\r\n\r\n")
    assert asked == {"path": "/", "headers": {"host": "[::1]:81"}}


@scenario
async def test_a_trailer_is_no_header() -> None:
    chunks = b"1\r\nx\r\n0\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n"
    head = b"POST /body HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
    asked = await heard(head + chunks)
    assert set(asked["headers"]) == {"host", "transfer-encoding"}


@scenario
async def test_an_upgrade_is_not_asked_for() -> None:
    asked = await heard(
        b"GET / HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    )
    assert set(asked["headers"]) == {"host", "connection"}


# Patience


@scenario
async def test_who_connects_and_sends_nothing_is_dropped() -> None:
    async with serve(write_timeout_s=0.05) as served:
        assert await (await served.connect()).rest() == b""


@scenario
async def test_empty_lines_do_not_hold_a_connection() -> None:
    async with serve(write_timeout_s=0.2) as served:
        client = await served.connect()
        client.send(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        await client.until(b"0\r\n\r\n")

        async def dribble() -> None:
            while True:
                client.send(b"\r\n")
                await asyncio.sleep(0.02)

        dribbling = asyncio.create_task(dribble())
        try:
            assert await client.rest() == b""
        finally:
            dribbling.cancel()


@scenario
async def test_a_silent_connection_between_two_requests_has_the_longer_time_of_keep_alive() -> None:
    async with serve(write_timeout_s=0.3) as served:
        client = await served.connect()
        for pause_s in (0.5, 0):
            client.send(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
            await client.until(b"0\r\n\r\n")
            await asyncio.sleep(pause_s)


class Full:
    """Refuses whatever comes, at some length."""

    def answer(self, _data: bytes) -> bytes:
        return b"content-length: 30000\r\n\r\n" + b"x" * 30_000


@scenario
async def test_who_takes_no_refusal_is_dropped_also_when_little_of_it_is_left() -> None:
    async with serve(write_timeout_s=0.2, app_state={REFUSALS: Full()}) as served:
        client = await served.connect()
        async with asyncio.timeout(LIMIT_S / 2):  # long before an idle connection ends
            while not served.state.connections:
                await asyncio.sleep(0.002)
            [protocol] = served.state.connections
            transport = cast(Protocol, protocol).transport
            while not transport.get_write_buffer_size():
                client.send(b"x")
                await asyncio.sleep(0)
            assert not cast(Protocol, protocol).flow.write_paused
            while served.state.connections:
                await asyncio.sleep(0.002)


@scenario
async def test_an_answer_takes_longer_than_a_request_may() -> None:
    async with serve(write_timeout_s=0.3) as served:
        client = await served.connect()
        client.send(b"GET /wait HTTP/1.1\r\n" + HOST + b"\r\n")
        await client.until(b"begun\r\n")
        client.send(b"\0noise\r\n\r\n")
        await asyncio.sleep(0.5)
        served.app.go.set()
        assert (await client.rest()).endswith(b"\r\n0\r\n\r\n")


@pytest.mark.parametrize(
    "refused", [b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 9\r\n\r\n", b"\0"]
)
def test_what_follows_a_refusal_is_thrown_away_up_to_a_limit(
    refused: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client has time to read its answer, as far as it does not go on and on."""
    monkeypatch.setattr(http_protocol, "MAX_DISCARDED_BYTES", 1_000_000)

    @scenario
    async def test() -> None:
        async with serve() as served:
            client = await served.connect()
            client.send(refused)
            received = await client.rest()  # our side is closed already
            assert answers(received) == 1
            [protocol] = served.state.connections
            for _ in range(9):
                client.send(b"x" * 100_000)
            async with asyncio.timeout(LIMIT_S):
                while cast(Protocol, protocol)._discarded_bytes != 900_000:
                    await asyncio.sleep(0.002)
                client.send(b"x" * 200_000)
                while served.state.connections:
                    await asyncio.sleep(0.002)

    test()


@scenario
async def test_who_does_not_hang_up_after_a_refusal_is_dropped() -> None:
    async with serve(write_timeout_s=0.3) as served:
        client = await served.connect()
        client.send(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        await client.until(b"0\r\n\r\n")
        client.send(b"\r\n" * 20_000)  # no request has begun that would have a time
        assert answers(await client.rest()) == 1
        async with asyncio.timeout(LIMIT_S):
            while served.state.connections:
                await asyncio.sleep(0.002)
