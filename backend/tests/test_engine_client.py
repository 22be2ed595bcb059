from __future__ import annotations

import asyncio
import json
import math
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from backend import link, sse
from backend.engine.server import EngineServer
from backend.engine_client import EngineClient, Stream
from backend.errors import (
    Draining,
    EngineLost,
    InvalidRequest,
    ModelUnavailable,
    QueueFull,
    UnknownGeneration,
)
from backend.link import WINDOW_BYTES, FrameDecoder, frame, json_frame
from backend.tests.scripted_engine import (
    Script,
    ScriptedEngine,
    StartEngine,
    content,
    finished,
    request,
    until,
)

pytestmark = pytest.mark.anyio

LIMIT_S = 20


async def read_all(stream: Stream) -> bytes:
    parts = []
    async with asyncio.timeout(LIMIT_S):
        while data := await stream.read():
            parts.append(data)
    return b"".join(parts)


@asynccontextmanager
async def client_of(
    folder: Path, keep_alive_s: float = 60, engines: int = 0, models: Sequence[str] = ()
) -> AsyncIterator[EngineClient]:
    """A client, once it has heard of so many engines."""
    client = EngineClient(folder, keep_alive_s, models=models)
    await client.open()
    await until(lambda: len(client.states()) >= engines)
    try:
        yield client
    finally:
        await client.close()
        await until(lambda: not client._connections)


@asynccontextmanager
async def serving(engine: ScriptedEngine, folder: Path) -> AsyncIterator[EngineServer]:
    server = EngineServer(engine.engine, folder)
    engine.engine._on_change = server.announce
    await server.start()
    try:
        yield server
    finally:
        await server.close()


Serve = Callable[..., Any]


@pytest.fixture
def serve(start_engine: StartEngine, runtime_folder: Path) -> Serve:
    """Start a real engine, its server and a client."""

    @asynccontextmanager
    async def serve(
        keep_alive_s: float = 60, **settings: Any
    ) -> AsyncIterator[tuple[ScriptedEngine, EngineClient]]:
        async with (
            start_engine(**settings) as engine,
            serving(engine, runtime_folder),
            client_of(runtime_folder, keep_alive_s, engines=1) as client,
        ):
            yield engine, client

    return serve


class FakeEngine:
    """An engine that answers only what the test tells it to."""

    def __init__(self, folder: Path, key: str, *, silent: bool = False, **state: Any) -> None:
        self.key = key
        self.silent = silent  # does not tell its state by itself
        self.id = key + "0" * 32
        self.frames: list[tuple[int, int, bytes]] = []
        self.state = {
            "pid": 1, "state": "ready", "reason": "", "model": "fake", "running": 0, "queued": 0, "max_running": 10,
            "max_queued": 100,
            "abilities": None,
            **state,
        }  # fmt: skip
        self.on_start: Callable[[int, Any], object] = lambda stream, message: None
        self.path = folder / f"engine-{key}.sock"
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._server: asyncio.Server

    async def __aenter__(self) -> FakeEngine:
        self._server = await asyncio.start_unix_server(self._serve, str(self.path))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.die()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def send(self, *data: bytes) -> None:
        for writer in self._writers:
            writer.write(b"".join(data))

    def tell_state(self, **state: Any) -> None:
        self.state.update(state)
        self.send(json_frame(0, link.STATE, self.state))

    def open(self, stream: int, *data: bytes) -> None:
        """Accept a start, and send these events."""
        self.send(json_frame(stream, link.OPENED, {"id": self.id, "complete": False}))
        for chunk in data:
            self.send(frame(stream, link.DATA, chunk))

    def refuse(self, stream: int, error: Any) -> None:
        self.send(json_frame(stream, link.REFUSED, error.to_wire()))

    def die(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()
        self._writers.clear()

    def got(self, kind: int) -> list[bytes]:
        return [payload for _, found, payload in self.frames if found == kind]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.append(task)
        self._writers.append(writer)
        if not self.silent:
            writer.write(json_frame(0, link.STATE, self.state))
        decoder = FrameDecoder()
        while data := await reader.read(2**16):
            for stream, kind, payload in decoder.decode(data):
                self.frames.append((stream, kind, payload))
                if kind == link.START:
                    self.on_start(stream, json.loads(payload))


# Reading


async def test_a_generation_is_started_and_read_to_its_end(serve: Serve) -> None:
    async with serve() as (engine, client):
        engine.scripts["a"] = Script("Hello ", "you")
        stream = await client.start(request("a"))
        assert stream.id.startswith(engine.engine.key)
        events = await read_all(stream)
        assert events.startswith(b'data: {"token": "Hello "}\n\n')
        assert events.endswith(b"data: [DONE]\n\n")
        assert await stream.read() == b""


async def test_a_reader_comes_back_where_it_left_off(serve: Serve) -> None:
    async with serve() as (engine, client):
        generation = engine.ask("a", "one", "two", resumable=True)
        await finished(generation)
        whole = content(generation.log)
        for position in range(generation.log.last):
            stream = await client.attach(generation.id, position)
            assert not stream.complete
            assert await read_all(stream) == whole[generation.log.offset_after(position) :]
        assert (await client.attach(generation.id, generation.log.last)).complete


async def test_a_stop_reaches_the_engine_and_may_be_repeated(serve: Serve) -> None:
    async with serve() as (engine, client):
        engine.scripts["a"] = Script("begun", asyncio.Event())
        stream = await client.start(request("a"))
        await client.stop(stream.id)
        assert b'"finish_reason": "cancelled"' in await read_all(stream)
        await client.stop(stream.id)


async def test_closing_a_stream_stops_what_nobody_else_can_read(serve: Serve) -> None:
    async with serve() as (engine, client):
        engine.scripts["a"] = Script("begun", asyncio.Event())
        stream = await client.start(request("a"))
        await stream.read()
        stream.close()
        stream.close()
        await until(lambda: "end a" in engine.journal)
        assert await stream.read() == b""


@pytest.mark.parametrize(
    "generation_id", ["", "sync", "0" * 39, "0" * 41, "0" * 40, "0123abcdé" + "0" * 31, "0123ABCD" + "0" * 32]
)  # fmt: skip
async def test_an_id_that_no_engine_gave_is_unknown(serve: Serve, generation_id: str) -> None:
    async with serve() as (_, client):
        for asking in (client.attach(generation_id, 0), client.stop(generation_id)):
            with pytest.raises(UnknownGeneration):
                await asking


async def test_a_refusal_keeps_its_class_and_its_fields(serve: Serve) -> None:
    async with serve() as (_, client):
        with pytest.raises(InvalidRequest) as refused:
            await client.start(request("a", seed=1))
        assert refused.value.errors[0]["field"] == "seed"


# Flow control


async def test_a_stream_that_is_not_read_gathers_one_window_while_another_flows(
    serve: Serve,
) -> None:
    async with serve() as (engine, client):
        engine.scripts["a"] = Script(*["x" * 1000] * 500)
        unread = await client.start(request("a"))
        flowing = await client.start(request("a"))
        events = await read_all(flowing)
        assert events.count(b"x" * 1000) == 500
        gathered = sum(map(len, unread._pending))
        assert WINDOW_BYTES - 1100 < gathered < WINDOW_BYTES + 1100
        assert await read_all(unread) == events


@pytest.mark.parametrize(
    "sizes", [[25_000, 50_000], [30_000, 60_000], [1, 200_000, 1], [65_000, 600] * 5]
)
async def test_events_of_any_sizes_arrive_though_the_reader_reports_only_now_and_then(
    serve: Serve, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.models.MAX_PIECE", 10**9)
    async with serve() as (engine, client):
        engine.scripts["a"] = Script(*("x" * size for size in sizes))
        events = await read_all(await client.start(request("a")))
        assert [len(event["token"]) for event in sse.decode(events)][:-1] == sizes


async def test_what_was_read_is_reported_and_what_was_not_read_is_not(
    runtime_folder: Path,
) -> None:
    async with (
        FakeEngine(runtime_folder, "aaaaaaaa") as engine,
        client_of(runtime_folder, engines=1) as client,
    ):
        engine.on_start = lambda stream, _: engine.open(stream, *[b"x" * 10_000] * 6)
        stream = await client.start(request("a"))
        await until(lambda: sum(map(len, stream._pending)) == 60_000)
        assert engine.got(link.WINDOW) == []
        assert len(await stream.read()) == 60_000
        await until(lambda: engine.got(link.WINDOW))
        assert engine.got(link.WINDOW) == [link.U32.pack(60_000)]
        stream.close()
        await until(lambda: engine.got(link.DETACH))


# Finding engines


async def test_a_request_waits_for_an_engine_that_appears(
    start_engine: StartEngine, runtime_folder: Path
) -> None:
    async with client_of(runtime_folder) as client, start_engine() as engine:
        engine.scripts["a"] = Script("here")
        starting = asyncio.create_task(client.start(request("a")))
        await asyncio.sleep(0.05)
        assert not starting.done()
        async with serving(engine, runtime_folder):
            assert b"here" in await read_all(await starting)


async def test_a_client_connects_again_when_its_link_breaks(serve: Serve) -> None:
    async with serve() as (engine, client):
        engine.scripts["a"] = Script("here")
        [connection] = client._connections.values()
        connection.close()  # it will be known to be lost in the next turn of the loop
        assert b"here" in await read_all(await client.start(request("a")))


async def test_the_socket_of_an_engine_that_died_is_removed_and_a_live_one_is_kept(
    serve: Serve, runtime_folder: Path
) -> None:
    stale = runtime_folder / "engine-deadbeef.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(stale))
    assert stale.exists()
    async with serve() as (engine, _):
        await until(lambda: not stale.exists())
        assert (runtime_folder / f"engine-{engine.engine.key}.sock").exists()


async def test_a_request_that_finds_no_engine_in_time_says_so(
    runtime_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.engine_client.ENGINE_WAIT_S", 0.1)
    async with client_of(runtime_folder) as client:
        with pytest.raises(ModelUnavailable) as refused:
            await client.start(request("a"))
        assert refused.value.retry_after


async def test_a_model_that_cannot_be_loaded_is_reported_at_once(runtime_folder: Path) -> None:
    failed = FakeEngine(runtime_folder, "aaaaaaaa", state="failed", reason="OSError: no weights")
    async with failed, client_of(runtime_folder, engines=1) as client:
        with pytest.raises(ModelUnavailable, match="cannot be loaded") as refused:
            await client.start(request("a"))
        assert refused.value.retry_after
        failed.tell_state(state="ready")
        failed.on_start = lambda stream, _: failed.open(stream)
        await until(lambda: client.states()[0]["state"] == "ready")
        assert (await client.start(request("a"))).id == failed.id


@pytest.mark.parametrize("ready", [True, False])
async def test_a_failure_is_not_reported_before_every_engine_has_told_its_state(
    ready: bool, runtime_folder: Path
) -> None:
    """As after a reload to a model that does not load, in a new HTTP worker."""
    failed = FakeEngine(runtime_folder, "aaaaaaaa", state="failed", reason="OSError: no weights")
    silent = FakeEngine(runtime_folder, "bbbbbbbb", silent=True)
    silent.on_start = lambda stream, _: silent.open(stream)
    async with failed, silent, client_of(runtime_folder, engines=1) as client:
        await until(lambda: silent._writers)
        starting = asyncio.create_task(client.start(request("a")))
        await asyncio.sleep(0.01)
        if ready:
            silent.tell_state()
            assert (await starting).id == silent.id
        else:
            silent.die()
            with pytest.raises(ModelUnavailable, match="cannot be loaded"):
                await starting


@pytest.mark.parametrize("ready", [True, False])
async def test_nobody_waits_for_a_model_to_load_while_an_engine_that_may_be_ready_has_not_told_its_state(
    ready: bool, runtime_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a new HTTP worker when the engine that serves until the new one has loaded is slow to answer."""
    monkeypatch.setattr("backend.engine_client.STATE_S", 0.01)
    loading = FakeEngine(runtime_folder, "aaaaaaaa", state="loading", max_running=0)
    silent = FakeEngine(runtime_folder, "bbbbbbbb", silent=True)
    for engine in (loading, silent):
        engine.on_start = lambda stream, _, engine=engine: engine.open(stream)  # type: ignore[misc]
    async with loading, silent, client_of(runtime_folder, engines=1) as client:
        await until(lambda: silent._writers)
        starting = asyncio.create_task(client.start(request("a")))
        await asyncio.sleep(0.01)
        if ready:
            silent.tell_state()
            assert (await starting).id == silent.id
        else:
            silent.die()
            assert (await starting).id == loading.id


# Choosing among several


async def test_the_emptiest_engine_that_is_ready_is_asked(runtime_folder: Path) -> None:
    async with (
        FakeEngine(runtime_folder, "aaaaaaaa", running=6) as fuller,
        FakeEngine(runtime_folder, "bbbbbbbb", running=5) as emptier,
        FakeEngine(runtime_folder, "cccccccc", state="loading", max_running=0) as loading,
        FakeEngine(runtime_folder, "dddddddd", state="draining") as draining,
        client_of(runtime_folder, engines=4) as client,
    ):
        for engine in (fuller, emptier, loading, draining):
            engine.on_start = lambda stream, _, engine=engine: engine.open(stream)  # type: ignore[misc]
        # Its own starts count before the engine tells of them: 5, 6 (a tie, either will do) and so on.
        chosen = [(await client.start(request("a"))).id for _ in range(4)]
        assert chosen[0] == emptier.id
        assert sorted(chosen[1:3]) == [fuller.id, emptier.id]
        fuller.tell_state(state="draining")
        emptier.tell_state(state="draining")
        await until(lambda: [state["state"] for state in client.states()].count("draining") == 3)
        assert (await client.start(request("a"))).id == loading.id


async def test_a_generation_goes_to_an_engine_of_its_model(runtime_folder: Path) -> None:
    async with (
        FakeEngine(runtime_folder, "aaaaaaaa", model="small", running=9) as small,
        FakeEngine(runtime_folder, "bbbbbbbb", model="large") as large,
        client_of(runtime_folder, engines=2, models=["small", "large"]) as client,
    ):
        for engine in (small, large):
            engine.on_start = lambda stream, _, engine=engine: engine.open(stream)  # type: ignore[misc]

        async def chosen(model: str | None) -> str:
            return (await client.start({**request("a"), "model": model})).id

        assert await chosen("small") == small.id
        assert await chosen("large") == large.id
        assert await chosen(None) == small.id  # the first one
        assert client.has_place("large")
        large.tell_state(running=10)
        small.tell_state(running=0)
        await until(lambda: not client.has_place("large"))
        with pytest.raises(QueueFull):
            await client.lend({**request("a"), "model": "large"})


async def test_a_model_that_failed_to_load_is_refused_though_another_serves(
    runtime_folder: Path,
) -> None:
    async with (
        FakeEngine(runtime_folder, "aaaaaaaa", model="small"),
        FakeEngine(runtime_folder, "bbbbbbbb", model="large", state="failed", reason="no room"),
        client_of(runtime_folder, engines=2, models=["small", "large"]) as client,
    ):
        with pytest.raises(ModelUnavailable, match="cannot be loaded"):
            await client.start({**request("a"), "model": "large"})


async def test_who_names_no_model_is_served_by_the_one_before_until_its_successor_has_loaded(
    runtime_folder: Path,
) -> None:
    async with (
        FakeEngine(runtime_folder, "aaaaaaaa", model="before") as before,
        FakeEngine(runtime_folder, "bbbbbbbb", model="after", state="loading") as after,
        FakeEngine(runtime_folder, "cccccccc", model="other") as other,
        client_of(runtime_folder, engines=3, models=["after", "other"]) as client,
    ):
        for engine in (before, after, other):
            engine.on_start = lambda stream, _, engine=engine: engine.open(stream)  # type: ignore[misc]
        assert (await client.start(request("a"))).id == before.id
        after.tell_state(state="ready", running=1)  # though the one before has more room
        await until(lambda: all(state["state"] == "ready" for state in client.states()))
        assert (await client.start(request("a"))).id == after.id


async def test_a_busy_engine_is_passed_over_and_only_then_is_there_waiting(
    runtime_folder: Path,
) -> None:
    asked: list[tuple[str, bool]] = []

    def busy(engine: FakeEngine) -> Callable[[int, Any], None]:
        def answer(stream: int, message: Any) -> None:
            asked.append((engine.key, message["queue"]))
            if message["queue"]:
                engine.open(stream)
            else:
                engine.refuse(stream, QueueFull())

        return answer

    async with (
        FakeEngine(runtime_folder, "aaaaaaaa", running=1) as first,
        FakeEngine(runtime_folder, "bbbbbbbb", running=2, queued=4) as second,
        client_of(runtime_folder, engines=2) as client,
    ):
        first.on_start, second.on_start = busy(first), busy(second)
        assert (await client.start(request("a", queue=False))).id == first.id
        assert asked == [("aaaaaaaa", False), ("bbbbbbbb", False), ("aaaaaaaa", True)]
        first.on_start = lambda stream, _: first.refuse(stream, QueueFull())
        second.on_start = lambda stream, _: second.refuse(stream, QueueFull())
        with pytest.raises(QueueFull):
            await client.start(request("a", queue=False))


async def test_an_engine_that_is_leaving_sends_the_request_on(runtime_folder: Path) -> None:
    async with (
        FakeEngine(runtime_folder, "aaaaaaaa") as leaving,
        FakeEngine(runtime_folder, "bbbbbbbb", running=5) as staying,
        client_of(runtime_folder, engines=2) as client,
    ):
        leaving.on_start = lambda stream, _: leaving.refuse(stream, Draining())
        staying.on_start = lambda stream, _: staying.open(stream)
        assert (await client.start(request("a"))).id == staying.id
        assert leaving.got(link.START)


async def test_lending_takes_only_a_free_place(runtime_folder: Path) -> None:
    async with (
        FakeEngine(runtime_folder, "aaaaaaaa", running=10) as full,
        FakeEngine(runtime_folder, "bbbbbbbb", running=9) as free,
        client_of(runtime_folder, engines=2) as client,
    ):
        free.on_start = lambda stream, message: free.open(stream)
        assert client.has_place("fake")
        assert (await client.lend(request("a"))).id == free.id
        assert json.loads(free.got(link.START)[0])["queue"] is False
        assert not client.has_place("fake")
        with pytest.raises(QueueFull):
            await client.lend(request("a"))
        assert not full.got(link.START)


# Losing an engine


async def test_a_lost_link_ends_open_streams_with_a_failure(runtime_folder: Path) -> None:
    async with (
        FakeEngine(runtime_folder, "aaaaaaaa") as engine,
        client_of(runtime_folder, engines=1) as client,
    ):
        engine.on_start = lambda stream, _: engine.open(stream, sse.token("begun"))
        read, unread = await client.start(request("a")), await client.start(request("a"))
        assert await read.read() == sse.token("begun")
        engine.die()
        assert await read_all(read) == sse.failure(EngineLost())
        assert await read_all(unread) == sse.token("begun") + sse.failure(EngineLost())
        read.close()  # nobody is there to be told
        with pytest.raises(UnknownGeneration):
            await client.attach(read.id, 0)


async def test_a_start_that_was_not_answered_goes_to_another_engine(runtime_folder: Path) -> None:
    async with (
        FakeEngine(runtime_folder, "aaaaaaaa") as dying,
        FakeEngine(runtime_folder, "bbbbbbbb", running=5) as other,
        client_of(runtime_folder, engines=2) as client,
    ):
        dying.on_start = lambda *_: dying.die()
        other.on_start = lambda stream, _: other.open(stream)
        assert (await client.start(request("a"))).id == other.id


async def test_an_engine_that_is_lost_while_another_is_asked_is_not_waited_for(
    runtime_folder: Path,
) -> None:
    async with (
        FakeEngine(runtime_folder, "aaaaaaaa") as busy,
        FakeEngine(runtime_folder, "bbbbbbbb", running=5) as dying,
        client_of(runtime_folder, engines=2) as client,
    ):
        starts: list[int] = []

        def refuse_once_the_other_is_gone(stream: int, message: Any) -> None:
            starts.append(stream)
            if message["queue"]:
                busy.open(stream)
            else:
                dying.die()
                asyncio.get_running_loop().call_later(0.05, busy.refuse, stream, QueueFull())

        busy.on_start = refuse_once_the_other_is_gone
        async with asyncio.timeout(LIMIT_S):
            assert (await client.start(request("a", queue=False))).id == busy.id
        assert len(starts) == 2


async def test_a_request_that_is_given_up_before_it_is_answered_harms_no_other(
    runtime_folder: Path,
) -> None:
    async with (
        FakeEngine(runtime_folder, "aaaaaaaa") as engine,
        client_of(runtime_folder, engines=1) as client,
    ):
        engine.on_start = lambda stream, _: engine.open(stream)
        other = await client.start(request("other"))
        engine.on_start = lambda *_: None
        giving_up = asyncio.create_task(client.start(request("given up")))
        await until(lambda: len(engine.got(link.START)) == 2)
        giving_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await giving_up
        stream = engine.frames[-1][0]
        await until(lambda: engine.got(link.DETACH))  # so the engine can let it go as well
        engine.open(stream, sse.token("too late"))
        engine.send(frame(1, link.DATA, sse.token("still here")))
        assert await other.read() == sse.token("still here")


# Silence


async def test_a_silent_stream_carries_a_comment_and_a_busy_one_does_not(serve: Serve) -> None:
    gate = asyncio.Event()
    async with serve(keep_alive_s=0.3) as (engine, client):
        engine.scripts["silent"] = Script("begun", gate, "ended")
        silent = await client.start(request("silent"))
        assert b"begun" in await silent.read()
        assert await silent.read() == sse.KEEP_ALIVE
        assert await silent.read() == sse.KEEP_ALIVE
        gate.set()
        assert b"ended" in await read_all(silent)


async def test_a_comment_never_waits_in_front_of_a_client_that_does_not_read(serve: Serve) -> None:
    async with serve(keep_alive_s=0.05) as (engine, client):
        engine.scripts["a"] = Script("begun", asyncio.Event())
        stream = await client.start(request("a"))
        await until(lambda: stream._pending)
        await asyncio.sleep(0.3)
        assert len(stream._pending) == 1
        stream.close()


# Room


async def test_there_is_as_much_room_as_the_engines_have_places_and_lines(
    runtime_folder: Path,
) -> None:
    async with client_of(runtime_folder, engines=0) as client:
        assert client.room() == math.inf  # nobody is refused because an engine is missing
    async with (
        FakeEngine(runtime_folder, "aaaaaaaa", running=9, max_queued=2) as first,
        FakeEngine(runtime_folder, "bbbbbbbb", running=10, queued=2, max_queued=2) as second,
        client_of(runtime_folder, engines=2) as client,
    ):
        assert client.room() == 3
        asking = [asyncio.create_task(client.start(request("a"))) for _ in range(2)]
        await until(lambda: len(first.frames) == 2)
        assert client.room() == 1  # what is on its way counts
        for task in asking:
            task.cancel()
        first.tell_state(running=10, queued=2)
        await until(lambda: client.room() == 0)
        second.tell_state(running=9)
        await until(lambda: client.room() == 1)
        second.tell_state(state="draining")
        await until(lambda: client.room() == 0)
        first.tell_state(state="failed")
        await until(lambda: client.room() == math.inf)


async def test_who_finds_the_shortest_line_full_waits_in_another(runtime_folder: Path) -> None:
    async with (
        FakeEngine(runtime_folder, "aaaaaaaa", running=10) as first,
        FakeEngine(runtime_folder, "bbbbbbbb", running=11) as second,
        client_of(runtime_folder, engines=2) as client,
    ):
        first.on_start = lambda stream, _: first.refuse(stream, QueueFull())
        second.on_start = lambda stream, message: (
            second.open(stream) if message["queue"] else second.refuse(stream, QueueFull())
        )
        assert (await client.start(request("a", queue=False))).id == second.id
