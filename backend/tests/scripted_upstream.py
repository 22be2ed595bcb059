"""A server that speaks the OpenAI API, on a loopback socket, and does what the test wrote down: every fault included.

It is a real server, on bare HTTP, so that it can break every rule of it. In a test's own event loop:

    async with ScriptedUpstream() as upstream:
        upstream.script(*stream(text("Hello"), finish()))     # how the next request is answered
        …                                                     # ask upstream.url
        upstream.requests[0].body                             # what it was asked

and in a thread of its own, for a test that is not async or whose client is another process:

    with running_upstream() as upstream: …
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Self, cast

LIMIT_S = 20
TLS_HANDSHAKE = (
    b"\x16\x03"  # of a client that takes this for an https server (RFC 8446, section 5.1)
)


class Hold:
    """A step that waits until the test opens it, from whatever thread."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.reached = threading.Event()

    async def wait(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.reached.set()
        await self._open.wait()

    def open(self) -> None:
        if self._loop:
            self._loop.call_soon_threadsafe(self._open.set)
        else:
            self._open.set()


class Stall:
    """A step that never ends: the upstream says nothing more."""


class Cut:
    """A step that ends the connection: politely, or with a reset."""

    def __init__(self, *, reset: bool = False) -> None:
        self.reset = reset


@dataclass
class Pause:
    """A step that waits, for load and not for order."""

    seconds: float


Step = bytes | Hold | Stall | Cut | Pause
Answer = Sequence[Step]


@dataclass
class Asked:
    """One request as it came in, and when its client went away. Times are `time.monotonic()`."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    connection: int  # the number of the connection that it came over
    began: float = field(default_factory=time.monotonic)
    done: bool = False  # the answer was written to its end
    left: float | None = None  # when the client closed the connection before that


class ScriptedUpstream:
    """The server. `script` says how the next requests are answered; without a script left it is `otherwise`."""

    def __init__(self, port: int = 0, otherwise: Callable[[Asked], Answer] | None = None) -> None:
        self._port = port
        self._scripts: deque[Answer] = deque()
        self.otherwise = otherwise or (lambda _: reply(500, {"error": {"message": "no script"}}))
        self.requests: list[Asked] = []
        self.connections = 0  # accepted so far
        self.open: set[_Connection] = set()
        self._server: asyncio.Server

    @property
    def url(self) -> str:
        """What the client's base URL is."""
        return f"http://127.0.0.1:{self._port}/v1"

    def script(self, *steps: Step) -> None:
        """Answer one more request with these steps."""
        self._scripts.append(steps)

    def next_answer(self, asked: Asked) -> Answer:
        return self._scripts.popleft() if self._scripts else self.otherwise(asked)

    async def start(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self), "127.0.0.1", self._port, backlog=1024
        )
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        self._server.close()
        for connection in list(self.open):
            connection.abort()
        while self.open:
            await asyncio.sleep(0)
        await self._server.wait_closed()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


class _Connection(asyncio.Protocol):
    """One connection: reads requests, one after the other, and performs their answers."""

    def __init__(self, upstream: ScriptedUpstream) -> None:
        self._upstream = upstream
        self._transport: asyncio.Transport
        self._buffer = bytearray()
        self._asked: Asked | None = None
        self._performing: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        self._upstream.connections += 1
        self._number = self._upstream.connections
        self._upstream.open.add(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._buffer.startswith(TLS_HANDSHAKE):
            self._transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            self._transport.close()
        elif self._asked is None and (asked := self._parse()):
            self._asked = asked
            self._upstream.requests.append(asked)
            self._performing = asyncio.create_task(self._perform(asked))

    def eof_received(self) -> None:
        self._client_left()

    def connection_lost(self, _error: Exception | None) -> None:
        self._client_left()
        self._upstream.open.discard(self)

    def abort(self) -> None:
        """Break the connection off with a reset."""
        # Without this the kernel would still deliver what was written before.
        sock = self._transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        self._transport.abort()

    def _client_left(self) -> None:
        if self._asked and not self._asked.done and self._asked.left is None:
            self._asked.left = time.monotonic()
        if self._performing:
            self._performing.cancel()

    def _parse(self) -> Asked | None:
        head, blank, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        if not blank:
            return None
        request_line, *fields = head.decode("latin-1").split("\r\n")
        method, path, _ = request_line.split(" ")
        headers = {
            name.lower(): value.strip() for name, _, value in (f.partition(":") for f in fields)
        }
        length = int(headers.get("content-length", "0"))
        if len(rest) < length:
            return None
        self._buffer[:] = rest[length:]
        body = json.loads(rest[:length]) if length else None
        return Asked(method, path, headers, body, self._number)

    async def _perform(self, asked: Asked) -> None:
        for step in self._upstream.next_answer(asked):
            match step:
                case bytes():
                    self._transport.write(step)
                case Hold():
                    await step.wait()
                case Pause():
                    await asyncio.sleep(step.seconds)
                case Stall():
                    await asyncio.Event().wait()
                case Cut():
                    asked.done = True
                    if step.reset:
                        self.abort()
                    else:
                        self._transport.close()
                    return
        asked.done = True
        self._asked = self._performing = None
        if self._buffer:
            self.data_received(b"")


@contextmanager
def running_upstream(
    otherwise: Callable[[Asked], Answer] | None = None, port: int = 0
) -> Iterator[ScriptedUpstream]:
    """Run an upstream in a thread with a loop of its own. What it records can be read from any thread."""
    upstream = ScriptedUpstream(port, otherwise)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="upstream", daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(upstream.start(), loop).result(LIMIT_S)
    try:
        yield upstream
    finally:
        asyncio.run_coroutine_threadsafe(upstream.stop(), loop).result(LIMIT_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(LIMIT_S)
        loop.close()


# The parts of an answer


def head(
    status: int = 200,
    content_type: str | None = "text/event-stream; charset=utf-8",
    **headers: object,
) -> bytes:
    """A response's head; its body is chunked unless `content_length` says otherwise."""
    if "content_length" not in headers:
        headers["transfer_encoding"] = "chunked"
    if content_type:
        headers["content_type"] = content_type
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def chunk(content: bytes) -> bytes:
    """A piece of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(content), content)


END_OF_BODY = b"0\r\n\r\n"


def event(data: Any) -> bytes:
    """A server-sent event: JSON, or a string as it is."""
    text = data if isinstance(data, str) else json.dumps(data)
    return f"data: {text}\n\n".encode()


DONE = event("[DONE]")


def delta(finish_reason: str | None = None, **members: Any) -> dict[str, Any]:
    """A chunk of an answer, with these members of its `delta`."""
    choice = {"index": 0, "delta": members, "finish_reason": finish_reason}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "m",
        "choices": [choice],
    }


def text(content: str) -> dict[str, Any]:
    return delta(content=content)


def finish(reason: str = "stop") -> dict[str, Any]:
    return delta(finish_reason=reason)


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, Any]:
    counts = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens}
    return {
        **delta(),
        "choices": [],
        "usage": {**counts, "total_tokens": sum(counts.values())},
    }


def begin(*chunks: Any) -> tuple[bytes, ...]:
    """The beginning of a streamed answer."""
    return (head(), *(chunk(event(data)) for data in chunks))


def stream(*chunks: Any) -> tuple[bytes, ...]:
    """A whole streamed answer."""
    return (*begin(*chunks), chunk(DONE), END_OF_BODY)


def reply(status: int, body: Any = "", **headers: object) -> tuple[bytes, ...]:
    """A response that is no stream: JSON, or a string as it is."""
    content = (body if isinstance(body, str) else json.dumps(body)).encode()
    content_type = "text/html" if isinstance(body, str) else "application/json"
    return (head(status, content_type, content_length=len(content), **headers), content)
