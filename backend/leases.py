"""The places that generations hold, counted over all processes: who has taken one, and whether it still lives.

A lease is taken by the HTTP worker before an engine hears of the generation, made over to the engine that accepts it,
by whichever of the two lives to write that, and given back when its log ends. It belongs to a process all the while.
One whose process is dead is removed when somebody would be refused because of it, so a process that is killed holds no
place for ever.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from sqlite3 import Connection

from backend.errors import CountsUnavailable
from backend.shared_counts import SharedCounts, Transaction

LOGGER = logging.getLogger("gunicorn.error.limits")

PROC = Path("/proc")
DAY_S = 86400
AGAIN_S = 1.0  # between two tries to write what could not be written
DEAD = "dead"  # in the place of a dead process's beginning: no living one began so
AT_ONCE = 100  # changes that are written together, while others wait

Change = Callable[[Transaction], object]


def process_start(pid: int) -> str:
    """Return when a process began, which tells it from a later one with its number; "" when it is dead.

    In clock ticks since the machine's own start (proc_pid_stat(5), `starttime`); where there is no such file, only
    whether it lives.
    """
    if not (PROC / "self" / "stat").exists():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return ""
        except PermissionError:
            pass
        return "alive"
    try:
        # The name of the program, in brackets, may hold anything; the third field is the first behind it.
        fields = (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] in ("Z", "X") else fields[19]


class Leases:
    """The leases of all accounts, as one process sees them; it is this one where no `pid` is named."""

    def __init__(self, counts: SharedCounts, pid: int | None = None) -> None:
        self._counts = counts
        self._pid = pid or os.getpid()
        self._start = process_start(self._pid)
        self._tidied = False

    def count(self, account: str, limit: int) -> int:
        """Return how many places an account holds; where that is `limit` or more, those of the dead are free."""
        with self._counts.transaction() as (connection, _):
            if not self._tidied:
                self._tidied = True
                self._remove_dead(connection, "SELECT DISTINCT pid, process_start FROM leases")
            query = "SELECT count(*) FROM leases WHERE account = ?"
            (count,) = connection.execute(query, (account,)).fetchone()
            if count >= limit:
                of_account = "SELECT DISTINCT pid, process_start FROM leases WHERE account = ?"
                self._remove_dead(connection, of_account, account)
                (count,) = connection.execute(query, (account,)).fetchone()
            return int(count)

    def take(self, account: str) -> str:
        """Take a place for a generation of this account, and return its lease."""
        lease = secrets.token_hex(16)
        with self._counts.transaction() as transaction:
            self._hold(transaction, lease, account)
        return lease

    def take_over(self, transaction: Transaction, lease: str, account: str) -> None:
        """Make it this process's, also where somebody has given it back who did not know that."""
        self._hold(transaction, lease, account)

    def give_back(self, transaction: Transaction, lease: str) -> None:
        """Free the place, unless another process has taken it over."""
        transaction.connection.execute(
            "DELETE FROM leases WHERE id = ? AND pid = ? AND process_start = ?",
            (lease, self._pid, self._start),
        )

    def hand_over(self, transaction: Transaction, lease: str, pid: int) -> None:
        """Make it another process's, unless that one has done so itself; if it is dead, it is as all of the dead."""
        transaction.connection.execute(
            "UPDATE leases SET pid = ?, process_start = ?"
            " WHERE id = ? AND pid = ? AND process_start = ?",
            (pid, process_start(pid) or DEAD, lease, self._pid, self._start),
        )

    def _remove_dead(self, connection: Connection, holders: str, *parameters: str) -> None:
        for pid, start in connection.execute(holders, parameters).fetchall():
            if process_start(pid) != start:
                connection.execute(
                    "DELETE FROM leases WHERE pid = ? AND process_start = ?", (pid, start)
                )

    def _hold(self, transaction: Transaction, lease: str, account: str) -> None:
        transaction.connection.execute(
            "INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?)",
            (lease, account, self._pid, self._start),
        )


def tokens_key(account: str) -> str:
    """Return the name of the window in which an account's tokens of a day are counted."""
    return f"tokens/{account}"


class Settlement:
    """Writes what becomes of leases, in a thread of its own: whoever tells it waits for no disk.

    What cannot be written now is tried again until it can. One that is never told anything opens no file.
    """

    def __init__(self, counts: SharedCounts) -> None:
        self._counts = counts
        self._leases = Leases(counts)
        self._changes: SimpleQueue[Change] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def accepted(self, lease: str, account: str) -> None:
        """Take a lease over: this process runs the generation from now on."""
        self._put(lambda transaction: self._leases.take_over(transaction, lease, account))

    def handed_over(self, lease: str, pid: int) -> None:
        """Leave a lease to the engine that runs the generation, which may die before it writes that itself."""
        self._put(lambda transaction: self._leases.hand_over(transaction, lease, pid))

    def refused(self, lease: str) -> None:
        """Give back a lease that no other process has taken over."""
        self._put(lambda transaction: self._leases.give_back(transaction, lease))

    def ended(self, lease: str, account: str, tokens: int) -> None:
        """Give back a lease, and charge its account the tokens of the generation that has ended."""

        def settle(transaction: Transaction) -> None:
            self._leases.give_back(transaction, lease)
            if tokens:
                self._counts.incr(tokens_key(account), DAY_S, tokens)

        self._put(settle)

    def flush(self, limit_s: float) -> bool:
        """Wait until all that was told is written, but no longer than `limit_s` seconds. Returns whether it is."""
        if self._thread is None:
            return True
        written = threading.Event()
        self._put(lambda _: written.set())
        return written.wait(limit_s)

    def close(self, limit_s: float) -> None:
        """Like `flush`, at the end of this process; tells the log what is lost."""
        if not self.flush(limit_s):
            LOGGER.error("What the last generations used could not be written")

    def _put(self, change: Change) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._write, name="settlement", daemon=True)
            self._thread.start()
        self._changes.put(change)

    def _write(self) -> None:
        while True:
            changes = [self._changes.get()]
            while len(changes) < AT_ONCE and not self._changes.empty():
                changes.append(self._changes.get())
            while not self._written(changes):
                time.sleep(AGAIN_S)

    def _written(self, changes: list[Change]) -> bool:
        try:
            with self._counts.transaction() as transaction:
                for change in changes:
                    change(transaction)
        except CountsUnavailable:
            return False
        return True
