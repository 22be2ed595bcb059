"""Counts that all processes of a stack share, and that outlive a restart: a storage for the library `limits`.

They are one SQLite file in the private folder `state_path`, made when something is first counted. So they are exact:
each change is a transaction that no other process can see half of. What has expired is removed by whatever is counted
next, and the file gives its room back. A power failure may cost the last counts, but not the file, which has to be on a
local disk (`synchronous=NORMAL` under WAL).

Windows end by the wall clock, because they outlive the machine's uptime; but that clock may jump. The file remembers
the latest time that was seen. When the clock is behind it, all ends move by as much, so that what is left of a window
stays what it was. A clock that jumps forward ends windows early, and does no other harm. What must end at a time of
that clock, and at no other, has a name that begins with `FIXED`: its end never moves.

The file also holds the places that generations have taken (`backend/leases.py`).
"""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from limits.storage import MovingWindowSupport, Storage

from backend.errors import CountsUnavailable
from backend.runtime import private_folder
from backend.settings import Settings

LOGGER = logging.getLogger("gunicorn.error.limits")

FILE = "counts.sqlite3"
BUSY_S = 5.0  # that a transaction waits for others'; each takes a fraction of a millisecond
# Expired rows that one change takes along: more than it adds, and never a long wait.
REMOVED_AT_ONCE = 100
FIXED = "fixed/"

SCHEMA = """
    CREATE TABLE IF NOT EXISTS clock (latest REAL NOT NULL);
    INSERT INTO clock SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM clock);

    CREATE TABLE IF NOT EXISTS windows (
        key TEXT PRIMARY KEY, count INTEGER NOT NULL, ends REAL NOT NULL
    );
    CREATE INDEX IF NOT EXISTS windows_by_end ON windows (ends);

    CREATE TABLE IF NOT EXISTS entries (key TEXT NOT NULL, ends REAL NOT NULL);
    CREATE INDEX IF NOT EXISTS entries_by_key ON entries (key, ends);
    CREATE INDEX IF NOT EXISTS entries_by_end ON entries (ends);

    CREATE TABLE IF NOT EXISTS leases (
        id TEXT PRIMARY KEY, account TEXT NOT NULL, pid INTEGER NOT NULL, process_start TEXT NOT NULL
    );
    CREATE INDEX IF NOT EXISTS leases_by_account ON leases (account);
"""


class Transaction(NamedTuple):
    """One change of the file, and the time at which it is made, in seconds since the epoch."""

    connection: sqlite3.Connection
    now: float


class SharedCounts(Storage, MovingWindowSupport):
    """Fixed and moving windows in one SQLite file.

    Thread-safe and blocking: a call takes a fraction of a millisecond, and waits for those of others. Every method
    raises `CountsUnavailable` when the file cannot be used: it is broken, say, or the disk is full; the log says why.
    The next call tries anew. A broken file is never replaced by an empty one: who repairs or removes it decides what is
    forgotten.
    """

    STORAGE_SCHEME = None

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._folder = folder
        self._clock = clock
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._current: Transaction | None = None
        self._reason = ""  # why the file could not be used the last time; "": it could

    @property
    def base_exceptions(self) -> type[Exception]:
        return CountsUnavailable

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Make all that is called inside one change, which an exception undoes; a nested one is part of the outer.

        Nobody else changes anything meanwhile, in this process or another: nothing in it may wait.
        """
        with self._lock:
            if self._current:
                yield self._current
                return
            try:
                self._current = self._begin()
                yield self._current
                self._current.connection.execute("COMMIT")
                self._reason = ""
            except (sqlite3.Error, OSError) as error:
                self._report(error)
                self.close()
                raise CountsUnavailable(retry_after=5) from error
            finally:
                self._current = None
                if self._connection and self._connection.in_transaction:
                    self._connection.rollback()

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection:
                connection.close()

    # Fixed windows

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """Add to a window's count and return it; a window that is not there begins, and lasts `expiry` seconds."""
        with self.transaction() as (connection, now):
            self._remove_expired(connection, now)
            connection.execute(
                "INSERT INTO windows VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET"
                " count = CASE WHEN ends > ? THEN count ELSE 0 END + excluded.count,"
                " ends = CASE WHEN ends > ? THEN ends ELSE excluded.ends END",
                (key, amount, now + expiry, now, now),
            )
            return self.get(key)

    def get(self, key: str) -> int:
        """Return a window's count; 0 when there is no such window."""
        with self.transaction() as (connection, now):
            found = connection.execute(
                "SELECT count FROM windows WHERE key = ? AND ends > ?", (key, now)
            ).fetchone()
            return int(found[0]) if found else 0

    def get_expiry(self, key: str) -> float:
        """Return when a window ends, in seconds since the epoch; now when there is no such window."""
        with self.transaction() as (connection, now):
            found = connection.execute(
                "SELECT ends FROM windows WHERE key = ? AND ends > ?", (key, now)
            ).fetchone()
            return float(found[0]) if found else now

    # Moving windows

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Add `amount` entries for `expiry` seconds, unless there would be more than `limit` of them."""
        with self.transaction() as (connection, now):
            _, count = self.get_moving_window(key, limit, expiry)
            if count + amount > limit:
                return False
            self._remove_expired(connection, now)
            connection.executemany(
                "INSERT INTO entries VALUES (?, ?)", [(key, now + expiry)] * amount
            )
            return True

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        """Return how many entries there are, at most `limit`, and before them when the oldest of those was added.

        When that one expires there is room for another, even where the limit was a higher one before.
        """
        with self.transaction() as (connection, now):
            count, first_end = connection.execute(
                "SELECT count(*), min(ends) FROM"
                " (SELECT ends FROM entries WHERE key = ? AND ends > ? ORDER BY ends DESC LIMIT ?)",
                (key, now, limit),
            ).fetchone()
            return (first_end - expiry if count else now), count

    # All of them

    def check(self) -> bool:
        """Tell whether the file can be used."""
        try:
            with self.transaction():
                return True
        except CountsUnavailable:
            return False

    def clear(self, key: str) -> None:
        """Forget one window."""
        with self.transaction() as (connection, _):
            for table in ("windows", "entries"):
                connection.execute(f"DELETE FROM {table} WHERE key = ?", (key,))

    def reset(self) -> int:
        """Forget all windows, and return how many rows that were."""
        with self.transaction() as (connection, _):
            return sum(
                connection.execute(f"DELETE FROM {table}").rowcount
                for table in ("windows", "entries")
            )

    # The file

    def _begin(self) -> Transaction:
        if self._connection is None:
            self._connection = self._open()
        self._connection.execute("BEGIN IMMEDIATE")
        # Not before: with the lock no other process can have seen a later time.
        now = self._clock()
        (latest,) = self._connection.execute("SELECT latest FROM clock").fetchone()
        if now < latest:
            for table in ("windows", "entries"):
                self._connection.execute(
                    f"UPDATE {table} SET ends = ends - ? WHERE key NOT GLOB ?",
                    (latest - now, f"{FIXED}*"),
                )
            self._connection.execute("UPDATE clock SET latest = ?", (now,))
        return Transaction(self._connection, now)

    def _remove_expired(self, connection: sqlite3.Connection, now: float) -> None:
        """Make room before anything is added, and note the time."""
        for table in ("windows", "entries"):
            connection.execute(
                f"DELETE FROM {table} WHERE rowid IN"
                f" (SELECT rowid FROM {table} WHERE ends <= ? LIMIT {REMOVED_AT_ONCE})",
                (now,),
            )
        connection.execute("UPDATE clock SET latest = ?", (now,))

    def _open(self) -> sqlite3.Connection:
        path = private_folder(self._folder, "BURBLE_STATE_DIR") / FILE
        # One at a time: two that turn a new file to WAL at once do not wait for each other, but fail.
        turn = os.open(self._folder, os.O_RDONLY)
        try:
            fcntl.flock(turn, fcntl.LOCK_EX)
            connection = sqlite3.connect(
                path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
            )
            try:
                connection.execute("PRAGMA auto_vacuum = FULL")
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.executescript(SCHEMA)
            except sqlite3.Error:
                connection.close()
                raise
            return connection
        finally:
            os.close(turn)

    def _report(self, error: Exception) -> None:
        """Log why the file cannot be used, once for as long as it is the same reason."""
        reason = f"{type(error).__name__}: {error}"
        if reason != self._reason:
            self._reason = reason
            LOGGER.error(
                "%s cannot be used, so what is limited by it is refused: %s",
                self._folder / FILE,
                reason,
            )


def open_storage(settings: Settings) -> SharedCounts:
    """Return this stack's counts. The file is opened, and made, when they are first used."""
    return SharedCounts(settings.state_path)
