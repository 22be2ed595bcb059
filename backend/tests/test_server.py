from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from backend import link
from backend.engine.server import EngineServer
from backend.link import WINDOW_BYTES, FrameDecoder, frame, json_frame
from backend.tests.scripted_engine import (
    LIMIT_S,
    Script,
    ScriptedEngine,
    StartEngine,
    content,
    finished,
    request,
    until,
)

pytestmark = pytest.mark.anyio

KEY = "0123abcd"
TOKEN = "x" * 1000
EVENT_BYTES = len(b'data: {"token": ""}\n\n') + len(TOKEN)


class RawClient:
    """The other end of a link, which does only what the test says."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.frames: list[tuple[int, int, bytes]] = []
        self._decoder = FrameDecoder()
        self._reading = asyncio.create_task(self._read())

    def send(self, *data: bytes) -> None:
        self.writer.write(b"".join(data))

    def start(self, stream: int, prompt: str, **changed: Any) -> None:
        self.send(json_frame(stream, link.START, request(prompt, **changed)))

    def payloads(self, stream: int, kind: int) -> list[bytes]:
        return [found[2] for found in self.frames if found[:2] == (stream, kind)]

    def data(self, stream: int) -> bytes:
        return b"".join(self.payloads(stream, link.DATA))

    def ended(self, stream: int) -> bool:
        return bool(self.payloads(stream, link.END))

    async def reply(self, stream: int, kind: int) -> Any:
        await until(lambda: self.payloads(stream, kind))
        return json.loads(self.payloads(stream, kind)[-1])

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.payloads(0, link.STATE)[-1])
        return found

    def window(self, stream: int, count: int) -> None:
        self.send(frame(stream, link.WINDOW, link.U32.pack(count)))

    def stop_reading(self) -> None:
        self._reading.cancel()

    def close(self) -> None:
        self._reading.cancel()
        self.writer.close()

    async def _read(self) -> None:
        while data := await self.reader.read(2**16):
            self.frames += self._decoder.decode(data)


@asynccontextmanager
async def serving(engine: ScriptedEngine, folder: Path) -> AsyncIterator[EngineServer]:
    server = EngineServer(engine.engine, folder)
    engine.engine._on_change = server.announce
    await server.start()
    try:
        yield server
    finally:
        await server.close()


@asynccontextmanager
async def connected(folder: Path) -> AsyncIterator[RawClient]:
    client = RawClient(*await asyncio.open_unix_connection(str(folder / f"engine-{KEY}.sock")))
    try:
        yield client
    finally:
        client.close()


@pytest.fixture
def start(start_engine: StartEngine, runtime_folder: Path) -> Any:
    """Start an engine, its server and one connection to it."""

    @asynccontextmanager
    async def start(**settings: Any) -> AsyncIterator[tuple[ScriptedEngine, RawClient]]:
        async with (
            start_engine(key=KEY, **settings) as engine,
            serving(engine, runtime_folder),
            connected(runtime_folder) as client,
        ):
            yield engine, client

    return start


async def test_a_stream_is_opened_then_its_events_then_its_end(start: Any) -> None:
    async with start() as (engine, client):
        engine.scripts["a"] = Script("Hello ", "you")
        client.start(7, "a")
        await until(lambda: client.ended(7))
        kinds = [kind for stream, kind, _ in client.frames if stream == 7]
        assert kinds[0] == link.OPENED
        assert set(kinds[1:-1]) == {link.DATA}
        assert kinds[-1] == link.END
        assert client.data(7).startswith(b'data: {"token": "Hello "}\n\n')
        assert client.data(7).endswith(b"data: [DONE]\n\n")
        assert (await client.reply(7, link.OPENED))["id"].startswith(KEY)
        client.window(7, 100)  # on its way while the stream ended
        client.start(8, "a")
        await until(lambda: client.ended(8))
        assert len(client.payloads(7, link.END)) == 1


async def test_what_one_turn_appended_leaves_in_one_frame(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.models.TURN_S", LIMIT_S)  # else a pause of the machine ends it
    gate = asyncio.Event()
    async with start() as (engine, client):
        engine.scripts["a"] = Script(gate, *"abcdefgh")
        client.start(1, "a")
        await client.reply(1, link.OPENED)
        gate.set()
        await until(lambda: client.ended(1))
        assert len(client.payloads(1, link.DATA)) == 1


async def test_the_state_is_told_at_once_and_after_each_change(start: Any) -> None:
    gate = asyncio.Event()
    async with start(max_running=1) as (engine, client):
        await until(lambda: client.payloads(0, link.STATE))
        first = client.state()
        assert (first["state"], first["running"], first["max_running"]) == ("ready", 0, 1)
        engine.scripts["a"] = Script(gate)
        client.start(1, "a")
        client.start(2, "a")
        await until(lambda: (client.state()["running"], client.state()["queued"]) == (1, 1))
        gate.set()
        await until(lambda: (client.state()["running"], client.state()["queued"]) == (0, 0))
        draining = asyncio.create_task(engine.engine.drain(None))
        await until(lambda: client.state()["state"] == "draining")
        await draining


async def test_a_refusal_closes_its_stream_alone(start: Any) -> None:
    async with start() as (engine, client):
        engine.scripts["a"] = Script("fine")
        client.start(1, "a", seed=1)
        client.send(json_frame(2, link.ATTACH, {"id": KEY + "0" * 32, "after": 0, "owner": ""}))
        client.send(json_frame(3, link.STOP, {"id": KEY + "0" * 32, "owner": ""}))
        client.start(4, "a")
        assert (await client.reply(1, link.REFUSED))["code"] == "invalid_request"
        assert (await client.reply(2, link.REFUSED))["code"] == "unknown_generation"
        assert (await client.reply(3, link.REFUSED))["code"] == "unknown_generation"
        await until(lambda: client.ended(4))
        assert b"fine" in client.data(4)


async def test_a_stream_that_is_not_read_is_sent_one_window_while_another_flows(start: Any) -> None:
    count = 5 * WINDOW_BYTES // EVENT_BYTES
    async with start() as (engine, client):
        engine.scripts["a"] = Script(*[TOKEN] * count)
        client.start(1, "a")
        client.start(2, "a")
        flowing = 0
        while not client.ended(2):
            if new := len(client.data(2)) - flowing:
                client.window(2, new)
                flowing += new
            await asyncio.sleep(0.001)
        assert client.data(2).count(TOKEN.encode()) == count
        assert WINDOW_BYTES - EVENT_BYTES < len(client.data(1)) < WINDOW_BYTES + EVENT_BYTES
        assert not client.ended(1)
        client.window(1, 10 * WINDOW_BYTES)
        await until(lambda: client.ended(1))
        assert client.data(1) == client.data(2)


async def test_a_window_gives_room_for_about_as_much_as_was_read(start: Any) -> None:
    async with start() as (engine, client):
        engine.scripts["a"] = Script(*[TOKEN] * (5 * WINDOW_BYTES // EVENT_BYTES))
        client.start(1, "a")
        await until(lambda: len(client.data(1)) > WINDOW_BYTES - EVENT_BYTES)
        client.window(1, 10 * EVENT_BYTES)
        await until(lambda: len(client.data(1)) > WINDOW_BYTES + 9 * EVENT_BYTES)
        await asyncio.sleep(0.05)
        assert len(client.data(1)) < WINDOW_BYTES + 11 * EVENT_BYTES


async def test_every_frame_of_data_ends_with_a_whole_event_even_one_larger_than_the_window(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.models.MAX_PIECE", 10**9)
    large = "y" * (2 * WINDOW_BYTES)
    async with start() as (engine, client):
        engine.scripts["a"] = Script(*[TOKEN] * 50, large, *[TOKEN] * 100, large, "end")
        client.start(1, "a")
        seen = 0
        while not client.ended(1):
            if new := len(client.data(1)) - seen:
                client.window(1, new)
                seen += new
            await asyncio.sleep(0.001)
        for chunk in client.payloads(1, link.DATA):
            assert chunk.startswith(b"data: ")
            assert chunk.endswith(b"\n\n")
        assert client.data(1).count(b"y" * 100) >= 2
        assert client.data(1).endswith(b"data: [DONE]\n\n")


async def test_a_link_that_is_not_read_at_all_holds_up_no_other_and_not_the_model(
    start: Any, runtime_folder: Path
) -> None:
    gate = asyncio.Event()
    async with start() as (engine, stuck), connected(runtime_folder) as other:
        engine.scripts["a"] = Script(gate, *[TOKEN] * 200)
        engine.scripts["b"] = Script("fine")
        for stream in range(1, 31):
            stuck.start(stream, "a")
        await until(lambda: all(stuck.payloads(stream, link.OPENED) for stream in range(1, 31)))
        stuck.stop_reading()
        gate.set()
        await until(lambda: engine.engine.state()["running"] == 0)  # the model has run to its end
        other.start(1, "b")
        await until(lambda: other.ended(1))
        # And when it is read again nothing is missing.
        stuck._reading = asyncio.create_task(stuck._read())
        seen = dict.fromkeys(range(1, 31), 0)
        while not all(stuck.ended(stream) for stream in seen):
            for stream, count in seen.items():
                if new := len(stuck.data(stream)) - count:
                    stuck.window(stream, new)
                    seen[stream] = count + new
            await asyncio.sleep(0.005)
        for stream in seen:
            assert stuck.data(stream).count(TOKEN.encode()) == 200


async def test_attaching_reads_on_after_a_position_to_the_end(start: Any) -> None:
    gate = asyncio.Event()
    async with start() as (engine, client):
        engine.scripts["a"] = Script("one", "two", gate, "three")
        client.start(1, "a", resumable=True)
        generation_id = (await client.reply(1, link.OPENED))["id"]
        await until(lambda: b"two" in client.data(1))
        client.send(json_frame(2, link.ATTACH, {"id": generation_id, "after": 1, "owner": ""}))
        await until(lambda: b"two" in client.data(2))
        gate.set()
        await until(lambda: client.ended(1) and client.ended(2))
        assert client.data(1) == b'id: 1\ndata: {"token": "one"}\n\n' + client.data(2)
        client.send(json_frame(3, link.ATTACH, {"id": generation_id, "after": 5, "owner": ""}))
        assert await client.reply(3, link.OPENED) == {"id": generation_id, "complete": True}
        client.send(json_frame(4, link.ATTACH, {"id": generation_id, "after": 6, "owner": ""}))
        assert (await client.reply(4, link.REFUSED))["code"] == "invalid_position"


async def test_stopping_ends_the_stream_of_every_reader(start: Any) -> None:
    async with start() as (engine, client):
        engine.scripts["a"] = Script("begun", asyncio.Event())
        client.start(1, "a", resumable=True)
        generation_id = (await client.reply(1, link.OPENED))["id"]
        client.send(json_frame(2, link.ATTACH, {"id": generation_id, "after": 0, "owner": ""}))
        client.send(json_frame(3, link.STOP, {"id": generation_id, "owner": ""}))
        assert await client.reply(3, link.OPENED) == {"id": generation_id}
        await until(lambda: client.ended(1) and client.ended(2))
        assert b'"finish_reason": "cancelled"' in client.data(1)
        assert client.data(1) == client.data(2)


@pytest.mark.parametrize("how", ["detach", "disconnect"])
async def test_a_reader_that_leaves_takes_along_what_only_it_could_read(
    start: Any, how: str
) -> None:
    async with start() as (engine, client):
        engine.scripts["plain"] = Script("begun", asyncio.Event())
        engine.scripts["resumable"] = Script("begun", asyncio.Event())
        client.start(1, "plain")
        client.start(2, "resumable", resumable=True)
        await until(lambda: client.data(1) and client.data(2))
        if how == "detach":
            client.send(frame(1, link.DETACH), frame(2, link.DETACH))
        else:
            client.close()
        await until(lambda: "end plain" in engine.journal)
        assert "end resumable" not in engine.journal
        assert engine.engine.state()["running"] == 1


async def test_a_log_is_delivered_once_a_reader_has_all_of_it(start: Any) -> None:
    async with start() as (engine, client):
        generation = engine.ask("a", "x", resumable=True)
        await finished(generation)
        assert not generation.log.delivered
        client.send(json_frame(1, link.ATTACH, {"id": generation.id, "after": 0, "owner": ""}))
        await until(lambda: client.ended(1))
        assert client.data(1) == content(generation.log)
        assert generation.log.delivered


async def test_a_log_is_delivered_to_a_reader_who_only_asks_whether_there_is_more(
    start: Any,
) -> None:
    async with start() as (engine, client):
        generation = engine.ask("a", "x", resumable=True)
        await finished(generation)
        after = generation.log.last
        client.send(json_frame(1, link.ATTACH, {"id": generation.id, "after": after, "owner": ""}))
        await client.reply(1, link.OPENED)
        assert generation.log.delivered


async def test_the_socket_has_its_name_only_while_it_can_be_connected_to(
    start_engine: StartEngine, runtime_folder: Path
) -> None:
    path = runtime_folder / f"engine-{KEY}.sock"
    async with start_engine(key=KEY) as engine:
        async with serving(engine, runtime_folder):
            assert stat.S_ISSOCK(path.stat().st_mode)
            assert [found.name for found in runtime_folder.glob("engine-*")] == [path.name]
        assert not list(runtime_folder.glob("engine-*"))


async def test_closing_first_sends_what_is_still_to_be_read(
    start_engine: StartEngine, runtime_folder: Path
) -> None:
    async with start_engine(key=KEY) as engine:
        server = EngineServer(engine.engine, runtime_folder)
        await server.start()
        async with connected(runtime_folder) as client:
            engine.scripts["a"] = Script("begun", asyncio.Event())
            client.start(1, "a")
            await until(lambda: client.data(1))
            await engine.engine.drain(0)
            await server.close()
            await until(lambda: client.reader.at_eof())
            assert client.ended(1)
            assert b'"code": "shutdown"' in client.data(1)
