"""The floor: a uvloop protocol that writes the bytes of such a stream at the model's pace, and knows nothing else.

No HTTP is parsed, no model runs and nothing is encoded while streaming: what this costs is the sockets and the timers.
Run as `python -m bench.floor PORT`; pace and text come from the simulated model's settings.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import cast

import uvloop

from backend.models.simulated import TOKEN
from backend.settings import Settings

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
# Without a pause tokens are written so many at a time: a write for each would measure the writes.
BATCH = 1000
READY = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """Return one chunk of a chunked body (RFC 9112, section 7.1); the last one when `data` is empty."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Stream(asyncio.Protocol):
    """Answers the first bytes that arrive: a POST with the chunks, anything else with an empty 200."""

    def __init__(self, chunks: list[bytes], end: bytes, delay_s: float) -> None:
        self._chunks = chunks
        self._end = end
        self._delay_s = delay_s
        self._sent = 0
        self._writable = True
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._loop = asyncio.get_running_loop()

    def data_received(self, data: bytes) -> None:
        if not data.startswith(b"POST"):
            self._transport.write(READY)
            return
        self._transport.write(HEAD)
        if self._delay_s:
            self._timer = self._loop.call_later(self._delay_s, self._send_one)
        else:
            self._send_all()

    def _send_one(self) -> None:
        self._transport.write(self._chunks[self._sent])
        self._sent += 1
        if self._sent < len(self._chunks):
            self._timer = self._loop.call_later(self._delay_s, self._send_one)
        else:
            self._transport.write(self._end)

    def _send_all(self) -> None:
        while self._writable and self._sent < len(self._chunks):
            self._transport.write(b"".join(self._chunks[self._sent : self._sent + BATCH]))
            self._sent += BATCH
            if self._sent >= len(self._chunks):
                self._transport.write(self._end)

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        if not self._delay_s:
            self._send_all()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer:
            self._timer.cancel()


async def main(port: int) -> None:
    settings = Settings()
    assert settings.simulated_reply_file
    tokens = TOKEN.findall(settings.simulated_reply_file.read_text(encoding="utf-8"))
    chunks = [chunk(f"data: {json.dumps({'token': token})}\n\n".encode()) for token in tokens]
    end = chunk(b"data: [DONE]\n\n") + chunk(b"")
    delay_s = settings.simulated_min_delay_ms / 1000
    server = await asyncio.get_running_loop().create_server(
        lambda: Stream(chunks, end, delay_s), "127.0.0.1", port, backlog=2048
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
