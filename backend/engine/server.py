"""The engine's side of the link: cursors on logs, many to a socket.

What one turn of the event loop appended, to however many logs, leaves in one write per link. A cursor that cannot send
now (its window is used up, or the socket is full) stays where it is; its next read takes all that is pending. That is
the whole of batching and of flow control.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any, cast

from backend import link
from backend.engine.engine import Engine
from backend.engine.log import GenerationLog
from backend.errors import BurbleError
from backend.link import FrameDecoder, frame, json_frame

# The shortest time between two writes to a link, and between two announcements of the engine's state. Who is alone
# waits for neither: only when tokens come faster than this do they share a write.
FLUSH_S = 0.002
ANNOUNCE_S = 0.005


class Cursor:
    """One reader's place in one log, and how many bytes its window still takes."""

    __slots__ = ("_connection", "generation_id", "log", "offset", "scheduled", "stream", "window")

    def __init__(
        self,
        connection: Connection,
        stream: int,
        generation_id: str,
        log: GenerationLog,
        offset: int,
    ) -> None:
        self._connection = connection
        self.stream = stream
        self.generation_id = generation_id
        self.log = log
        self.offset = offset
        self.window = link.WINDOW_BYTES
        self.scheduled = False
        log.subscribe(self.wake)

    def wake(self) -> None:
        if not self.scheduled:
            self.scheduled = True
            self._connection.schedule(self)


class Connection(asyncio.Protocol):
    """The link to one HTTP worker."""

    def __init__(self, engine: Engine, connections: set[Connection]) -> None:
        self._engine = engine
        self._connections = connections
        self._decoder = FrameDecoder()
        self._cursors: dict[int, Cursor] = {}
        self._pending: list[Cursor] = []
        self._flushing = False  # a flush is scheduled, or waits for the socket to take more
        self._writable = True
        self._next_flush = 0.0  # not before this time of the loop
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._connections.add(self)
        self.send_state()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self._pending.clear()
        self._flushing = True  # for ever: there is nothing to flush to
        for cursor in list(self._cursors.values()):
            self._close(cursor)

    def data_received(self, data: bytes) -> None:
        for stream, kind, payload in self._decoder.decode(data):
            if kind == link.WINDOW:
                if cursor := self._cursors.get(stream):
                    cursor.window += link.U32.unpack(payload)[0]
                    cursor.wake()
            elif kind == link.DETACH:
                if cursor := self._cursors.get(stream):
                    self._close(cursor)
            else:
                self._answer(stream, kind, json.loads(payload))

    def send_state(self) -> None:
        if self._writable:  # else when it is so again: states must not pile up before an HTTP worker that stands still
            self._transport.write(json_frame(0, link.STATE, self._engine.state()))

    def _answer(self, stream: int, kind: int, message: Any) -> None:
        try:
            reply = self._open(stream, kind, message)
        except BurbleError as error:
            self._transport.write(json_frame(stream, link.REFUSED, error.to_wire()))
        else:
            self._transport.write(json_frame(stream, link.OPENED, reply))

    def _open(self, stream: int, kind: int, message: Any) -> dict[str, Any]:
        engine = self._engine
        if kind == link.STOP:
            engine.stop(message["id"], message["owner"])
            return {"id": message["id"]}
        if kind == link.START:
            generation = engine.submit(message)
            generation_id, log, offset = generation.id, generation.log, 0
        else:
            generation_id = message["id"]
            log, offset = engine.attach(generation_id, message["after"], message["owner"])
            if log.finished and offset == log.size:
                log.delivered = True
                return {"id": generation_id, "complete": True}
        self._cursors[stream] = cursor = Cursor(self, stream, generation_id, log, offset)
        engine.reader_came(generation_id)
        cursor.wake()
        return {"id": generation_id, "complete": False}

    @property
    def busy(self) -> bool:
        """Whether a reader has not been sent everything yet."""
        return bool(self._cursors)

    def file_number(self) -> int:
        number: int = self._transport.get_extra_info("socket").fileno()
        return number

    def close(self) -> None:
        self._transport.close()

    # Flushing

    def schedule(self, cursor: Cursor) -> None:
        self._pending.append(cursor)
        if not self._flushing:
            self._flushing = True
            if self._loop.time() >= self._next_flush:
                self._loop.call_soon(self._flush)
            else:
                self._loop.call_at(self._next_flush, self._flush)

    def _flush(self) -> None:
        """Send each cursor that was woken as much as its window takes, in one write."""
        self._next_flush = self._loop.time() + FLUSH_S
        cursors, self._pending = self._pending, []
        parts: list[bytes | bytearray] = []
        for cursor in cursors:
            cursor.scheduled = False
            # To the end of the window: a reader reports only when it has read half of one, so room that is left
            # because the next event is too large for it might never be offered again.
            while chunk := cursor.log.read(cursor.offset, cursor.window):
                cursor.offset += len(chunk)
                cursor.window -= len(chunk)
                parts.append(link.HEADER.pack(cursor.stream, link.DATA, len(chunk)))
                parts.append(chunk)
            if (
                cursor.log.finished
                and cursor.offset == cursor.log.size
                and cursor.stream in self._cursors
            ):
                parts.append(frame(cursor.stream, link.END))
                cursor.log.delivered = True
                self._close(cursor)
        self._flushing = not self._writable
        if parts:
            self._transport.write(b"".join(parts))

    def pause_writing(self) -> None:
        self._writable = False
        self._flushing = True

    def resume_writing(self) -> None:
        self._writable = True
        self.send_state()
        self._loop.call_soon(self._flush)

    def _close(self, cursor: Cursor) -> None:
        del self._cursors[cursor.stream]
        cursor.log.unsubscribe(cursor.wake)
        self._engine.reader_left(cursor.generation_id)


class EngineServer:
    """Serves one engine on a unix socket in the runtime folder.

    The file `engine-<key>.sock` appears there once it can be connected to, and goes when the engine does.
    """

    def __init__(self, engine: Engine, folder: Path) -> None:
        self._engine = engine
        self._path = folder / f"engine-{engine.key}.sock"
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._state_scheduled = False
        self._listener = self._inode = -1

    async def start(self) -> None:
        """Listen; then give the socket its name, so that nobody finds it before it is ready."""
        loop = asyncio.get_running_loop()
        unnamed = self._path.with_suffix(".new")
        self._server = await loop.create_unix_server(
            lambda: Connection(self._engine, self._connections), str(unnamed), backlog=128
        )
        self._listener = self._server.sockets[0].fileno()
        self._inode = os.fstat(self._listener).st_ino
        unnamed.replace(self._path)

    def listens(self) -> bool:
        """Whether its socket is still open: a model may close files that are not its own."""
        try:
            return os.fstat(self._listener).st_ino == self._inode
        except OSError:
            return False

    def file_numbers(self) -> list[int]:
        """Return the file descriptors of the links, and of what listens for more."""
        listening = self._server.sockets if self._server else ()
        links = [connection.file_number() for connection in self._connections]
        return [*(sock.fileno() for sock in listening), *links]

    def announce(self) -> None:
        """Tell every HTTP worker the engine's state, once for all that changes within a few milliseconds."""
        if not self._state_scheduled:
            self._state_scheduled = True
            asyncio.get_running_loop().call_later(ANNOUNCE_S, self._send_state)

    def _send_state(self) -> None:
        self._state_scheduled = False
        for connection in self._connections:
            connection.send_state()

    async def close(self) -> None:
        """Stop listening, send what the readers still take within a second, and close the links."""
        self._path.unlink(missing_ok=True)
        self._send_state()  # that it leaves, for whoever has not heard it
        if self._server:
            self._server.close()
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline and any(
            connection.busy for connection in self._connections
        ):
            await asyncio.sleep(0.01)
        for connection in list(self._connections):
            connection.close()
        while time.monotonic() < deadline and self._connections:
            await asyncio.sleep(0.01)
