"""The engine as a guest in a dirty worker: a thread with an event loop of its own, and the signals that end it.

- SIGTERM (gunicorn's) drains for `dirty_graceful_timeout` seconds at most; SIGINT (Ctrl+C) and SIGQUIT end what runs
  at once. Either way every stream gets its terminal event.
- SIGUSR2 (from `backend/reloading.py`) retires the engine: it takes nothing new, and leaves once everything that it
  holds has been finished and read, however long that takes.
- A parent that is gone, the dirty arbiter or the master above it, is taken for a SIGTERM: gunicorn leaves such workers
  running for ever, each with a model in memory.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import uvloop

from backend import metrics, sse, tracing
from backend.engine.engine import Engine
from backend.engine.log import GenerationLog
from backend.engine.peers import Peers
from backend.engine.server import EngineServer
from backend.link import WINDOW_BYTES, GenerationRequest
from backend.runtime import private_folder
from backend.settings import Settings

LOGGER = logging.getLogger("gunicorn.error.engine")

PARENT_CHECK_S = 0.5
# Beyond `dirty_timeout`, which ends generations one by one while the event loop runs.
BLOCKED_S = 10
# What closing may take beyond draining (the last writes, the model's own close) before the process ends regardless.
CLOSING_S = 5
# gunicorn's worker ends with its main thread, which waits for a connection of the arbiter's that never closes, from
# Python 3.12 on and once gunicorn's own dirty client was used (dirty/worker.py, `_run_async`).
MAIN_THREAD_S = 1

ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


class EngineProcess:
    """Runs one engine beside gunicorn's own loop. Its methods are called from other threads than the engine's."""

    def __init__(self, number: int) -> None:
        """Take the model with this number: 1, 2, 3 … as `BURBLE_MODEL` lists them."""
        self._settings = Settings()
        self._model = self._settings.models[number - 1]
        self._loop = uvloop.new_event_loop()
        self._parent = os.getppid()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._started = threading.Event()
        self._signals_in, self._signals_out = socket.socketpair()
        self._signals_in.setblocking(False)
        self._loop_seen = time.monotonic()
        self._stopping: asyncio.Task[None] | None = None
        self._engine: Engine
        self._server: EngineServer

    def start(self) -> None:
        """Return once HTTP workers can connect; the model is loaded after that. Call it in the main thread."""
        self._thread.start()
        self._started.wait()
        os.register_at_fork(before=_block, after_in_parent=_unblock, after_in_child=self._let_go)
        # Only signals that have a handler in Python are told; gunicorn has set one for the others.
        signal.signal(signal.SIGUSR2, lambda *_: None)
        # A handler runs in the main thread, which may be about to sleep and then not notice for half a minute: the
        # engine's loop reads the signals' numbers itself.
        signal.set_wakeup_fd(self._signals_in.fileno(), warn_on_full_buffer=False)

    def stop(self) -> None:
        """Drain, close the model, and return; at the latest `dirty_graceful_timeout` and a few seconds from now."""
        asyncio.run_coroutine_threadsafe(self._stopped(), self._loop).result()

    def events(self, request: GenerationRequest) -> Iterator[dict[str, object]]:
        """Generate, and yield each event as it comes; closing the iterator stops the model.

        For gunicorn's own dirty client, which brings a thread of its own. Raises `BurbleError` when it is refused.
        """
        something = threading.Event()

        async def open_log() -> tuple[str, GenerationLog]:
            generation = self._engine.submit(request)
            self._engine.reader_came(generation.id)
            generation.log.subscribe(something.set)
            return generation.id, generation.log

        async def read(log: GenerationLog, offset: int) -> tuple[bytes, bool]:
            return bytes(log.read(offset, WINDOW_BYTES)), log.finished

        generation_id, log = asyncio.run_coroutine_threadsafe(open_log(), self._loop).result()
        try:
            offset, finished = 0, False
            while not finished:
                chunk, finished = asyncio.run_coroutine_threadsafe(
                    read(log, offset), self._loop
                ).result()
                offset += len(chunk)
                yield from sse.decode(chunk)
                if chunk:
                    finished = False
                elif not finished:
                    something.wait()
                    something.clear()
        finally:
            self._soon(lambda: log.unsubscribe(something.set))
            self._soon(lambda: self._engine.reader_left(generation_id))

    def _let_go(self) -> None:
        """Take from a process that a model has forked what is the engine's own.

        As long as it held the links, HTTP workers would not notice that the engine is gone; a signal to it would be
        taken for one to the engine, and not end it; and in the engine's loop it would write where the engine writes.
        """
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in (self._signals_in.fileno(), *self._server.file_numbers()):
            os.dup2(nothing, number)
        os.close(nothing)
        for number in ENDING_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        _unblock()
        if threading.get_ident() == self._thread.ident:
            self._loop.call_soon(os._exit, 1)

    # In the engine's thread

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._start())
        self._started.set()
        try:
            self._loop.run_forever()
        finally:
            # Somebody has stopped the loop, as a model can do that runs on it. Nobody may wait for this process then.
            LOGGER.critical("The engine's event loop was stopped; this worker ends")
            os._exit(1)

    async def _start(self) -> None:
        folder = private_folder(self._settings.runtime_path)
        metrics.fold_dead()
        self._engine = Engine(
            self._settings,
            self._model,
            key=secrets.token_hex(4),
            on_change=lambda: self._server.announce(),
            on_stuck=self._stop_at_once,
            tracing=tracing.begin(self._settings, for_models=True),
        )
        self._server = EngineServer(self._engine, folder)
        await self._server.start()
        self._loop.add_reader(self._signals_out, self._on_signals)
        self._engine.start(await self._find_peers(folder))
        self._watching = asyncio.create_task(self._watch_parent())
        threading.Thread(target=self._watch_loop, name="watchdog", daemon=True).start()

    async def _find_peers(self, folder: Path) -> Peers | None:
        if self._model.workers == 1:
            return None
        peers = Peers(
            folder,
            self._model.id,
            self._engine.key,
            self._settings.keep_alive,
            lambda: self._engine.admit(),
        )
        await peers.open()
        return peers

    def _on_signals(self) -> None:
        for number in self._signals_out.recv(64):
            if number == signal.SIGTERM:
                self._begin_to_stop()
            elif number in (signal.SIGINT, signal.SIGQUIT):
                self._stop_at_once()
            elif number == signal.SIGUSR2:
                self._retiring = asyncio.create_task(self._retire())

    def _begin_to_stop(self) -> asyncio.Task[None]:
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop())
        return self._stopping

    def _stop_at_once(self) -> None:
        self._begin_to_stop()
        self._engine.cut_off()

    async def _stopped(self) -> None:
        await self._begin_to_stop()

    async def _stop(self) -> None:
        limit_s = self._settings.dirty_graceful_timeout
        last_resort = threading.Timer(limit_s + CLOSING_S, os._exit, [1])
        last_resort.daemon = True
        last_resort.start()
        await self._engine.drain(limit_s)
        await self._server.close()
        await self._engine.unload()
        self._engine.settle()
        await asyncio.to_thread(tracing.end)
        last_resort.cancel()
        self._loop.call_later(MAIN_THREAD_S, os._exit, 0)

    async def _watch_parent(self) -> None:
        while os.getppid() == self._parent:
            self._loop_seen = time.monotonic()
            if self._stopping is None and not self._server.listens():
                LOGGER.critical("The engine's socket was closed under it; this worker ends")
                os._exit(1)
            await asyncio.sleep(PARENT_CHECK_S)
        LOGGER.warning("The dirty arbiter is gone; this worker leaves as well")
        self._begin_to_stop()

    def _watch_loop(self) -> None:
        """End the process when a model blocks the event loop: then no other clock of the engine runs.

        Seen twice, for a model that held the interpreter's lock has stopped this thread as well.
        """
        limit_s = self._settings.dirty_timeout + BLOCKED_S
        silent = 0
        while silent < 2 and self._stopping is None:
            time.sleep(PARENT_CHECK_S)
            silent = silent + 1 if time.monotonic() - self._loop_seen > limit_s else 0
        if self._stopping is None:
            LOGGER.critical("The model blocks the event loop; this worker ends")
            os._exit(1)

    async def _retire(self) -> None:
        await self._engine.drain(None)
        await self._engine.unload()
        await self._engine.everything_read()
        self._begin_to_stop()

    def _soon(self, callback: Callable[[], object]) -> None:
        self._loop.call_soon_threadsafe(callback)


def _block() -> None:
    """Keep back the signals to this thread while it forks: the child must not get one before it has let go."""
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING_SIGNALS)
