"""An HTTP client on a bare socket, for what well-behaved clients never do.

It takes nothing off the socket before it is asked to, hangs up in the middle of anything, pipelines, and speaks
HTTP/1.0. What it reads it checks: every line of an event stream must be one that the API promises.
"""

from __future__ import annotations

import asyncio
import functools
import json
import socket
import ssl
import struct
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar

import psutil

from e2e.stack import Stack

TIMEOUT_S = 60

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

opened: ContextVar[list[Connection]] = ContextVar("opened")  # by the test that runs


class Server(Protocol):
    """What can be connected to, on the loopback address: a stack, or a proxy in front of one, which speaks TLS."""

    @property
    def port(self) -> int: ...

    @property
    def tls(self) -> ssl.SSLContext | None: ...


def asynchronous(
    test: Callable[Parameters, Coroutine[Any, Any, None]],
) -> Callable[Parameters, None]:
    """Let pytest run a test that is a coroutine function, and hang up for it in the end."""

    async def scenario(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        connections: list[Connection] = []
        opened.set(connections)
        try:
            await test(*args, **kwargs)
        finally:
            for connection in connections:
                await connection.leave()

    @functools.wraps(test)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        asyncio.run(scenario(*args, **kwargs))

    return run


async def eventually(
    condition: Callable[[], Result], what: str, timeout_s: float = TIMEOUT_S
) -> Result:
    """Return the first truthy result of `condition`, while other clients go on reading."""
    deadline = time.monotonic() + timeout_s
    while not (result := condition()):
        assert time.monotonic() < deadline, f"waited {timeout_s} s for {what}; last: {result!r}"
        await asyncio.sleep(0.02)
    return result


async def noted(stack: Stack, line: str) -> None:
    """Wait until the scripted model has written this line to its journal."""
    await eventually(lambda: line in stack.journal(), f"{line!r} in the journal")


async def gone(stack: Stack, connection: Connection) -> None:
    """Wait until the server has closed the other end of a connection that this side holds open."""
    await eventually(
        lambda: not any(connection.served_by(worker) for worker in stack.http_workers()),
        "the other end to be closed",
    )


async def hang_up(stack: Stack, connection: Connection) -> None:
    """Leave as a process does that is killed, and wait until the HTTP worker has noticed."""
    [(worker, end)] = [
        (worker, end) for worker in stack.http_workers() if (end := connection.other_end(worker))
    ]
    connection.abort()
    await eventually(lambda: end not in open_files(worker), "the other end to be closed")


def open_files(process: psutil.Process) -> set[str]:
    """What the file descriptors of a process stand for; a socket has a name of its own."""
    names = set()
    for link in Path(f"/proc/{process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed in between
            names.add(str(link.readlink()))
    return names


def script(name: str, *steps: list[Any]) -> str:
    """Return a prompt for the scripted model."""
    return json.dumps({"name": name, "steps": steps})


def words(name: str, count: int) -> str:
    """Return what the step `["words", count]` says."""
    return "".join(f"{name}-{index} " for index in range(count))


class Connection:
    """One TCP connection. `receive_buffer`, in bytes, makes the kernel take little that is not read."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._loop = asyncio.get_running_loop()
        self._secured: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._port = 0
        self.buffer = bytearray()  # what was received and belongs to no response yet

    @classmethod
    async def open(cls, server: Server, *, receive_buffer: int | None = None) -> Connection:
        sock = socket.socket()
        sock.setblocking(False)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection = cls(sock)
        opened.get().append(connection)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", server.port))
        connection._port = sock.getsockname()[1]
        if server.tls:
            connection._secured = await asyncio.open_connection(
                sock=sock, ssl=server.tls, server_hostname="localhost"
            )
        return connection

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: dict[str, str] | None = None,
        version: str = "1.1",
    ) -> None:
        """Send one request, and do not wait for its answer."""
        content = b"" if body is None else json.dumps(body).encode()
        fields = {"Host": "localhost", "Content-Length": str(len(content)), **(headers or {})}
        if content:
            fields["Content-Type"] = "application/json"
        lines = [
            f"{method} {path} HTTP/{version}",
            *(f"{name}: {value}" for name, value in fields.items()),
            "",
            "",
        ]
        await self.send_raw("\r\n".join(lines).encode() + content)

    async def send_raw(self, data: bytes) -> None:
        """Send bytes as they are, a request or not, in a packet of their own where that can be had."""
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._secured:
            self._secured[1].write(data)
            await self._secured[1].drain()
        else:
            await self._loop.sock_sendall(self._socket, data)

    async def answer(self) -> Answer:
        """Read the head of the next answer."""
        while b"\r\n\r\n" not in self.buffer:
            if not await self.receive():
                raise ConnectionResetError("closed before an answer")
        head, _, rest = bytes(self.buffer).partition(b"\r\n\r\n")
        self.buffer[:] = rest
        status_line, *fields = head.decode("latin-1").split("\r\n")
        headers = {}
        for field in fields:
            name, _, value = field.partition(": ")
            headers[name.lower()] = value
        return Answer(self, int(status_line.split(" ")[1]), headers)

    async def ask(self, method: str, path: str, body: Any = None, **options: Any) -> Answer:
        """Send one request and read the head of its answer."""
        await self.send(method, path, body, **options)
        return await self.answer()

    async def receive(self, size: int = 65536) -> bool:
        """Take what is there, at most `size` bytes; False when the other side has closed."""
        async with asyncio.timeout(TIMEOUT_S):
            data = await (
                self._secured[0].read(size)
                if self._secured
                else self._loop.sock_recv(self._socket, size)
            )
        self.buffer += data
        return bool(data)

    def served_by(self, process: psutil.Process) -> bool:
        """Whether this process holds the other end; also False once this side has left without a farewell."""
        return self.other_end(process) is not None

    def other_end(self, process: psutil.Process) -> str | None:
        """Return the name of the socket by which this process holds the other end, if it does: see `open_files`."""
        for end in process.net_connections("tcp"):
            if end.raddr and end.raddr.port == self._port:
                return str(Path(f"/proc/{process.pid}/fd/{end.fd}").readlink())
        return None

    def close(self) -> None:
        """Hang up politely (FIN)."""
        if self._secured:
            self._secured[1].close()  # says so
            self._secured[1].transport.abort()  # without waiting for an answer, as other clients do
        else:
            self._socket.close()

    async def leave(self) -> None:
        """Hang up, and be done with it."""
        self.close()
        if self._secured:
            with suppress(OSError):
                await self._secured[1].wait_closed()

    def abort(self) -> None:
        """Hang up as a process does that is killed, with unread data (RST)."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if self._secured:
            self._secured[1].transport.abort()
        else:
            self._socket.close()


class Answer:
    """One HTTP answer, as far as it was read. The events of a stream are in `events`, their numbers in `ids`."""

    def __init__(self, connection: Connection, status: int, headers: dict[str, str]) -> None:
        self.connection = connection
        self.status = status
        self.headers = headers
        self.raw = bytearray()  # the body, without its transfer encoding
        self.ended = False  # the body is whole
        self.cut = False  # the connection ended before the body did
        self.events: list[dict[str, Any]] = []
        self.ids: list[int] = []
        self.done = False  # [DONE] came
        self._parsed = 0
        self._stream = headers.get("content-type", "").startswith("text/event-stream")
        self._length = int(headers["content-length"]) if "content-length" in headers else None
        self._chunked = headers.get("transfer-encoding") == "chunked"
        if status == 204:
            self._length = 0
        self._take()

    @property
    def id(self) -> str:
        return self.headers["x-generation-id"]

    @property
    def text(self) -> str:
        return "".join(
            event["token"] for event in self.events if "token" in event and "thinking" not in event
        )

    @property
    def error(self) -> str | None:
        """The code of the event that says why the stream failed."""
        return next((event["error"]["code"] for event in self.events if "error" in event), None)

    @property
    def finish_reason(self) -> str | None:
        return next(
            (event["finish_reason"] for event in self.events if "finish_reason" in event), None
        )

    @property
    def positions(self) -> list[int]:
        """The places in line that were told, in order."""
        return [event["position"] for event in self.events if "position" in event]

    @property
    def statuses(self) -> set[str]:
        return {event["status"] for event in self.events if "status" in event}

    def json(self) -> Any:
        return json.loads(self.raw)

    async def pull(self, size: int = 65536) -> bool:
        """Read a little more; False at the end of the body, or of the connection."""
        if not self.ended and not self.cut:
            alive = await self.connection.receive(size)
            self._take()
            if not alive and not self.ended:
                self.ended = self._length is None and not self._chunked
                self.cut = not self.ended
        return not self.ended and not self.cut

    async def until(self, condition: Callable[[Answer], object]) -> Answer:
        """Read until something is there."""
        while not condition(self):
            assert await self.pull() or condition(self), f"the stream ended: {self.events[-3:]}"
        return self

    async def rest(self) -> Answer:
        """Read to the end."""
        while await self.pull():
            pass
        return self

    def _take(self) -> None:
        buffer = self.connection.buffer
        if self._chunked:
            self._take_chunks(buffer)
        elif self._length is None:
            self.raw += buffer
            buffer.clear()
        else:
            missing = self._length - len(self.raw)
            self.raw += buffer[:missing]
            del buffer[:missing]
            self.ended = len(self.raw) == self._length
        if self._stream:
            self._parse()

    def _take_chunks(self, buffer: bytearray) -> None:
        while not self.ended and (line_end := buffer.find(b"\r\n")) >= 0:
            size = int(buffer[:line_end], 16)
            start, end = line_end + 2, line_end + 2 + size
            if len(buffer) < end + 2:
                return
            assert buffer[end : end + 2] == b"\r\n"
            self.raw += buffer[start:end]
            self.ended = not size
            del buffer[: end + 2]

    def _parse(self) -> None:
        while (end := self.raw.find(b"\n\n", self._parsed)) >= 0:
            lines = self.raw[self._parsed : end].decode().split("\n")
            self._parsed = end + 2
            if lines == [": keep-alive"]:
                continue
            if lines[0].startswith("id: "):
                self.ids.append(int(lines.pop(0)[4:]))
            assert len(lines) == 1, lines
            assert lines[0].startswith("data: "), lines
            if lines[0] == "data: [DONE]":
                self.done = True
            else:
                self.events.append(json.loads(lines[0][6:]))


async def chat(
    server: Server, prompt: str, *, receive_buffer: int | None = None, **fields: Any
) -> Answer:
    """Ask on a connection of its own, and read the head of the answer."""
    connection = await Connection.open(server, receive_buffer=receive_buffer)
    return await connection.ask("POST", "/chat", {"prompt": prompt, **fields})


async def resume(server: Server, generation_id: str, after: int | None = None) -> Answer:
    """Read a generation on a connection of its own, after an event."""
    connection = await Connection.open(server)
    headers = {} if after is None else {"Last-Event-ID": str(after)}
    return await connection.ask("GET", f"/chat/{generation_id}", headers=headers)


async def stop(server: Server, generation_id: str) -> int:
    """Stop a generation; return the status."""
    connection = await Connection.open(server)
    return (await connection.ask("DELETE", f"/chat/{generation_id}")).status
