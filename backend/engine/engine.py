"""The engine: runs generations side by side and writes each into its log.

It lives on one event loop, in the dirty worker, and knows nothing of sockets: `server.py` puts it on the link. A
generation goes through

    queued ──► running ──► one terminal record in its log: done, stopped, or failed

and whatever ends it writes that record at once; closing the model's generator comes after, so a stop is final for the
readers even while the model is still letting go. Only then is its place free for the next in line.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import time
from collections import deque
from collections.abc import Callable
from contextlib import aclosing
from typing import NamedTuple

from backend import sse
from backend.engine.backoff import LoadAttempts
from backend.engine.log import GenerationLog, LogFull, LogStore
from backend.engine.observation import Observation, Trail
from backend.engine.peers import Peers, PlaceTaken
from backend.errors import (
    BurbleError,
    Draining,
    EngineLost,
    InvalidPosition,
    KeyRevoked,
    ModelError,
    ModelTimeout,
    ModelUnavailable,
    QueueFull,
    Shutdown,
    UnknownGeneration,
    text_of,
)
from backend.keys import Keys
from backend.leases import Settlement
from backend.link import EngineState, GenerationRequest
from backend.models import Delta, End, LoadedModel, ModelBroken, Prefill, WrongItem, load_model
from backend.settings import ModelWorkers, Settings
from backend.shared_counts import open_storage
from backend.tracing import Tracing

LOGGER = logging.getLogger("gunicorn.error.engine")

SWEEP_S = 0.25  # how often the clocks are looked at, so that no token pays for a timer
TURN = 256  # tokens after which a model that never waits lets the others have a turn
CLOSE_S = 30  # that a model is given to close
# That generators are given to run their `finally` before the model is closed under them.
LETTING_GO_S = 2
SETTLING_S = 2  # that writing what the last generations used may take
# The longest that a generation which nobody reads may hold a place while others wait in line.
CROWDED_GRACE_S = 30
MIN_THOUGHTS = 3  # dots that the clients of the original example expect in "[thinking...]"

Source = LoadedModel | Peers  # what a generation's items come from


class Ending(NamedTuple):
    """How a generation ended: `stop`, `length`, `cancelled` or an error's code; its tokens; the frames that say so."""

    end: str
    prompt_tokens: int
    completion_tokens: int
    frames: list[bytes]


class Generation:
    """One answer on its way: what was asked, its log, and who still reads it."""

    __slots__ = (
        "ended", "id", "last_seen", "log", "notes", "position", "readers", "request", "since", "started", "task",
        "thoughts", "trail", "unread_since",
    )  # fmt: skip

    def __init__(
        self,
        generation_id: str,
        request: GenerationRequest,
        log: GenerationLog,
        observation: Observation,
    ) -> None:
        self.id = generation_id
        self.request = request
        self.log = log
        self.task: asyncio.Task[None] | None = None  # None while it waits in line
        self.position = 0  # in line, as its reader was told last; 0: nothing was said
        self.notes = 0  # events that are not answer text
        self.thoughts = 0  # pieces of the thinking that is open; 0: none is
        self.readers = 0
        now = time.monotonic()
        self.ended = 0.0
        self.unread_since = now
        self.started = now
        # The watchdog's notes: how long the log was when it last looked, and since when it has been that long.
        self.last_seen = 0
        self.since = now
        self.trail = Trail(self, observation)

    @property
    def tokens(self) -> int:
        """Pieces of answer text so far; it counts until the log ends."""
        return self.log.last - self.notes

    def close_thinking(self) -> list[bytes]:
        """Return the frames that end the thinking, if any is open: no answer may end inside its brackets."""
        thoughts, self.thoughts = self.thoughts, 0
        if not thoughts:
            return []
        return [sse.thinking("")] * (MIN_THOUGHTS - thoughts) + [sse.thinking_end()]

    def note(self, frame: bytes) -> None:
        """Write an event that is not answer text. Raises `LogFull`."""
        self.log.append(frame)
        self.notes += 1


class Engine:
    """Generations of one loaded model, which is `settings.models`' `model`, bounded in number, time and memory.

    `key` is the beginning of every id that this engine hands out: it tells the HTTP workers whose it is. `on_change` is
    called when `state()` may have changed, and `on_stuck` when the engine cannot go on: every place is held by a model
    that does not let go, or one of its own tasks has failed.
    All methods belong to the event loop that runs `start`.
    """

    def __init__(
        self,
        settings: Settings,
        model: ModelWorkers,
        key: str,
        on_change: Callable[[], object],
        on_stuck: Callable[[], object] = lambda: None,
        tracing: Tracing | None = None,
    ) -> None:
        self.key = key
        self._settings = settings
        self._served = model
        self._keys = Keys(settings)
        self._missing_keys: set[str] = set()  # at the last sweep
        self._on_change = on_change
        self._on_stuck = on_stuck
        self._observation = Observation(
            model.id, log_ends=settings.log_format == "json", tracing=tracing
        )
        self._told_log_bytes = 0
        self._logs = LogStore(int(settings.log_max_mb * 1024 * 1024), settings.log_ttl)
        # Queued or running, by id, until the log has its terminal record.
        self._live: dict[str, Generation] = {}
        self._queue: deque[Generation] = deque()
        self._running: set[Generation] = set()  # each has a place until the model has let go of it
        self._lent: set[Generation] = set()  # each runs in another engine
        self._settlement = Settlement(open_storage(settings))
        self._peers: Peers | None = None
        self._model: LoadedModel | None = None
        self._state = "loading"
        self._reason = ""
        self._loading: asyncio.Task[None]
        self._sweeping: asyncio.Task[None]
        self._idle = asyncio.Event()
        self._idle.set()

    # Life cycle

    def start(self, peers: Peers | None = None) -> None:
        """Begin to load the model and to watch the clocks; lend to `peers` what would have to wait here."""
        self._peers = peers
        self._loading = asyncio.create_task(self._load())
        self._sweeping = asyncio.create_task(self._sweep())
        for task in (self._loading, self._sweeping):
            task.add_done_callback(self._check_task)

    def _check_task(self, task: asyncio.Task[None]) -> None:
        """Give up when one of the engine's own tasks has failed: without it streams would hang."""
        if not task.cancelled() and (error := task.exception()):
            LOGGER.critical("The engine failed", exc_info=error)
            self._on_stuck()

    async def drain(self, limit_s: float | None) -> None:
        """Take nothing new, let what is there finish, and end with `shutdown` what is left after `limit_s` seconds."""
        self._set_state("draining")
        try:
            async with asyncio.timeout(limit_s):
                await self._idle.wait()
        except TimeoutError:
            LOGGER.warning(
                "%d generations were cut off: they took longer than %s s", len(self._live), limit_s
            )
            self.cut_off()

    def cut_off(self) -> None:
        """End all that is there with `shutdown`."""
        for generation in list(self._live.values()):
            self._end(generation, self._fail(generation, Shutdown()))

    async def unload(self) -> None:
        """Let the drained engine's model free what it holds; the logs stay."""
        self._loading.cancel()
        if letting_go := [generation.task for generation in self._running if generation.task]:
            await asyncio.wait(letting_go, timeout=LETTING_GO_S)
        if self._model:
            model, self._model = self._model, None
            try:
                async with asyncio.timeout(CLOSE_S):
                    await model.close()
            except BaseException:
                # Somebody else's code; the process ends all the same.
                LOGGER.exception("The model %s failed to close", self._served.id)
        await asyncio.to_thread(self._settlement.close, SETTLING_S)

    def settle(self) -> None:
        """Hand over what was counted and not told yet."""
        self._observation.sweep()

    async def everything_read(self) -> None:
        """Wait until every log was read to its end, or has expired."""
        while self._logs.undelivered():
            await asyncio.sleep(SWEEP_S)

    def state(self) -> EngineState:
        return {
            "pid": os.getpid(),
            "state": self._state,
            "reason": self._reason,
            "model": self._served.id,
            "running": len(self._running),
            "queued": len(self._queue),
            "max_running": self._model.max_running if self._model else 0,
            "log_bytes": self._logs.used,
            "max_queued": self._settings.max_queued,
            "abilities": self._model.abilities if self._model else None,
        }

    # What readers ask for

    def submit(self, request: GenerationRequest) -> Generation:
        """Admit a generation, to run at once or to wait in line.

        Raises `Draining`, `ModelUnavailable`, `InvalidRequest` (a setting the model does not take) or `QueueFull`.
        """
        if self._state == "draining":
            raise Draining
        if self._state == "failed":
            raise ModelUnavailable(retry_after=10)
        if self._model:
            self._model.check(request)
        may_wait = self._settings.max_queued if request["queue"] else 0
        if not self._has_room() and len(self._queue) >= may_wait:
            raise QueueFull(retry_after=5)
        generation_id = self.key + secrets.token_hex(16)
        log = self._logs.open(
            generation_id, numbered=request["resumable"], owner=request["caller"]["owner"]
        )
        generation = self._live[generation_id] = Generation(
            generation_id, request, log, self._observation
        )
        if lease := request["caller"]["lease"]:
            self._settlement.accepted(lease, request["caller"]["account"])
        self._idle.clear()
        self._queue.append(generation)
        self.admit()
        if generation.task is None and self._model is None:
            self._tell(generation, sse.loading())
        self._tell_positions()
        self._on_change()
        return generation

    def attach(self, generation_id: str, after: int, owner: str = "") -> tuple[GenerationLog, int]:
        """Return a log, and the offset of the event after position `after`.

        Raises `UnknownGeneration`, also for a log that is somebody else's or not resumable, or `InvalidPosition`.
        """
        log = self._logs.get(generation_id)
        if log is None or log.owner != owner or not log.numbered:
            raise UnknownGeneration
        if after > log.last:
            raise InvalidPosition
        self._observation.resumes.inc()
        return log, log.offset_after(after)

    def stop(self, generation_id: str, owner: str = "") -> None:
        """End a generation, wherever it is; nothing happens to one that has ended.

        Raises `UnknownGeneration`, also for somebody else's.
        """
        log = self._logs.get(generation_id)
        if log is None or log.owner != owner:
            raise UnknownGeneration
        if generation := self._live.get(generation_id):
            self._end(generation, self._finish(generation, "cancelled"))

    def reader_came(self, generation_id: str) -> None:
        """Note that one more connection reads this generation."""
        if generation := self._live.get(generation_id):
            generation.readers += 1

    def reader_left(self, generation_id: str) -> None:
        """Note that a connection is gone. Without `resumable` nobody can come back, so the model stops at once."""
        if generation := self._live.get(generation_id):
            generation.readers -= 1
            generation.unread_since = time.monotonic()
            if not generation.readers and not generation.request["resumable"]:
                self._end(generation, self._finish(generation, "cancelled"))
        self._logs.release(generation_id)

    # Admission

    def _has_room(self) -> bool:
        return (
            self._model is not None
            and len(self._running) < self._model.max_running
            and not self._queue
        )

    def admit(self) -> None:
        """Start who is first in line, as long as there is room, here or in another engine."""
        while self._queue and self._model and len(self._running) < self._model.max_running:
            self._start(self._queue.popleft(), self._model, self._running)
        if self._queue and self._peers and self._peers.has_place():
            self._start(self._queue.popleft(), self._peers, self._lent)

    def _start(self, generation: Generation, source: Source, places: set[Generation]) -> None:
        generation.started = generation.since = time.monotonic()
        generation.request = generation.trail.started(generation.request)
        places.add(generation)
        generation.task = asyncio.create_task(self._run(generation, source))
        # Not in the task alone: one that is cancelled before its first step runs none of its own code. By then another
        # may run it, where its place was taken.
        generation.task.add_done_callback(
            lambda task: self._release(generation) if generation.task in (task, None) else None
        )

    def _release(self, generation: Generation) -> None:
        """Let the next one have its place: the model has let go."""
        if generation not in self._running and generation not in self._lent:
            return
        generation.trail.let_go(here=generation in self._running)
        self._running.discard(generation)
        self._lent.discard(generation)
        self.admit()
        self._on_change()

    def _tell_positions(self) -> None:
        """Tell each one in line its place, where that has changed; while the model loads no place means anything."""
        if self._model:
            for position, generation in enumerate(list(self._queue), 1):
                if generation.position != position:
                    generation.position = position
                    self._tell(generation, sse.queued(position))

    def _tell(self, generation: Generation, frame: bytes) -> None:
        try:
            generation.note(frame)
        except LogFull:
            self._end(generation, self._finish(generation, "length"))

    # Running one generation

    async def _run(self, generation: Generation, source: Source) -> None:
        """Carry what the model yields into the log, until one of them ends."""
        generation.trail.enter()
        try:
            self._end(generation, await self._write(generation, source))
        except asyncio.CancelledError:
            # By `_end`, which has written the terminal record; if not, the model cancelled itself.
            self._end(generation, self._fail(generation, ModelError()))
        except LogFull:
            self._end(generation, self._finish(generation, "length"))
        except PlaceTaken:
            # In the other engine; here it is still the first in line.
            if generation.id in self._live:
                generation.task = None
                self._queue.appendleft(generation)
        except BurbleError as error:
            self._end(generation, self._fail(generation, error))
        except BaseException as error:
            # The model is somebody else's code and may raise anything; its text is for the log, not for the user.
            LOGGER.exception("The model failed in generation %s", generation.id)
            if is_broken := isinstance(error, ModelBroken):
                self._end_the_others(generation)  # before the next in line is given the place
            self._end(generation, self._fail(generation, ModelError()))
            if is_broken:
                self._on_stuck()

    async def _write(self, generation: Generation, source: Source) -> Ending:
        """Translate each item to its event. Returns how the generation ended."""
        append, token = generation.log.append, sse.token
        end = End()
        turn = 1  # each item is looked at until the answer has begun
        async with aclosing(source.stream(generation.request)) as items:  # type: ignore[type-var]
            async for item in items:
                if item.__class__ is str and not generation.thoughts:
                    append(token(item))
                elif isinstance(item, End):
                    end = item
                else:
                    self._write_item(generation, item)
                turn -= 1
                if not turn:
                    if generation.trail.begun:
                        turn = TURN
                        await asyncio.sleep(0)
                    else:
                        turn = TURN if generation.trail.look() else 1
        return self._finish(generation, end.finish_reason, end)

    def _write_item(self, generation: Generation, item: str | Delta | Prefill) -> None:
        """Write anything but a plain token."""
        if isinstance(item, Prefill):
            generation.note(sse.prefill(item.done, item.total))
            return
        delta = item if isinstance(item, Delta) else Delta(text=item)
        if not isinstance(delta.text, str) or not isinstance(delta.thinking, str):
            raise WrongItem(item)
        if delta.thinking:
            if not generation.thoughts:
                generation.note(sse.thinking_begin())
            generation.note(sse.thinking(delta.thinking))
            generation.thoughts += 1
        if delta.text:
            for frame in generation.close_thinking():
                generation.note(frame)
            generation.log.append(sse.token(delta.text))

    def _end_the_others(self, broken: Generation) -> None:
        """End all that a broken model was writing, or had to write, but for the one in which it has told that."""
        LOGGER.critical("The model %s is broken; this worker is replaced", self._served.id)
        for generation in list(self._live.values()):
            if generation is not broken:
                self._end(generation, self._fail(generation, EngineLost()))

    def _finish(self, generation: Generation, reason: str, end: End | None = None) -> Ending:
        usage = self._usage(generation, end or End())
        return Ending(reason, *usage, [sse.finish(reason, *usage), sse.DONE])

    def _fail(self, generation: Generation, error: BurbleError) -> Ending:
        """End it with what was used until then."""
        usage = self._usage(generation, End()) if generation.task else (0, 0)
        return Ending(error.code, *usage, [sse.failure(error)])

    def _usage(self, generation: Generation, end: End) -> tuple[int, int]:
        """Return the tokens that were read and written, as the model says or else as they are counted here."""
        prompt_tokens, completion_tokens = end.prompt_tokens, end.completion_tokens
        if prompt_tokens is None:
            prompt_tokens = sum(
                len(message["content"].split()) for message in generation.request["messages"]
            )
        if completion_tokens is None:
            completion_tokens = generation.tokens
        return prompt_tokens, completion_tokens

    def _settle(self, generation: Generation, ending: Ending) -> None:
        """Give back its place, and charge its account what its end tells."""
        caller = generation.request["caller"]
        if caller["lease"]:
            tokens = ending.prompt_tokens + ending.completion_tokens
            self._settlement.ended(caller["lease"], caller["account"], tokens)

    def _end(self, generation: Generation, ending: Ending) -> None:
        """Write the terminal record, unless there is one, and make the model let go."""
        if self._live.pop(generation.id, None) is None:
            return
        generation.trail.ended(*ending[:3])
        self._settle(generation, ending)
        if generation.task and generation.task is asyncio.current_task():
            self._release(generation)  # first: whoever reads the end may ask for the place
        generation.log.finish(*generation.close_thinking(), *ending.frames)
        generation.ended = time.monotonic()
        self._logs.close(generation.id)
        if generation.task is None:
            self._queue.remove(generation)
        elif generation.task is not asyncio.current_task():
            generation.task.cancel()
        if not self._live:
            self._idle.set()
        self._on_change()

    # Clocks

    async def _load(self) -> None:
        """Load the model, again and again while it fails, but never more than five times a minute."""
        attempts = LoadAttempts(self._settings.runtime_path, self._served)
        loading = asyncio.current_task()
        while True:
            await attempts.wait()
            LOGGER.info("Loading the model %s", self._served.id)
            self._observation.loading()
            try:
                self._model = await load_model(self._served.id, self._settings)
            except BaseException as error:
                if loading and loading.cancelling():
                    raise  # by `unload`
                # Whatever the model's own code raises: it is reported where the operator looks, and tried again.
                reason = f"{type(error).__name__}: {text_of(error)}"
                LOGGER.error(
                    "The model %s could not be loaded: %s",
                    self._served.id,
                    reason,
                    exc_info=error if reason != self._reason else None,
                )
                self._reason = reason
                self._observation.load_failed()
                self._set_state("failed")
                for generation in list(self._live.values()):
                    self._end(generation, self._fail(generation, ModelUnavailable()))
                continue
            attempts.succeeded()
            self._observation.loaded()
            LOGGER.info("The model %s is loaded", self._served.id)
            self._set_state("ready")
            self.admit()
            return

    async def _sweep(self) -> None:
        """End what hangs, runs too long, is read by nobody or whose key is gone; move the queue; forget old logs."""
        while True:
            await asyncio.sleep(SWEEP_S)
            now = time.monotonic()
            self._check_keys()
            for generation in list(self._live.values()):
                self._check_clocks(generation, now)
            self._tell_positions()
            self._logs.expire()
            self._check_places(now)
            self._observation.sweep()
            if self._logs.used != self._told_log_bytes:
                self._told_log_bytes = self._logs.used
                self._on_change()

    def _check_keys(self) -> None:
        """End what was asked with a key that has been taken out.

        Seen twice: an editor that writes a file in its place leaves it empty for a moment.
        """
        keys = {generation.request["caller"]["key"] for generation in self._live.values()} - {""}
        missing = {key for key in keys if self._keys.name_of(key) is None}
        gone, self._missing_keys = missing & self._missing_keys, missing
        for generation in list(self._live.values()) if gone else ():
            if generation.request["caller"]["key"] in gone:
                self._end(generation, self._fail(generation, KeyRevoked()))

    def _check_clocks(self, generation: Generation, now: float) -> None:
        settings = self._settings
        if generation.task is not None:
            if generation.log.last != generation.last_seen:
                generation.last_seen, generation.since = generation.log.last, now
            if now - generation.since > settings.dirty_timeout:
                LOGGER.warning(
                    "Generation %s timed out: the model yielded nothing for %g s",
                    generation.id,
                    settings.dirty_timeout,
                )
                self._end(generation, self._fail(generation, ModelTimeout()))
            elif now - generation.started > settings.max_generation_seconds:
                self._end(generation, self._finish(generation, "length"))
        grace_s = settings.resume_grace
        if generation.task is not None and any(other.readers for other in self._queue):
            grace_s = min(grace_s, CROWDED_GRACE_S)
        if not generation.readers and now - generation.unread_since > grace_s:
            self._end(generation, self._finish(generation, "cancelled"))

    def _check_places(self, now: float) -> None:
        """Give up once no place is left but those of ended generations whose model, in a thread say, never returns."""
        limit_s = self._settings.dirty_timeout
        stuck = sum(g.log.finished and now - g.ended > limit_s for g in self._running)
        if self._state == "ready" and self._model and stuck >= self._model.max_running:
            LOGGER.critical("The model does not let go of %d generations", stuck)
            self._on_stuck()

    def _set_state(self, state: str) -> None:
        if self._state != "draining":
            self._state = state
            self._on_change()
