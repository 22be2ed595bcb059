"""Refusing a rush: the answer to a question that finds the stack full, ready before it is asked.

A request that goes through the application costs its worker half a millisecond before an engine can refuse it, so ten
thousand at once would hold everybody up for seconds. While there is no room, which an HTTP worker knows from what the
engines tell (`EngineClient.room`), its protocol asks here first, and most of them cost no more than a read and a write.

Admission stays the engines' own: what is known here is a few milliseconds old. So some that pass are refused by their
engine after all, and the first few that find no room pass as well: one of them may have seen a place fall free. Only in
a rush is a question refused for which there may be one by then. Who asks is not looked at in it: whoever has no key
hears that there is no room, as at `/health/ready`, and nothing else.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Callable
from typing import Protocol

from starlette.types import Message, Scope

from backend.errors import QueueFull
from backend.problem import uncounted_response
from backend.security import SecurityHeaders

# The name, in the state that the application hands to its server, of what refuses in its place.
REFUSALS = "burble.refusals"

PATHS = ("/chat", "/chat/sync", "/v1/chat/completions")
RETRY_AFTER_S = 5

# More questions than this that find no room within so many seconds are a rush. It is over once no more came in as many
# seconds; until then none of them costs more than its refusal.
RUSH = 20
RUSH_S = 0.1

FIRST_LINES = {b"POST %b HTTP/1.1" % path.encode(): path for path in PATHS}
LENGTH = re.compile(rb"\ncontent-length: ?([0-9]{1,9})(?:\r|$)")
# What clients seldom say, or could be read in two ways, goes to the real parser.
SPECIAL = (
    b"transfer-encoding",
    b"connection: close",
    b"upgrade",
    b"expect",
    b"\n ",
    b"\n\t",
    b"\0",
)


class Room(Protocol):
    """Who knows how many more generations there is room for: the engines' client."""

    def room(self) -> float: ...


class Refusals:
    """Answers questions in the place of the application, as long as many come that there is no room for.

    `on_refused` is told the path of each; `clock` gives seconds.
    """

    def __init__(
        self,
        engines: Room,
        on_refused: Callable[[str], object] = lambda path: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engines = engines
        self._ready: dict[str, bytes] = {}
        self._passed = 0  # in this turn of the event loop, so that nobody else has counted them yet
        self._loop = asyncio.get_running_loop()
        self._without_room = 0  # questions, since that time
        self._since = -math.inf
        self._rush_goes_on = False
        self._on_refused = on_refused
        self._clock = clock

    async def prepare(self) -> None:
        """Make the answers, which are those that the application would give, but for an id of their own."""
        self._ready = {path: await _answer(path) for path in PATHS}

    def answer(self, data: bytes) -> bytes | None:
        """Return what to answer to `data`, without its status line and date: None where it must be looked at."""
        path = FIRST_LINES.get(data[: data.find(b"\r\n")])
        if path is None:
            return None
        if self._engines.room() > self._passed:
            if not self._passed:
                self._loop.call_soon(self._forget)
            self._passed += 1
            return None
        if not self._is_rush():
            return None
        if not _is_one_whole_question(data):
            return None
        self._on_refused(path)
        return self._ready[path]

    def _is_rush(self) -> bool:
        """Whether more find no room than the engines should be asked to refuse; counts this one."""
        now = self._clock()
        if now - self._since >= RUSH_S:
            self._rush_goes_on = self._without_room > RUSH and now - self._since < 2 * RUSH_S
            self._without_room, self._since = 0, now
        self._without_room += 1
        return self._rush_goes_on or self._without_room > RUSH

    def _forget(self) -> None:
        self._passed = 0


def _is_one_whole_question(data: bytes) -> bool:
    """Whether these bytes are a request with all of its body, and nothing behind it, by every reading of them."""
    head, end, body = data.partition(b"\r\n\r\n")
    headers = head.lower()
    length = LENGTH.search(headers)
    return (
        bool(end)
        and length is not None
        and int(length[1]) == len(body)
        and headers.count(b"content-length") == 1
        and headers.count(b"\n") == headers.count(b"\r") == headers.count(b"\r\n")
        and not any(word in headers for word in SPECIAL)
    )


async def _answer(path: str) -> bytes:
    """Return head and body of the refusal at this path, without its first line."""
    scope: Scope = {
        "type": "http",
        "method": "POST",
        "scheme": "http",  # what a proxy says of it is in headers, which nobody reads here
        "path": path,
        "headers": [],
    }
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    refusal = uncounted_response(QueueFull(retry_after=RETRY_AFTER_S), path)
    await SecurityHeaders(refusal)(scope, receive, send)
    start, body = sent
    head = b"".join(b"%b: %b\r\n" % header for header in start["headers"])
    return head + b"\r\n" + bytes(body["body"])
