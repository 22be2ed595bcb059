"""At most five tries a minute, for each dirty worker, to load the model, however they fail.

A load may raise, or take the whole process with it (out of memory, a crash in native code); gunicorn replaces a dead
dirty worker at once, a thousand times in a few seconds if need be. So the tries are counted in a file of the runtime
folder, which outlives the process: a line each, its time in seconds since the machine's start; a load that succeeds
takes its line back.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from pathlib import Path
from time import monotonic as now  # all processes read the same, and nobody sets it

from backend.settings import ModelWorkers

LOGGER = logging.getLogger("gunicorn.error.engine")

TRIES = 5
WINDOW_S = 60.0


class LoadAttempts:
    """The tries of one engine to load its model, on record."""

    def __init__(self, folder: Path, model: ModelWorkers) -> None:
        name = hashlib.sha256(model.id.encode()).hexdigest()[:8]
        self._file = folder / f"load-attempts-{name}"
        # All dirty workers of a model write one file, and at a start or a reload all of them load at once.
        self._limit = TRIES * model.workers
        self._failed = 0  # tries of this process
        self._line = ""

    async def wait(self) -> None:
        """Wait until another try is allowed, and put it on record: 1, 2, 4, 8 s apart, and then as the limit says."""
        if self._line:
            self._failed += 1
            await asyncio.sleep(min(2.0 ** (self._failed - 1), WINDOW_S))
        while len(recent := self._recent()) >= self._limit:
            await asyncio.sleep(max(0.05, recent[-self._limit] + WINDOW_S - now()))
        self._line = f"{now():.6f}\n"
        try:
            with self._file.open("a") as file:
                file.write(self._line)
        except OSError as error:  # a full disk most likely, which is no reason not to load
            LOGGER.warning("The try to load the model could not be put on record: %s", error)

    def succeeded(self) -> None:
        """Take the last try back: only those that failed, or that nobody lived to report on, count."""
        try:
            lines = self._file.read_text().splitlines(keepends=True)
            self._file.write_text("".join(line for line in lines if line != self._line))
        except OSError:
            return  # it was not put on record, or cannot be taken off it

    def _recent(self) -> list[float]:
        """The times of the tries within the last minute, oldest first."""
        try:
            lines = self._file.read_text().split()
            moments = [float(line) for line in lines]
        except (OSError, ValueError):  # none yet; or a line that a full disk has cut off
            return []
        return [moment for moment in moments if 0 <= now() - moment < WINDOW_S]
