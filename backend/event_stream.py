"""The relay: a stream of the engine's bytes as the body of an HTTP response, as they are or in another API's words."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from backend import sse
from backend.engine_client import Stream
from backend.errors import from_event

LOGGER = logging.getLogger("gunicorn.error.relay")

# The ASGI extension by which `backend/http_protocol.py` hands the body of a response to whoever writes it directly.
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
    """Passes on what the engine sends as it comes, and stops reading the moment the client is gone.

    `translate` is given whole events, and returns what the client gets in their place; `begun` are events that were
    read from the stream already. `headers` are more of the answer's.
    """

    def __init__(
        self,
        stream: Stream,
        *,
        begun: bytes = b"",
        translate: Callable[[bytes], bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._stream = stream
        self._begun = begun
        self._translate = translate
        super().__init__(
            headers={
                "Content-Type": sse.CONTENT_TYPE,
                "X-Generation-Id": stream.id,
                "Cache-Control": "no-store, no-transform",
                "X-Accel-Buffering": "no",  # nginx would collect tokens into clumps
                **(headers or {}),
            }
        )
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        stream = self._stream
        body: DirectBody | None = scope.get("extensions", {}).get(DIRECT_BODY)
        leaving = asyncio.create_task(on_disconnect(receive, stream.close))
        try:
            if self._translate:
                self._begun = self._translate(self._begun)
            await (self._relay_directly(body, send) if body else self._relay(send))
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            leaving.cancel()
            stream.close()

    async def _relay(self, send: Send) -> None:
        """Relay by the rules of ASGI, under any server."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        if self._begun:
            await send({"type": "http.response.body", "body": self._begun, "more_body": True})
        while data := await self._stream.read():
            if self._translate:
                data = self._translate(data)
            await send({"type": "http.response.body", "body": data, "more_body": True})

    async def _relay_directly(self, body: DirectBody, send: Send) -> None:
        """Relay at two thirds of the cost, under our own worker."""
        write = self._translating(body.write) if self._translate else body.write
        body.begin(lambda: self._stream.pour(write))
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        if self._begun:
            body.write(self._begun)
        self._stream.pour(write)
        try:
            await self._stream.poured()
        finally:
            body.end()

    def _translating(self, write: Callable[[bytes], bool]) -> Callable[[bytes], bool]:
        """Return what writes a translation; where there is nothing to say it writes nothing: that would be the end."""
        translate = self._translate
        assert translate

        def write_translated(data: bytes) -> bool:
            try:
                translated = translate(data)
            except Exception:
                # It is called in the middle of the link, which carries all the other streams: only this one ends.
                LOGGER.exception("A stream could not be translated")
                self._stream.close()
                return False
            return not translated or write(translated)

        return write_translated


async def on_disconnect(receive: Receive, act: Callable[[], object]) -> None:
    """Wait until the client has gone away, and act."""
    while (await receive())["type"] != "http.disconnect":
        pass
    act()


async def read_until_it_speaks(
    stream: Stream, receive: Callable[[], Awaitable[object]], limit_s: float
) -> bytes:
    """Return the first events that are more than news of the waiting, so that a failure can still be a status.

    Raises the error where that comes first. After `limit_s` seconds, when a client or a proxy may lose its patience,
    returns a comment, and the stream goes on without having said anything; nothing where the client has gone away.
    """
    leaving = asyncio.create_task(on_disconnect(receive, stream.close))  # type: ignore[arg-type]
    try:
        async with asyncio.timeout(limit_s):
            while events := await stream.read():
                news = (event for event in sse.decode(events) if "status" not in event)
                if (first := next(news, None)) is None:
                    continue
                if "error" in first:
                    stream.close()
                    raise from_event(first["error"])
                return events
        return b""
    except TimeoutError:
        return sse.KEEP_ALIVE
    finally:
        leaving.cancel()


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
