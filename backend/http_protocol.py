"""One HTTP connection: uvicorn's, with what it lacks for long streams, quiet restarts and hostile clients.

A request that is not HTTP (RFC 9112), or too large to be read, is refused with a status of its own, and nothing more
is taken from that connection: where one request ends and the next begins is not known any more.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from backend.errors import (
    BurbleError,
    HeadTooLarge,
    MalformedRequest,
    TargetTooLong,
    UnsupportedTransfer,
    UnsupportedVersion,
)
from backend.event_stream import DIRECT_BODY
from backend.problem import error_response
from backend.refusals import REFUSALS, Refusals
from backend.settings import Settings

# How long a restarting worker waits for a request on a connection that is open already: one may be on its way.
LAST_REQUEST_S = 1.0
UNSENT_BYTES = 65536  # that the kernel takes for one client, beyond what is on its way
MAX_PIPELINED = 16  # requests that a client may send before it has its answers

MAX_TARGET_BYTES = 8192  # RFC 9112, section 3, recommends to take 8,000 at least
MAX_HEAD_BYTES = 32768
MAX_FIELDS = 100
# What a client may still send after it was refused: were the connection closed at once, a client that is in the middle
# of sending would hear of that, and not why.
MAX_DISCARDED_BYTES = 16 * 1024 * 1024

HOST = re.compile(rb"[\w.~!$&'()*+,;=%:\[\]-]*", re.ASCII)  # RFC 9110, section 7.2


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
        if protocol.transport.is_closing() or self._cycle.disconnected:
            # The client has left or was refused, and the stream does not know yet. uvloop would raise, here in the
            # middle of the link.
            return False
        protocol.transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
        return not protocol.flow.write_paused

    def end(self) -> None:
        self._protocol.on_writable = None


class Protocol(HttpToolsProtocol):
    """One HTTP connection, which a client can neither hold by its silence nor lose by a restart.

    Whenever the client owes a request, it has `write_timeout` seconds for all of it, and its connection is dropped
    then: also when it never begins one, or goes on with a body that was refused.
    """

    write_timeout_s = Settings.model_fields["write_timeout"].default
    on_writable: Callable[[], None] | None = None
    _read_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None
    _leaving = False
    _in_head = False
    _in_body = False
    _upgrading = False
    # Since a request began, or something of its body came: what a head, a trailer or a chunk's extension may take.
    _framing_bytes = 0
    _discarded_bytes: int | None = None  # a number once nothing is read any more

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._cycles: list[RequestResponseCycle] = []
        self._await_request()
        sock = transport.get_extra_info("socket")
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            # Else the kernel takes megabytes for a client that does not read, and takes more only after a third of them
            # has gone: until then one that reads slowly looks like one that does not.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_watching()
        self._stop_reading_timer()
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

    # Requests

    def data_received(self, data: bytes) -> None:
        if self._discarded_bytes is not None:
            self._discarded_bytes += len(data)
            if self._discarded_bytes > MAX_DISCARDED_BYTES:
                self.transport.abort()
            return
        if self._refused_in_a_rush(data):
            return
        self._unset_keepalive_if_required()
        self._framing_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            reason = error.__context__
            self._refuse(reason if isinstance(reason, BurbleError) else MalformedRequest())
        else:
            if self._framing_bytes > MAX_HEAD_BYTES:
                self._refuse(HeadTooLarge())
            elif not self._read_timer and (not self.cycle or self.cycle.response_complete):
                self._await_request()  # empty lines are no request yet

    def _refused_in_a_rush(self, data: bytes) -> bool:
        """Answer a question that there is no room for with what lies ready; False where it has to be read."""
        refusals: Refusals | None = self.app_state.get(REFUSALS)
        if refusals is None or not self._idle or not (answer := refusals.answer(data)):
            return False
        default = [b"%b: %b\r\n" % header for header in self.server_state.default_headers]
        self.transport.write(b"".join([STATUS_LINE[503], *default, answer]))
        self._stop_reading_timer()
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )
        self._watch_the_rest()
        return True

    @property
    def _idle(self) -> bool:
        """Whether the next request begins with the next byte, and may be answered at once."""
        answered = self.cycle is None or self.cycle.response_complete
        reading = self._in_head or self._in_body or self._framing_bytes > 0
        return answered and not (reading or self._leaving or self.flow.write_paused)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._await_request()
        self._in_head = True
        self._framing_bytes = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > MAX_TARGET_BYTES:
            raise TargetTooLong

    def on_header(self, name: bytes, value: bytes) -> None:
        # What comes after a chunked body is no header, whatever it says (RFC 9110, section 6.5.1): it would count after
        # all that a proxy has checked and added.
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._check_head()
        if self.parser.should_upgrade():
            self._upgrading = True
            return
        self._in_body = True
        super().on_headers_complete()
        if not self.flow.write_paused:
            self._stop_watching()
        self._cycles = [cycle for cycle in self._cycles if not cycle.response_complete]
        self._cycles.append(self.cycle)
        if len(self.pipeline) > MAX_PIPELINED:
            self.transport.abort()
            raise MalformedRequest  # else all the others that have come would be made ready as well
        # uvicorn stops reading when requests are pipelined, and would not notice that the client leaves.
        self.flow.resume_reading()
        self.scope["extensions"] = cast(Any, {DIRECT_BODY: Body(self, self.cycle)})
        if self._leaving:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._framing_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._upgrading:
            return
        self._in_body = False
        self._stop_reading_timer()
        super().on_message_complete()

    def _check_head(self) -> None:
        """Raise what is wrong with a head that the parser takes (RFC 9112, sections 3 and 6.1)."""
        size = sum(len(name) + len(value) for name, value in self.headers)
        if size > MAX_HEAD_BYTES or len(self.headers) > MAX_FIELDS:
            raise HeadTooLarge
        version = self.parser.get_http_version()
        if version not in ("1.0", "1.1"):
            raise UnsupportedVersion
        method = self.parser.get_method()
        if method == b"CONNECT":
            raise MalformedRequest("This server is no proxy.")
        hosts = [value for name, value in self.headers if name == b"host"]
        if (
            len(hosts) > 1
            or (version == "1.1" and not hosts)
            or not all(map(HOST.fullmatch, hosts))
        ):
            raise MalformedRequest("One valid Host header is needed.")
        codings = [value.lower() for name, value in self.headers if name == b"transfer-encoding"]
        if codings and version == "1.0":
            raise MalformedRequest("HTTP/1.0 has no transfer codings.")
        if codings not in ([], [b"chunked"]):
            raise UnsupportedTransfer
        if version == "1.0":  # it would take "100 Continue" for the answer
            self.expect_100_continue = False
        if not self.url.startswith(b"/") and (self.url, method) != (b"*", b"OPTIONS"):
            self._take_absolute_target()

    def _take_absolute_target(self) -> None:
        """Read `GET http://host/path`, the form for proxies: what it says counts more than `Host` (section 3.2.2)."""
        target = httptools.parse_url(self.url)
        if not target.host:
            raise MalformedRequest
        host = b"[%b]" % target.host if b":" in target.host else target.host
        authority = host + (b":%d" % target.port if target.port else b"")
        self.headers[:] = [field for field in self.headers if field[0] != b"host"]
        self.headers.append((b"host", authority))
        self.url = (target.path or b"/") + (b"?" + target.query if target.query else b"")

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Go on in HTTP/1, as a server may (RFC 9110, section 7.8): the parser would read no body, and no more."""
        version = self.parser.get_http_version().encode()
        head = [
            b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version),
            *(b"%b: %b" % field for field in self.headers if field[0] != b"upgrade"),
        ]
        self._upgrading = False
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.data_received(b"\r\n".join([*head, b"", rest]))

    def _await_request(self) -> None:
        """Give the client `write_timeout` seconds to send a whole request."""
        self._stop_reading_timer()
        self._read_timer = self.loop.call_later(self.write_timeout_s, self.transport.abort)

    def _stop_reading_timer(self) -> None:
        if self._read_timer:
            self._read_timer.cancel()
            self._read_timer = None

    # Refusals

    def _refuse(self, error: BurbleError) -> None:
        """Answer what cannot be read, when no other answer is due before it, and take no more."""
        if self.transport.is_closing():
            return
        due = [cycle for cycle in self._cycles if not cycle.response_complete]
        if self._in_body and due and due[-1] is self.cycle and not self.cycle.response_started:
            due.pop()  # what cannot be read is its own body
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.logger.debug("Refused what a client sent: %s", error.code)
        if due:
            due[-1].keep_alive = False
            self._discarded_bytes = 0
            self._stop_reading_timer()
            return
        answer = error_response(error, "")
        lines = [
            b"HTTP/1.1 %d %b" % (error.status, HTTPStatus(error.status).phrase.encode()),
            *(b"%b: %b" % field for field in self.server_state.default_headers),
            *(b"%b: %b" % field for field in answer.raw_headers),
            b"cache-control: no-store",
            b"connection: close",
            b"",
            bytes(answer.body),
        ]
        self.transport.write(b"\r\n".join(lines))
        self._hang_up_slowly()

    def _hang_up_slowly(self) -> None:
        """End our side of the connection, and throw away what still comes, so that the client can read its answer."""
        self._discarded_bytes = 0
        if not self._read_timer:
            self._await_request()
        self.flow.resume_reading()
        self.transport.write_eof()

    # Answers

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._in_body and self.cycle.response_complete and not self.transport.is_closing():
            self._hang_up_slowly()
        if not self.pipeline:
            self._watch_the_rest()

    def _watch_the_rest(self) -> None:
        """Watch what is left of an answer: it may be too little for `pause_writing`, and nobody else would look."""
        if not self._write_timer:
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
