"""The HTTP worker's side of the link: start, attach, stop.

It finds engines by their sockets in the runtime folder, keeps one connection to each, and connects again by itself. It
holds no chat state: a `Stream` is bytes on their way to one client, and losing all of them loses nothing.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

from backend import link, metrics, sse
from backend.errors import (
    BurbleError,
    Draining,
    EngineLost,
    ModelUnavailable,
    QueueFull,
    UnknownGeneration,
    from_wire,
)
from backend.link import EngineState, FrameDecoder, GenerationRequest, frame, json_frame

SCAN_S = 0.2  # how often the runtime folder is looked at
STATE_S = 1.0  # that an engine is given to tell its state when this process begins
ENGINE_WAIT_S = (
    10.0  # how long a request waits when there is no engine, as between a crash and the replacement
)
GENERATION_ID = re.compile(r"[0-9a-f]{40}")


class Stream:
    """The events of one generation on their way to one client.

    They are taken out in one of two ways: `read` waits for what comes next, `pour` hands it over as it comes. Either
    way a client that is slow gets more at a time, and holds up nobody.
    """

    __slots__ = (
        "_connection", "_ended", "_number", "_pending", "_quiet_ticks", "_unreported", "_waiter", "_write",
        "complete", "id", "opened",
    )  # fmt: skip

    def __init__(self, connection: Connection, number: int) -> None:
        self._connection = connection
        self._number = number
        self._pending: list[bytes] = []
        self._write: Callable[[bytes], bool] | None = None  # None also while it takes nothing
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False
        self._quiet_ticks = 0
        self._unreported = 0  # bytes that were taken and the engine does not know of
        self.opened: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.id = ""
        self.complete = False  # an attached reader has seen everything already

    @property
    def engine_pid(self) -> int:
        """The process of the engine that keeps it, wherever its model runs."""
        assert self._connection.state  # else it would not have been asked
        return self._connection.state["pid"]

    async def read(self) -> bytes:
        """Wait for the next bytes and return all there are; `b""` at the end. One reader at a time."""
        while not self._pending:
            if self._ended:
                return b""
            await self._wait()
        return self._take()

    def pour(self, write: Callable[[bytes], bool]) -> None:
        """Hand all that is there to `write`, and from now on what comes, the moment it comes.

        When `write` returns False it has taken the bytes but can take no more: call `pour` again once it can.
        """
        self._write = write
        if self._pending and not write(self._take()):
            self._write = None
        self._wake()

    async def poured(self) -> None:
        """Wait until everything was handed over."""
        while self._pending or not self._ended:
            await self._wait()

    def close(self) -> None:
        """Stop reading: the engine forgets this cursor, and stops the model where nobody else can come back for it."""
        if not self._ended:
            self._connection.detach(self._number)
        self._pending.clear()
        self.end()

    # Called by the connection

    def feed(self, data: bytes) -> None:
        self._quiet_ticks = 0
        if self._write is None:
            self._pending.append(data)
            self._wake()
            return
        if not self._write(data):
            self._write = None
        self._report(len(data))

    def end(self) -> None:
        self._ended = True
        self._wake()

    def tick(self, limit: int) -> None:
        """Count a moment of silence; after `limit` of them say that the stream is alive."""
        self._quiet_ticks += 1
        if self._quiet_ticks >= limit and not self._pending:
            self.feed(sse.KEEP_ALIVE)

    def _take(self) -> bytes:
        data = b"".join(self._pending)
        self._pending.clear()
        self._report(len(data))
        return data

    def _report(self, count: int) -> None:
        """Tell the engine what was taken, half a window at a time."""
        self._unreported += count
        if self._unreported >= link.WINDOW_BYTES // 2 and not self._ended:
            self._connection.send(frame(self._number, link.WINDOW, link.U32.pack(self._unreported)))
            self._unreported = 0

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)


class Connection(asyncio.Protocol):
    """The link to one engine."""

    def __init__(self, key: str, client: EngineClient) -> None:
        self.key = key
        self.state: EngineState | None = None
        self.started = 0  # generations that were started here since the engine last told its state
        self._client = client
        self._decoder = FrameDecoder()
        self._numbers = itertools.count(1)
        self._streams: dict[int, Stream] = {}
        self._closed = False  # by this side
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._client.lost(self)
        self._count_losses()
        for stream in self._streams.values():
            if stream.opened.done():
                stream.feed(sse.failure(EngineLost()))
                stream.end()
            else:
                stream.opened.set_exception(EngineLost())
        self._streams.clear()

    def _count_losses(self) -> None:
        """Count an engine that did not leave by itself, and the answers that it took along: nobody else can."""
        leaves = self._closed or self.state is None or self.state["state"] == "draining"
        if self._client.counts and not leaves:
            metrics.LINK_ERRORS.labels("engine_lost").inc()
            assert self.state
            lost = {stream.id for stream in self._streams.values() if stream.opened.done()}
            metrics.GENERATIONS.labels(self.state["model"], EngineLost.code).inc(len(lost))

    def data_received(self, data: bytes) -> None:
        for number, kind, payload in self._decoder.decode(data):
            if kind == link.DATA:
                if stream := self._streams.get(number):
                    stream.feed(payload)
            elif kind == link.STATE:
                self.state, self.started = json.loads(payload), 0
                self._client.changed()
            elif stream := self._streams.get(number):
                self._turn(stream, number, kind, payload)

    def _turn(self, stream: Stream, number: int, kind: int, payload: bytes) -> None:
        """Take in the frames that come once in a stream's life."""
        if kind == link.OPENED:
            reply = json.loads(payload)
            stream.id = reply["id"]
            stream.complete = reply.get("complete", True)
            stream.opened.set_result(reply)
            if stream.complete:
                del self._streams[number]
        elif kind == link.REFUSED:
            del self._streams[number]
            stream.opened.set_exception(from_wire(json.loads(payload)))
        elif kind == link.END:
            del self._streams[number]
            stream.end()

    async def open(self, kind: int, message: Any) -> Stream:
        """Send a request that opens a stream; raises the `BurbleError` it is refused with, or `EngineLost`."""
        if self.closing:
            raise EngineLost
        number = next(self._numbers)
        stream = self._streams[number] = Stream(self, number)
        self.send(json_frame(number, kind, message))
        try:
            await asyncio.shield(stream.opened)
        except asyncio.CancelledError:
            stream.close()
            raise
        return stream

    @property
    def closing(self) -> bool:
        """Whether nothing can be sent any more; that the link is lost may be reported only later."""
        return self._transport.is_closing()

    def send(self, data: bytes) -> None:
        self._transport.write(data)

    def detach(self, number: int) -> None:
        if self._streams.pop(number, None):
            self.send(frame(number, link.DETACH))

    def close(self) -> None:
        self._closed = True
        self._transport.close()

    def tick(self, limit: int) -> None:
        for stream in list(self._streams.values()):
            stream.tick(limit)

    def load(self) -> tuple[bool, float]:
        """Return what to order engines by: whether its model is still missing, and how full it is."""
        if self.state is None:
            return True, 0
        busy = self.state["running"] + self.state["queued"] + self.started
        return self.state["state"] != "ready", busy / max(1, self.state["max_running"])

    def takes_generations(self) -> bool:
        """Whether what is started now will run, at once or once the model is loaded, as far as is known."""
        return self.state is not None and self.state["state"] in ("ready", "loading")

    def room(self) -> int:
        """Return how many more generations it would take now, to run or to wait, as far as is known."""
        if self.state is None or not self.takes_generations():
            return 0
        state = self.state
        taken = state["running"] + state["queued"] + self.started
        return max(0, state["max_running"] + state["max_queued"] - taken)

    def has_place(self) -> bool:
        """Whether a generation that is started now would run at once, as far as is known."""
        not_ready, fullness = self.load()
        return not not_ready and fullness < 1


class EngineClient:
    """All engines of this stack, as one HTTP worker sees them.

    `models` are the ids of those that are served, the first of them to whoever names none.
    """

    def __init__(
        self, folder: Path, keep_alive_s: float, own_key: str = "", models: Sequence[str] = ()
    ) -> None:
        self._folder = folder
        self._models = models
        self._own_key = own_key  # of the engine that uses this client, to leave it out
        # What is lost; an engine counts its own generations, wherever they ran.
        self.counts = not own_key
        self._keep_alive_s = keep_alive_s
        self._connections: dict[str, Connection] = {}
        self._news = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Connect to the engines that are there, and from now on to those that come.

        Returns when those that are there have told their state, so that nobody hears that there are none.
        """
        await self._scan()
        try:
            async with asyncio.timeout(STATE_S):
                while any(each.state is None for each in self._connections.values()):
                    await self.news()
        except TimeoutError:
            pass  # one that stands still; the others are there
        self._tasks = [
            asyncio.create_task(self._keep_scanning()),
            asyncio.create_task(self._keep_streams_alive()),
        ]

    async def close(self) -> None:
        """Leave all engines."""
        for task in self._tasks:
            task.cancel()
        for connection in list(self._connections.values()):
            connection.close()

    # What routes ask for

    async def start(self, request: GenerationRequest) -> Stream:
        """Start a generation on that engine of its model that has the most room, and read it from its beginning.

        Raises `QueueFull`, `ModelUnavailable`, `InvalidRequest`.
        """
        deadline = asyncio.get_running_loop().time() + ENGINE_WAIT_S
        waiting: GenerationRequest = {**request, "queue": True}
        while True:
            engines = await self._engines(request["model"], deadline)
            for connection in engines if len(engines) > 1 else ():
                if stream := await self._try_start(connection, request):
                    return stream
            # Every one is busy: wait where the line is shortest, or where one is left.
            full: QueueFull | None = None
            for connection in await self._engines(request["model"], deadline):
                try:
                    if stream := await self._try_start(connection, waiting):
                        return stream
                except QueueFull as error:
                    full = error
            if full:
                raise full

    async def attach(self, generation_id: str, after: int, owner: str = "") -> Stream:
        """Read a generation of this owner's after position `after`. Raises `UnknownGeneration`, `InvalidPosition`."""
        message = {"id": generation_id, "after": after, "owner": owner}
        return await self._ask(generation_id, link.ATTACH, message)

    async def stop(self, generation_id: str, owner: str = "") -> None:
        """Stop a generation of this owner's, whatever it is doing. Raises `UnknownGeneration`."""
        await self._ask(generation_id, link.STOP, {"id": generation_id, "owner": owner})

    async def lend(self, request: GenerationRequest) -> Stream:
        """Start a generation on an engine that has a place for it at once. Raises `QueueFull` when none has."""
        for connection in self._of_model(request["model"]):
            if connection.has_place() and (
                stream := await self._try_start(connection, {**request, "queue": False})
            ):
                return stream
        raise QueueFull

    def has_place(self, model: str) -> bool:
        """Whether `lend` has a chance."""
        return any(connection.has_place() for connection in self._of_model(model))

    def room(self) -> float:
        """Return how many more generations all engines together take, as far as is known.

        Infinity, so that nobody is refused for it, where none takes any: there are other words for that.
        """
        open_ = [each for each in self._connections.values() if each.takes_generations()]
        return sum(each.room() for each in open_) if open_ else math.inf

    async def news(self) -> None:
        """Wait until an engine says something new of itself."""
        await self._news.wait()

    def states(self) -> list[EngineState]:
        """What the engines last said of themselves."""
        return [connection.state for connection in self._connections.values() if connection.state]

    # Choosing an engine

    def _of_model(self, model: str | None) -> list[Connection]:
        """Return the engines that have told their state and have this model, the emptiest first.

        Without a name that is the first one that is served. A reload keeps what is not served any more until all its
        successors have loaded: it is asked before one that is loading, and after one that is ready.
        """

        def serves(state: EngineState) -> bool:
            other = state["model"] not in self._models or state["model"] == self._models[0]
            return state["model"] == model if model else other

        def order(connection: Connection) -> tuple[bool, bool, float]:
            not_ready, fullness = connection.load()
            served = connection.state is not None and connection.state["model"] in self._models
            return not_ready, not served, fullness

        found = [each for each in self._connections.values() if each.state and serves(each.state)]
        return sorted(found, key=order)

    async def _engines(self, model: str | None, deadline: float) -> list[Connection]:
        """Return the engines that take generations, the emptiest first; wait for one when there is none."""
        while True:
            found = self._of_model(model)
            open_ = [
                connection
                for connection in found
                if connection.takes_generations() and not connection.closing
            ]
            # An engine that was found a moment ago has not told its state yet: it may well be the one that is ready.
            all_told = all(connection.state for connection in self._connections.values())
            ready = any(each.state and each.state["state"] == "ready" for each in open_)
            if ready or (open_ and all_told):
                return open_
            states = [connection.state for connection in found if connection.state]
            failed = any(state["state"] == "failed" for state in states)
            unavailable = (
                ModelUnavailable(
                    "The model cannot be loaded; /health/ready and the server's log say why.",
                    retry_after=10,
                )
                if failed
                else ModelUnavailable("The model's process is not there.", retry_after=5)
            )
            if failed and not open_ and all_told:
                raise unavailable
            try:
                async with asyncio.timeout_at(deadline):
                    await self.news()
            except TimeoutError:
                if open_:
                    return open_
                raise unavailable from None

    async def _try_start(self, connection: Connection, request: GenerationRequest) -> Stream | None:
        """Return None where another engine, or the same one later, may do better."""
        connection.started += 1
        try:
            return await connection.open(link.START, request)
        except BurbleError as error:
            connection.started = max(0, connection.started - 1)
            busy = isinstance(error, QueueFull) and not request["queue"]
            if busy or isinstance(error, EngineLost | Draining):
                return None
            raise

    async def _ask(self, generation_id: str, kind: int, message: Any) -> Stream:
        """Ask the engine whose key the id begins with; one that is gone has taken its logs along."""
        if not GENERATION_ID.fullmatch(generation_id):
            raise UnknownGeneration
        key = generation_id[:8]
        while key not in self._connections and (self._folder / f"engine-{key}.sock").exists():
            await asyncio.sleep(SCAN_S / 4)  # it is new, or dead: the next scan tells
        connection = self._connections.get(key)
        if connection is None:
            raise UnknownGeneration
        try:
            return await connection.open(kind, message)
        except EngineLost as error:
            raise UnknownGeneration from error

    # Finding engines

    def lost(self, connection: Connection) -> None:
        self._connections.pop(connection.key, None)
        self.changed()

    def changed(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def _keep_scanning(self) -> None:
        while True:
            await asyncio.sleep(SCAN_S)
            await self._scan()

    async def _scan(self) -> None:
        """Connect to each socket that is not connected to; remove those whose engine died."""
        for path in self._folder.glob("engine-*.sock"):
            key = path.stem.removeprefix("engine-")
            if key not in self._connections and key != self._own_key:
                try:
                    _, connection = await asyncio.get_running_loop().create_unix_connection(
                        partial(Connection, key, self), str(path)
                    )
                except ConnectionRefusedError:
                    metrics.LINK_ERRORS.labels("connection_refused").inc()
                    path.unlink(missing_ok=True)
                except OSError:
                    continue  # it left between the look and the call, or is too busy to answer: the next scan tells
                else:
                    self._connections[key] = connection

    async def _keep_streams_alive(self) -> None:
        # A tick is a tenth of the silence, so that no token pays for reading a clock.
        while True:
            await asyncio.sleep(self._keep_alive_s / 10)
            for connection in list(self._connections.values()):
                connection.tick(10)
