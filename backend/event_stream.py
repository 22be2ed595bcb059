"""The relay: a stream of the engine's bytes as the body of an HTTP response."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from backend import sse
from backend.engine_client import Stream


class EventStream(Response):
    """Passes on what the engine sends as it comes, and stops reading the moment the client is gone.

    Leaner than Starlette's `StreamingResponse`, and that is why it exists: no task group and no generator between a
    token and the socket.
    """

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
        leaving = asyncio.create_task(on_disconnect(receive, stream.close))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            while data := await stream.read():
                await send({"type": "http.response.body", "body": data, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            leaving.cancel()
            stream.close()


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
