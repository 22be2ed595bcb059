"""The gunicorn worker that runs the HTTP side: uvicorn's, with what it lacks for long streams and quiet restarts."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn_worker import UvicornWorker

from backend.event_stream import DIRECT_BODY
from backend.settings import Settings

# How long a restarting worker waits for a request on a connection that is open already: one may be on its way.
LAST_REQUEST_S = 1.0
HEARTBEAT_S = 1.0
UNSENT_BYTES = 65536  # that the kernel takes for one client, beyond what is on its way
MAX_PIPELINED = 16  # requests that a client may send before it has its answers


class Body:
    """The body of one response, written straight to the connection: see `backend.event_stream.DirectBody`."""

    __slots__ = ("_chunked", "_cycle", "_on_writable", "_protocol")

    def __init__(self, protocol: Protocol, cycle: RequestResponseCycle) -> None:
        self._protocol = protocol
        self._cycle = cycle
        self._chunked = cycle.scope["http_version"] == "1.1"

    def begin(self, on_writable: Callable[[], None]) -> None:
        if not self._chunked:
            # An HTTP/1.0 client knows no chunks, which uvicorn would send: its body ends with the connection.
            self._cycle.chunked_encoding = False
        self._on_writable = on_writable
        self._protocol.on_writable = self._resume

    def _resume(self) -> None:
        # An earlier, pipelined answer may have filled the buffer, and this one's head goes first.
        if self._cycle.response_started:
            self._on_writable()

    def write(self, data: bytes) -> bool:
        protocol = self._protocol
        if protocol.transport.is_closing():
            # The client has left, and the stream does not know yet. uvloop would raise, here in the middle of the link.
            return False
        protocol.transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
        return not protocol.flow.write_paused

    def end(self) -> None:
        self._protocol.on_writable = None


class Protocol(HttpToolsProtocol):
    """One HTTP connection, which a client can neither hold by not reading nor lose by a restart."""

    write_timeout_s = Settings.model_fields["write_timeout"].default
    on_writable: Callable[[], None] | None = None
    _read_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None
    _leaving = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._cycles: list[RequestResponseCycle] = []
        sock = transport.get_extra_info("socket")
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            # Else the kernel takes megabytes for a client that does not read, and takes more only after a third of them
            # has gone: until then one that reads slowly looks like one that does not.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        # What is left may be too little for `pause_writing`, and then nobody else would ever look whether it goes.
        if not self.pipeline and not self._write_timer:
            self._watch_writes(self.transport.get_write_buffer_size())

    def pause_writing(self) -> None:
        """The client takes nothing any more: give it `write_timeout` seconds to take at least something."""
        super().pause_writing()
        self._watch_writes(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_watching()
        if self.on_writable:
            self.on_writable()

    def on_message_begin(self) -> None:
        """Give the client `write_timeout` seconds to send the whole request."""
        super().on_message_begin()
        self._read_timer = self.loop.call_later(self.write_timeout_s, self.transport.abort)

    def on_message_complete(self) -> None:
        if self._read_timer:
            self._read_timer.cancel()
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_watching()
        if self._read_timer:
            self._read_timer.cancel()
        # uvicorn tells the last request alone, and not those before it that the client had pipelined.
        for cycle in self._cycles:
            cycle.disconnected = True
            cycle.message_event.set()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Close an idle connection a moment later than uvicorn does, so that a request on its way is still answered."""
        self._leaving = True
        if self.cycle is None or self.cycle.response_complete:
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                LAST_REQUEST_S, self.timeout_keep_alive_handler
            )
        else:
            self.cycle.keep_alive = False

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if not self.flow.write_paused:
            self._stop_watching()
        self._cycles = [cycle for cycle in self._cycles if not cycle.response_complete]
        self._cycles.append(self.cycle)
        if len(self.pipeline) > MAX_PIPELINED:
            self.transport.abort()
        else:
            # uvicorn stops reading when requests are pipelined, and would not notice that the client leaves.
            self.flow.resume_reading()
        self.scope["extensions"] = cast(Any, {DIRECT_BODY: Body(self, self.cycle)})
        if self._leaving:
            self.cycle.keep_alive = False

    def _watch_writes(self, unsent: int) -> None:
        self._stop_watching()
        if unsent:
            self._write_timer = self.loop.call_later(
                self.write_timeout_s, self._check_writes, unsent
            )

    def _stop_watching(self) -> None:
        if self._write_timer:
            self._write_timer.cancel()
            self._write_timer = None

    def _check_writes(self, unsent_before: int) -> None:
        unsent = self.transport.get_write_buffer_size()
        if unsent < unsent_before:
            self._watch_writes(unsent)
        else:
            self.transport.abort()  # close() would wait for the client to read


class Worker(UvicornWorker):
    """uvicorn under gunicorn."""

    CONFIG_KWARGS = {  # noqa: RUF012 (uvicorn-worker declares it so)
        "loop": "uvloop",
        "http": Protocol,
        "ws": "none",
        "lifespan": "on",
        "server_header": False,
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        Protocol.write_timeout_s = Settings().write_timeout

    async def _serve(self) -> None:
        beating = asyncio.create_task(self._beat())
        try:
            await super()._serve()
        finally:
            beating.cancel()

    def _install_sigquit_handler(self) -> None:
        # uvicorn-worker's own handler stops nothing: the master would wait for its time limit, and kill.
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGQUIT, signal.raise_signal, signal.SIGINT)

    async def _beat(self) -> None:
        """Report to the master, also while the last streams of a restart run out, which uvicorn's own report does not.

        Without a master leave: nobody else would ever end this process, and it holds the port.
        """
        while os.getppid() == self.ppid:
            self.notify()  # type: ignore[no-untyped-call]
            await asyncio.sleep(HEARTBEAT_S)
        os.kill(os.getpid(), signal.SIGTERM)
