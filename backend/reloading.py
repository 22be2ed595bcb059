"""A reload (HUP) without a gap: new processes first, and the old ones leave when nobody needs them any more.

gunicorn's own reload does not do for long streams and slow models (gunicorn 27.0.1): its master waits for the old HTTP
workers' last streams before it passes the signal on to the dirty arbiter, and takes care of nothing meanwhile
(arbiter.py, `reload`); the dirty arbiter stops the new dirty workers and keeps the old, or stops all of them before
the model is loaded (dirty/arbiter.py, `reload`). The functions below put this module's way in their place.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from typing import Any

from gunicorn import sock

from backend import link
from backend.engine.chat_app import app_path
from backend.settings import Settings

STATE_S = 1  # that an engine is given to tell its state

# gunicorn's arbiter. It is kept here, because a reload executes the configuration file anew but not this module.
_master: Any = None


def dirty_graceful_timeout(settings: Settings) -> int:
    """Return the seconds that gunicorn gives a dirty worker to stop: what the engine takes, and a margin."""
    return int(settings.dirty_graceful_timeout) + 8


def dirty_apps(settings: Settings) -> list[str]:
    """Return gunicorn's list of dirty apps: one for each model, and how many workers load it."""
    return [
        f"{app_path(number)}:{model.workers}" for number, model in enumerate(settings.models, 1)
    ]


def install_in_master(arbiter: Any) -> None:
    """Make gunicorn's `Arbiter` pass a HUP on at once, and not wait for old HTTP workers."""
    global _master
    _master = arbiter

    def handle_hup() -> None:
        # gunicorn's own reload ends the whole stack when the configuration or the application cannot be loaded.
        command = [sys.executable, "-m", "gunicorn", "--check-config", *sys.argv[1:]]
        check = subprocess.run(command, capture_output=True, text=True, check=False)
        if check.returncode:
            arbiter.log.error("Not reloaded, for the new one would not start:\n%s", check.stderr)
            return
        arbiter.log.info("Hang up: %s", arbiter.master_name)
        arbiter.kill_dirty_arbiter(signal.SIGHUP)
        try:
            arbiter.reload()
        finally:
            # `do_not_wait` changed it for the reload alone; stopping the stack needs it.
            arbiter.cfg.set("graceful_timeout", arbiter.graceful_timeout)

    arbiter.handle_hup = handle_hup


def do_not_wait(arbiter: Any) -> None:
    """To be called in the middle of a reload, with the new configuration: gunicorn's hook `on_reload`."""
    arbiter.graceful_timeout = arbiter.cfg.graceful_timeout
    arbiter.cfg.set("graceful_timeout", 0)


def install_in_dirty_arbiter(arbiter: Any) -> None:
    """Make a gunicorn `DirtyArbiter` start the new engines first. Call it in its own process, before it runs."""
    # The listening sockets came along with the fork. As long as a dirty worker held one, a stopped stack's port would
    # still take connections, and nobody would answer them.
    sock.close_sockets(_master.LISTENERS, unlink=False)
    arbiter.reload = Reload(arbiter)
    arbiter._get_apps_for_new_worker = lambda: [next_app(arbiter)]
    stop = arbiter.stop

    async def stop_surely(graceful: bool = True) -> None:
        reminding = asyncio.create_task(_remind(arbiter))
        await stop(graceful)
        reminding.cancel()

    arbiter.stop = stop_surely


def next_app(arbiter: Any) -> str:
    """Return the app that lacks workers most, or has the fewest to spare.

    One alone: gunicorn would give the first worker an app of each model, and one model's crash would be every model's.
    """
    lacking: dict[str, int] = {
        path: spec["worker_count"] - len(arbiter.app_worker_map[path])
        for path, spec in arbiter.app_specs.items()
    }
    return max(lacking, key=lambda path: lacking[path])


async def _remind(arbiter: Any) -> None:
    """Repeat the SIGTERM: a worker that gets it while it is being set up forgets it (gunicorn, dirty/worker.py)."""
    while True:
        await asyncio.sleep(1)
        for pid in list(arbiter.workers):
            arbiter.kill_worker(pid, signal.SIGTERM)


class Reload:
    """Replaces the dirty workers, one reload at a time: a second HUP takes over from one that waits for its model."""

    def __init__(self, arbiter: Any) -> None:
        self._arbiter = arbiter
        self._under_way: asyncio.Task[None] | None = None
        self._new: list[int] = []  # the workers that the reload under way has started

    async def __call__(self) -> None:
        if self._under_way:
            self._under_way.cancel()
        self._under_way = asyncio.create_task(self._replace())
        self._under_way.add_done_callback(self._check)

    def _check(self, reload: asyncio.Task[None]) -> None:
        """Say so when a reload has failed: the old workers go on, and nobody waits for the task."""
        if not reload.cancelled() and (error := reload.exception()):
            self._arbiter.log.error("The dirty workers were not reloaded", exc_info=error)

    async def _replace(self) -> None:
        arbiter = self._arbiter
        superseded = self._new  # of a reload that waited in vain
        for pid in superseded:
            self._retire(pid)
        old = list(arbiter.workers)
        arbiter.log.info(
            "Reloading dirty workers: %s serve until the new ones have loaded the model", old
        )
        settings = read_settings_again()
        arbiter.cfg.set("dirty_graceful_timeout", dirty_graceful_timeout(settings))
        self._forget_apps(old)
        arbiter.cfg.set("dirty_apps", dirty_apps(settings))
        arbiter._parse_app_specs()
        wanted = sum(model.workers for model in settings.models)
        arbiter.num_workers = len(old) + wanted
        await arbiter.manage_workers()
        self._new = [pid for pid in arbiter.workers if pid not in old]
        await self._until_ready(settings, {*old, *superseded})
        self._new = []
        arbiter.num_workers = wanted
        for pid in old:
            self._retire(pid)

    def _forget_apps(self, old: list[int]) -> None:
        """Take the old workers for what they are from now on: none of those that the new configuration asks for."""
        arbiter = self._arbiter
        for pid in old:
            arbiter._unregister_worker(pid)
        arbiter._pending_respawns.clear()
        arbiter.app_specs.clear()
        arbiter.app_worker_map.clear()

    async def _until_ready(self, settings: Settings, old: set[int]) -> None:
        """Wait until each model has as many engines ready as it shall have, those of the old workers not counted."""
        while True:
            states = await asyncio.gather(
                *(engine_state(path) for path in settings.runtime_path.glob("engine-*.sock"))
            )
            ready = Counter(
                state["model"]
                for state in states
                if state and state["state"] == "ready" and state["pid"] not in old
            )
            if all(ready[model.id] >= model.workers for model in settings.models):
                return
            await asyncio.sleep(0.1)

    def _retire(self, pid: int) -> None:
        """Take a worker off the arbiter's books, so that it is neither counted nor timed nor killed; let it finish."""
        arbiter = self._arbiter
        if arbiter.workers.pop(pid, None) is None:
            return  # died meanwhile
        os.kill(pid, signal.SIGUSR2)


def read_settings_again() -> Settings:
    """Read the settings anew, by the table as it is in the files now. Raises `ValueError` for a value that is wrong."""
    sys.modules.pop("backend.settings", None)
    from backend.settings import read_settings

    return read_settings()


async def engine_state(path: os.PathLike[str]) -> link.EngineState | None:
    """Ask the engine behind a socket for its state; None when nobody is there."""
    try:
        async with asyncio.timeout(STATE_S):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                header = await reader.readexactly(link.HEADER.size)
                payload = await reader.readexactly(link.HEADER.unpack(header)[2])
            finally:
                writer.close()
    except (OSError, asyncio.IncompleteReadError, TimeoutError):
        return None
    state: link.EngineState = json.loads(payload)
    return state
