"""The relay: a stream of the engine's bytes as the body of an HTTP response."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from backend import sse
from backend.engine_client import Stream

# The ASGI extension by which `backend/worker.py` hands the body of a response to whoever wants to write it directly.
DIRECT_BODY = "burble.direct_body"


class DirectBody(Protocol):
    """The way past ASGI for a body: from the link to the client's socket without a task or a coroutine between."""

    def begin(self, on_writable: Callable[[], None]) -> None:
        """Announce a body of unknown length, before the response starts."""

    def write(self, data: bytes) -> bool:
        """Write some of it. Returns False when the client takes no more now; `on_writable` is called once it does."""

    def end(self) -> None:
        """Call `on_writable` no more."""


class EventStream(Response):
    """Passes on what the engine sends as it comes, and stops reading the moment the client is gone."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        super().__init__(
            headers={
                "Content-Type": sse.CONTENT_TYPE,
                "X-Generation-Id": stream.id,
                "Cache-Control": "no-store, no-transform",
                "X-Accel-Buffering": "no",  # nginx would collect tokens into clumps
            }
        )
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        stream = self._stream
        body: DirectBody | None = scope.get("extensions", {}).get(DIRECT_BODY)
        relay = self._relay_directly(body, send) if body else self._relay(send)
        leaving = asyncio.create_task(on_disconnect(receive, stream.close))
        try:
            await relay
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            leaving.cancel()
            stream.close()

    async def _relay(self, send: Send) -> None:
        """Relay by the rules of ASGI, under any server."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        while data := await self._stream.read():
            await send({"type": "http.response.body", "body": data, "more_body": True})

    async def _relay_directly(self, body: DirectBody, send: Send) -> None:
        """Relay at two thirds of the cost, under our own worker."""
        body.begin(lambda: self._stream.pour(body.write))
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        self._stream.pour(body.write)
        try:
            await self._stream.poured()
        finally:
            body.end()


async def on_disconnect(receive: Receive, act: Callable[[], object]) -> None:
    """Wait until the client has gone away, and act."""
    while (await receive())["type"] != "http.disconnect":
        pass
    act()


async def read_all(stream: Stream, receive: Callable[[], Awaitable[object]]) -> bytes:
    """Return all events of a stream at once; less than all only when the client has gone away."""
    leaving = asyncio.create_task(on_disconnect(receive, stream.close))  # type: ignore[arg-type]
    try:
        parts = []
        while data := await stream.read():
            parts.append(data)
        return b"".join(parts)
    finally:
        leaving.cancel()
        stream.close()
