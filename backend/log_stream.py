"""Where log lines go, and what models print: to the standard outputs, as long as somebody takes them there.

A pipe whose reader stands still is soon full, and then whoever writes to it waits: here that would be the event loop
of a worker, with all its streams. So a line that nobody takes is dropped, and later it is said how many were.
"""

from __future__ import annotations

import io
import logging
import os
import select
import sys

PIECE_BYTES = select.PIPE_BUF  # that a pipe takes at once if it takes anything


class LogStream(io.TextIOBase):
    """A text stream on a file descriptor that is written to only as long as that cannot block."""

    encoding = "utf-8"  # asked for by much that prints

    def __init__(self, number: int) -> None:
        self._number = number
        self._poll = select.poll()
        self._poll.register(number, select.POLLOUT)
        self._dropped = 0

    def write(self, text: str) -> int:
        """Write a line, or drop it. Raises `OSError`, as when the disk is full."""
        data = text.encode(self.encoding, "backslashreplace")
        if self._dropped:
            data = b"(%d lines before this one were dropped)\n" % self._dropped + data
        for start in range(0, len(data), PIECE_BYTES):
            if not self._takes_more():
                self._dropped += 1
                return len(text)
            os.write(self._number, data[start : start + PIECE_BYTES])
        self._dropped = 0
        return len(text)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._number

    def isatty(self) -> bool:
        return os.isatty(self._number)

    def _takes_more(self) -> bool:
        """Whether a piece can be written now; not to a pipe that nobody has open for reading any more."""
        return self._poll.poll(0) == [(self._number, select.POLLOUT)]


def never_block(logger: logging.Logger) -> None:
    """Let what this logger writes to a stream, and all that this process prints, go through a `LogStream`."""
    if sys.stdout is not None:
        sys.stdout = LogStream(sys.stdout.fileno())
    if sys.stderr is not None:
        sys.stderr = LogStream(sys.stderr.fileno())
    for handler in logger.handlers:
        if type(handler) is logging.StreamHandler and handler.stream is not None:
            handler.setStream(LogStream(handler.stream.fileno()))
