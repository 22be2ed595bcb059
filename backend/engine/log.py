"""The one idea: a generation is an append-only log, and every reader is only an offset into it.

A log holds the bytes of its events as they go over the wire, one after the other, and where each event ends. It keeps
four promises, which an implementation in another place (Redis Streams, say) can keep as well:

- append before deliver: a reader sees an event only once the log holds it;
- positions 1, 2, 3 … without gaps, the same for every reader;
- exactly one terminal record, and nothing after it;
- bounded life: the store forgets logs by age and by size, and says so when it cannot.

Neither class is thread-safe: both live in the engine's event loop.
"""

from __future__ import annotations

import time
from array import array
from bisect import bisect_right
from collections.abc import Callable

ENTRY_BYTES = 8  # of an event in `_ends`


class LogFull(Exception):
    """The store is at its limit and holds no finished log that could go."""


class GenerationLog:
    """The events of one generation.

    `numbered` logs carry an `id:` line before each event, so that a reader can name the last one that it saw.
    """

    __slots__ = (
        "_bytes",
        "_ends",
        "_store",
        "_unread_since_wake",
        "_wakes",
        "delivered",
        "finished",
        "numbered",
        "owner",
    )

    def __init__(self, store: LogStore, numbered: bool, owner: str) -> None:
        self._store = store
        self._bytes = bytearray()
        self._ends = array("Q")  # _ends[i]: offset after event i + 1
        self._wakes: list[Callable[[], None]] = []
        self._unread_since_wake = False  # the readers know already that there is something to read
        self.numbered = numbered
        self.owner = owner  # who alone may read it; "": whoever knows its id
        self.finished = False
        self.delivered = False  # one reader has had all of it, the terminal record too

    @property
    def last(self) -> int:
        """The position of the last event; 0 while there is none."""
        return len(self._ends)

    @property
    def size(self) -> int:
        """The offset after the last event, in bytes."""
        return len(self._bytes)

    def append(self, frame: bytes) -> None:
        """Add one event and wake the readers. What comes after the terminal record is dropped: a stop is final.

        Raises `LogFull` when the store has no room; the event is not added then.
        """
        if self.finished:
            return
        if self.numbered:
            frame = b"id: %d\n%b" % (len(self._ends) + 1, frame)
        store = self._store
        store.used += len(frame) + ENTRY_BYTES
        if store.used > store.max_bytes:
            store.make_room(len(frame) + ENTRY_BYTES)
        self._bytes += frame
        self._ends.append(len(self._bytes))
        if self._unread_since_wake:
            return
        self._unread_since_wake = True
        for wake in self._wakes:
            wake()

    def finish(self, *frames: bytes) -> None:
        """Add the terminal record, which always finds room, and close the log. Does nothing on a closed log."""
        if self.finished:
            return
        for frame in frames:
            if self.numbered:
                frame = b"id: %d\n%b" % (len(self._ends) + 1, frame)
            self._bytes += frame
            self._ends.append(len(self._bytes))
            self._store.used += len(frame) + ENTRY_BYTES
        self.finished = True
        for wake in self._wakes:
            wake()

    def clear(self) -> None:
        self._bytes = bytearray()
        self._ends = array("Q")

    def offset_after(self, position: int) -> int:
        """Return the offset, in bytes, where the event after `position` begins. Raises `IndexError` beyond the end."""
        return self._ends[position - 1] if position else 0

    def read(self, offset: int, limit: int) -> bytearray:
        """Return the events that follow `offset`: whole ones, and as many as `limit` bytes hold, but one at least.

        Nothing when the reader has everything so far, or the limit is 0 or less.
        """
        self._unread_since_wake = False
        if limit <= 0:
            return bytearray()
        end = len(self._bytes)
        if end - offset > limit:
            next_event = bisect_right(self._ends, offset)
            last_within = bisect_right(self._ends, offset + limit) - 1
            end = self._ends[max(next_event, last_within)]
        return self._bytes[offset:end]

    def subscribe(self, wake: Callable[[], None]) -> None:
        """Call `wake` at the end, and at the first append after each `read`, whoever has read.

        It must not read itself, only note that there is something to read.
        """
        self._wakes.append(wake)

    def unsubscribe(self, wake: Callable[[], None]) -> None:
        self._wakes.remove(wake)


class LogStore:
    """All logs of one engine, by generation id, under one limit of bytes.

    When room is short the oldest finished logs go first. Where none is left the log that wants to grow is refused: the
    one that grows fastest meets the limit first, so that a runaway ends and not its neighbours.
    """

    def __init__(self, max_bytes: int, ttl_s: float) -> None:
        self._logs: dict[str, GenerationLog] = {}
        self._finished: dict[
            str, float
        ] = {}  # id → time of its end (monotonic seconds), oldest first
        self.max_bytes = max_bytes
        self._ttl_s = ttl_s
        self.used = 0

    def get(self, generation_id: str) -> GenerationLog | None:
        return self._logs.get(generation_id)

    def open(self, generation_id: str, numbered: bool, owner: str = "") -> GenerationLog:
        log = self._logs[generation_id] = GenerationLog(self, numbered, owner)
        return log

    def undelivered(self) -> bool:
        """Whether somebody may still come back for a log."""
        return any(log.numbered and not log.delivered for log in self._logs.values())

    def close(self, generation_id: str) -> None:
        """Start the clock of a finished log's remaining life."""
        self._finished[generation_id] = time.monotonic()

    def make_room(self, count: int) -> None:
        """Forget finished logs until `used` is within the limit; else take `count` off it again and raise `LogFull`."""
        while self.used > self.max_bytes:
            if not self._finished:
                self.used -= count
                raise LogFull
            self.forget(next(iter(self._finished)))

    def expire(self) -> None:
        """Forget the logs whose time has come."""
        horizon = time.monotonic() - self._ttl_s
        while self._finished:
            generation_id, ended = next(iter(self._finished.items()))
            if ended > horizon:
                return
            self.forget(generation_id)

    def release(self, generation_id: str) -> None:
        """Drop the events of a finished log that nobody can come back for; its id stays known for as long as others."""
        log = self._logs.get(generation_id)
        if log and log.finished and not log.numbered:
            self.used -= log.size + ENTRY_BYTES * log.last
            log.clear()

    def forget(self, generation_id: str) -> None:
        """Drop a finished log. Readers that are in the middle of it keep it until they are through."""
        log = self._logs.pop(generation_id)
        del self._finished[generation_id]
        self.used -= log.size + ENTRY_BYTES * log.last
