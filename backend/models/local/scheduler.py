"""Runs many answers at once on one model: continuous batching.

A step of a model costs nearly the same for one answer as for eight, because it is spent on reading the weights. So all
running answers take each step together; a new one joins between two steps, and one that ends leaves at once.

    waiting ──► prefill, a chunk at a time ──► running, a row of the batch ──► done

One thread does all of it, in turns: drop what was cancelled; read at most one chunk's worth of prompts; let all rows
take one step. So a newcomer is read while the others go on, and holds them up for a chunk at most; a stop takes
effect before the next step, or the next chunk. The last token of a prompt is not read in advance: it is the row's
first step. On a GPU a step is recorded and replayed (`captured_step`).

Why not the library's own manager (`transformers.generation.continuous_batching`, 5.24): its requests share one random
generator and one choice between sampling and greedy, so a seed is worth nothing there, and the repetition penalty is
dropped; it tells nothing of a prompt's progress; an error in one step ends its thread for good; and it claims a share
of the whole memory when it starts.
"""

from __future__ import annotations

import inspect
import logging
import math
import threading
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from transformers import Cache, DynamicCache

from backend.errors import ModelError, Shutdown
from backend.models import End, Item, ModelBroken, Prefill
from backend.models.local.answer import AnswerText
from backend.models.local.captured_step import CapturedStep
from backend.models.local.kv_cache import AlignedCache, BatchCache, SingleCache, UnbatchableCache
from backend.models.local.sampling import Sampler, choose

LOGGER = logging.getLogger("gunicorn.error.model")

# Tokens of prompts that are read between two steps. More of them use the processor better, and hold the running answers
# up for longer: a CPU is busy with few.
CHUNK_CPU = 64
CHUNK = 512

# Columns that new buffers have to spare. Where steps are recorded, each recording costs as much as some ten steps.
ROOM = 64
ROOM_CAPTURED = 256

# How far the logits of a batch may be from those of a row alone: by rounding only, in the types that weights have.
EXACT = 0.001
ROUNDED = 0.2


class Sequence:
    """One answer on its way: its prompt, how its tokens are chosen, and whom they are given to.

    `deliver` is called in the scheduler's thread with each piece, with `End` after the last, or with the error that
    ended it instead. `end_tokens` end an answer and are no part of it; `limit` is the most that it may have.
    """

    def __init__(
        self,
        prompt: list[int],
        sampler: Sampler,
        text: AnswerText,
        *,
        limit: int,
        end_tokens: frozenset[int],
        deliver: Callable[[Item | Exception], object],
    ) -> None:
        self.prompt = prompt
        self.sampler = sampler
        self.last_token = prompt[-1]
        self.deliver = deliver
        self.cancelled = False  # set by whoever has lost interest, in any thread
        self._text = text
        self._limit = limit
        self._end_tokens = end_tokens
        self._tokens = 0

    def accept(self, token: int) -> End | None:
        """Take the next token of the answer, and deliver what it completes. Returns the end, if this is it."""
        self._tokens += 1
        self.last_token = token
        if token in self._end_tokens:
            return self._finish("stop")
        for item in self._text.feed(token):
            self.deliver(item)
        if self._text.stopped:
            return self._finish("stop")
        if self._tokens >= self._limit:
            return self._finish("length")
        return None

    def _finish(self, reason: str) -> End:
        for item in self._text.finish():
            self.deliver(item)
        # A stop string may be complete only in what was held back.
        reason = "stop" if self._text.stopped else reason
        return End(reason, len(self.prompt), self._tokens)


class Scheduler:
    """The thread that runs a model, for up to `rows` sequences at once.

    `batches` is False for a model that cannot be batched: it keeps a recurrent state, or something else that cannot be
    aligned with that of others, or `check` has found that it does not heed the mask. It gets one row, whatever `rows`
    says. `steps` and `chunks` count what was done. `fixed` asks for steps of a fixed shape (None: on a GPU, where they
    are recorded and replayed).
    """

    def __init__(
        self, model: Any, rows: int, chunk: int | None = None, fixed: bool | None = None
    ) -> None:
        self._model = model
        self._device = model.get_input_embeddings().weight.device
        self.chunk = chunk or (CHUNK_CPU if self._device.type == "cpu" else CHUNK)
        if self._device.type == "cuda":
            # It builds a plan for each new length of the keys, in milliseconds: in each step, for each layer.
            torch.backends.cuda.enable_cudnn_sdp(False)
        fixed = self._device.type == "cuda" if fixed is None else fixed
        self._fixed_step: CapturedStep | None = None
        try:
            self._cache: BatchCache = AlignedCache(model.config, ROOM_CAPTURED if fixed else ROOM)
        except UnbatchableCache:
            self._cache = SingleCache()
        else:
            if fixed:
                self._fixed_step = CapturedStep(self._call, self._cache, self._device)
        self.batches = isinstance(self._cache, AlignedCache)
        self.rows = rows if self.batches else 1
        self.steps = 0
        self.chunks = 0
        self._keywords = _forward_keywords(model)
        # What other threads touch, under this condition.
        self._changed = threading.Condition()
        self._arrived: deque[Sequence] = deque()
        self._closing = False
        self._ending: Callable[[], Exception] = Shutdown  # what those get who come after
        # What only the thread touches.
        self._waiting: deque[Sequence] = deque()
        self._reading: Sequence | None = None
        self._read: Cache = None  # what was read of its prompt
        self._read_tokens = 0
        self._running: list[Sequence] = []  # in the order of the cache's rows
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)

    def check(self) -> None:
        """Try the model: alone, and in a batch, which must come to the same. Raises whatever the model raises alone.

        For architectures that nobody has tried: a batch that is wrong would be a chat that nobody understands.
        """
        rounded = self._model.dtype != torch.float32 or getattr(self._model, "is_quantized", False)
        limit = ROUNDED if rounded else EXACT
        with torch.no_grad():
            if self._fixed_step and self._difference() > limit:
                LOGGER.warning("Steps of a fixed shape are not the same; the model does without")
                self._fixed_step = None
            if not self._fixed_step and self._difference() > limit:
                LOGGER.warning(
                    "The model is not the same with two chats at once; it gets one at a time"
                )
                self._cache, self.batches, self.rows = SingleCache(), False, 1

    def _difference(self) -> float:
        """Return how far the logits of two rows in a batch are from those of each alone, relative to their size."""
        prompts = [[3, 1, 4, 1, 5, 9, 2, 6, 5, 3], [2, 7, 1, 8]]
        steps = 3  # without a graph, recorded and replayed
        alone: list[list[Any]] = []  # of each row, for each step
        for prompt in prompts:
            cache = DynamicCache(config=self._model.config)
            read = len(prompt) - steps
            self._forward([prompt[:read]], [0], cache)
            if self.batches:
                self._cache.join(cache, read)
            alone.append(
                [
                    self._forward([[prompt[place]]], [place], cache)[0, -1].float()
                    for place in range(read, len(prompt))
                ]
            )
        if not self.batches:
            return 0
        difference = 0.0
        try:
            for step in range(steps):
                logits = self._advance([prompt[step - steps] for prompt in prompts])
                for row, expected in zip(logits, alone, strict=True):
                    norm = expected[step].norm()
                    difference = max(
                        difference, float((row.float() - expected[step]).norm() / norm)
                    )
        except Exception:
            LOGGER.warning("The model fails with two chats at once", exc_info=True)
            difference = math.inf
        self._cache.reset()
        return difference

    # For other threads

    def start(self) -> None:
        self._thread.start()

    def submit(self, sequence: Sequence) -> None:
        """Let a sequence wait for a row. Raises `Shutdown` when closed, `ModelBroken` when the thread has failed."""
        with self._changed:
            if self._closing:
                raise self._ending()
            self._arrived.append(sequence)
            self._changed.notify()

    def cancel(self, sequence: Sequence) -> None:
        """Drop a sequence before the next step or chunk; nothing more of it is delivered from then on."""
        sequence.cancelled = True
        with self._changed:
            self._changed.notify()

    def close(self) -> None:
        """End what runs with `Shutdown`, wait for the thread, and let go of the model."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread.ident:
            self._thread.join()
        self._model = self._read = self._fixed_step = None
        self._cache.reset()

    @property
    def fixed(self) -> bool:
        """Whether steps have a fixed shape, where the rows allow it."""
        return self._fixed_step is not None and not self._fixed_step.gave_up

    @property
    def cache_bytes(self) -> int:
        """Memory that the keys and values of the running answers take."""
        return self._cache.nbytes

    # The thread

    def _run(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.set_device(self._device)  # for kernels that ask for the current one
        # no_grad rather than inference_mode: some quantized weights are made outside it and do not like to be mixed.
        try:
            with torch.no_grad():
                while self._wait():
                    self._drop_cancelled()
                    self._prefill()
                    self._step()
        except Exception:
            LOGGER.critical("The model cannot go on", exc_info=True)
            self._ending = _broken
        with self._changed:
            self._closing = True
            self._waiting.extend(self._arrived)
        for sequence in [*self._waiting, *filter(None, [self._reading]), *self._running]:
            sequence.deliver(self._ending())

    def _wait(self) -> bool:
        """Wait for something to do. Returns False when there will be nothing more."""
        with self._changed:
            while not (self._closing or self._arrived or self._has_work()):
                self._changed.wait()
            self._waiting.extend(self._arrived)
            self._arrived.clear()
            return not self._closing

    def _has_work(self) -> bool:
        return bool(self._waiting or self._reading or self._running)

    def _drop_cancelled(self) -> None:
        self._waiting = deque(each for each in self._waiting if not each.cancelled)
        if self._reading and self._reading.cancelled:
            self._stop_reading()
        for row in reversed(range(len(self._running))):
            if self._running[row].cancelled:
                self._leave(row)

    # Reading prompts

    def _prefill(self) -> None:
        """Read prompts in the order in which they came: as many tokens as a chunk has, of one or of several."""
        budget = self.chunk
        while budget > 0:
            if self._reading is None:
                if not self._waiting or len(self._running) == self.rows:
                    return
                self._reading = self._waiting.popleft()
                self._read = DynamicCache(config=self._model.config)
                self._read_tokens = 0
                self._tell(self._reading)
            sequence = self._reading
            try:
                budget -= self._read_chunk(sequence, budget)
                if self._read_tokens == len(sequence.prompt) - 1:
                    self._join(sequence)
            except Exception as error:
                # Whatever the model raises; most of all, that there is no memory left.
                self._fail(sequence, error)
                return

    def _read_chunk(self, sequence: Sequence, budget: int) -> int:
        begin = self._read_tokens
        # A recurrent state is not sure to be the same when it is made in several parts.
        end = min(len(sequence.prompt) - 1, begin + budget) if self.batches else -1
        tokens = sequence.prompt[begin:end]
        if tokens:
            self._forward([tokens], [begin], self._read)
            self.chunks += 1
            self._read_tokens += len(tokens)
            self._tell(sequence)
        return len(tokens)

    def _tell(self, sequence: Sequence) -> None:
        """Report how much of a prompt is read, if it takes more than a moment."""
        total = len(sequence.prompt)
        if total > self.chunk:
            done = self._read_tokens
            sequence.deliver(Prefill(total if done == total - 1 else done, total))

    def _join(self, sequence: Sequence) -> None:
        """Make the sequence that was read a row of the batch."""
        self._cache.join(self._read, self._read_tokens)
        self._running.append(sequence)
        self._stop_reading()

    def _stop_reading(self) -> None:
        self._reading = self._read = None

    # Writing answers

    def _step(self) -> None:
        """Let every running sequence have its next token."""
        if not self._running:
            return
        try:
            logits = self._advance([sequence.last_token for sequence in self._running])
        except torch.OutOfMemoryError as error:
            # The longest has taken most of it. The others try again without.
            row = self._cache.lengths.index(max(self._cache.lengths))
            self._fail(self._running[row], error)
            self._leave(row)
            return
        except Exception as error:
            self._fail_batch(error)
            return
        try:
            tokens = choose(logits.float(), [each.sampler for each in self._running])
        except Exception as error:
            self._fail_batch(error)
            return
        self.steps += 1
        # From the last, because the last takes the place of one that leaves.
        for row in reversed(range(len(tokens))):
            sequence = self._running[row]
            try:
                end = sequence.accept(tokens[row])
            except Exception as error:
                # A tokenizer that cannot decode this is no reason to end the others.
                self._fail(sequence, error)
                self._leave(row)
                continue
            if end:
                self._leave(row)
                sequence.deliver(end)

    def _leave(self, row: int) -> None:
        last = self._running.pop()
        if row < len(self._running):
            self._running[row] = last
        self._cache.leave(row)

    # The model

    def _advance(self, tokens: list[int]) -> Any:
        """Append a token to each row of the cache; return the logits of what follows it, (rows, vocabulary)."""
        logits = self._fixed_step(tokens) if self._fixed_step else None
        if logits is None:
            last = [[token] for token in tokens]
            logits = self._forward(last, self._cache.lengths, self._cache.for_model)[:, -1]
        self._cache.step()
        return logits

    def _forward(self, tokens: list[list[int]], lengths: list[int], cache: Cache) -> Any:
        """Run the model on `tokens`, (rows, count), behind `lengths` tokens in each row; return the last logits."""
        count = len(tokens[0])
        device = self._device
        before = torch.tensor(lengths, device=device)[:, None]
        mask = None
        if len(tokens) > 1:
            # Rows are aligned at the right: what a row does not have, it lacks at the left.
            columns = max(lengths)
            place = torch.arange(columns + count, device=device)
            mask = (place >= columns - before).long()
        positions = before + torch.arange(count, device=device)
        return self._call(torch.tensor(tokens, device=device), positions, mask, cache)

    def _call(self, tokens: Any, positions: Any, mask: Any, cache: Cache) -> Any:
        inputs = {"input_ids": tokens, "position_ids": positions, "attention_mask": mask}
        outputs = self._model(
            **{name: value for name, value in inputs.items() if name in self._keywords.inputs},
            **{self._keywords.cache: cache},
            use_cache=True,
            **self._keywords.constant,
        )
        return outputs.logits

    # Failing

    def _fail(self, sequence: Sequence, error: Exception) -> None:
        """Fail one, so that the others can go on."""
        self._recover(error)
        if self._reading is sequence:
            self._stop_reading()
        sequence.deliver(_failure(error))

    def _fail_batch(self, error: Exception) -> None:
        """Fail all rows: what is in the cache is not sure to be right any more."""
        self._recover(error)
        running, self._running = self._running, []
        self._cache.reset()
        for sequence in running:
            sequence.deliver(_failure(error))

    def _recover(self, error: Exception) -> None:
        """Be ready for the next pass. Raises `RuntimeError` if there can be none."""
        LOGGER.error("The model failed in an answer, or in all that run", exc_info=error)
        traceback.clear_frames(error.__traceback__)  # which hold what the pass has made
        if self._device.type == "cuda":
            # After some errors, such as an index out of range in a kernel, this and all that follows fails.
            torch.cuda.synchronize(self._device)
            torch.cuda.empty_cache()


def _failure(error: Exception) -> ModelError:
    """Return what the user is told."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        "not enough memory" in str(error)
    ):
        return ModelError("The model has run out of memory. A shorter conversation may do.")
    return ModelError()


def _broken() -> ModelBroken:
    return ModelBroken("The model has failed, and is started again.")


@dataclass(frozen=True)
class ForwardKeywords:
    """How a model's forward pass wants to be called: the inputs it knows, its name for the cache, and constants."""

    inputs: frozenset[str]
    cache: str
    constant: dict[str, Any]


def _forward_keywords(model: Any) -> ForwardKeywords:
    names = frozenset(inspect.signature(model.forward).parameters)
    return ForwardKeywords(
        inputs=names,
        cache="cache" if "cache" in names else "past_key_values",
        # Only the last token's logits are needed: a long prompt's would take much memory.
        constant={"logits_to_keep": 1} if "logits_to_keep" in names else {},
    )
