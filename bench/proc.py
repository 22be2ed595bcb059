"""What a server costs, read from Linux's /proc (proc(5)).

A contender is started in a session of its own, so a session's processes are the whole server, whoever their parent is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")

# Positions in /proc/<pid>/stat after the command's name; /proc/stat's first line counts from after "cpu".
SESSION, UTIME, STIME = 3, 11, 12
IDLE, IOWAIT, GUEST = 3, 4, 8


def _stats(session: int) -> Iterator[tuple[int, list[str]]]:
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):  # it ended since the listing
            continue
        fields = stat.rpartition(")")[2].split()
        if int(fields[SESSION]) == session:
            yield int(entry.name), fields


def members(session: int) -> set[int]:
    """Return the ids of the session's processes, those included that ended and are not yet waited for."""
    return {pid for pid, _ in _stats(session)}


def cpu_seconds(session: int) -> dict[int, float]:
    """Return the processor time, user and system, that each process of the session has used, in seconds.

    The kernel rounds it to ticks of 10 ms.
    """
    return {
        pid: (int(fields[UTIME]) + int(fields[STIME])) / TICKS_PER_S
        for pid, fields in _stats(session)
    }


def anonymous_bytes(session: int) -> int:
    """Return the memory that the session's processes hold beside files, in bytes.

    Pages that forked processes share are divided among them (Pss_Anon). Files, that is program code, are left out:
    their share would change with every other Python process on the machine.
    """
    total = 0
    for pid in members(session):
        try:
            rollup = (PROC / str(pid) / "smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += sum(
            int(line.split()[1]) * 1024
            for line in rollup.splitlines()
            if line.startswith("Pss_Anon:")
        )
    return total


def machine_busy_seconds() -> float:
    """Return the processor time, in seconds, that everything on this machine has used since it started."""
    ticks = [int(field) for field in (PROC / "stat").read_text().partition("\n")[0].split()[1:]]
    # Guest time is part of user time already.
    return (sum(ticks[:GUEST]) - ticks[IDLE] - ticks[IOWAIT]) / TICKS_PER_S
