"""Runs many answers at once on one model: continuous batching.

A step of a model costs nearly the same for one answer as for eight, because it is spent on reading the weights. So all
running answers take each step together; a new one joins between two steps, and one that ends leaves at once.

    waiting ──► prefill, a chunk at a time ──► running, a row of the batch ──► done

One thread does all of it, in turns: drop what was cancelled; read at most one chunk's worth of prompts; let all rows
take one step. So a newcomer is read while the others go on, and holds them up for a chunk at most; a stop takes
effect before the next step, or the next chunk. The last token of a prompt is not read in advance: it is the row's
first step.

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
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from transformers import Cache, DynamicCache

from backend.errors import BurbleError, ModelError, Shutdown
from backend.models import End, Item, Prefill
from backend.models.local.answer import AnswerText
from backend.models.local.kv_cache import AlignedCache, BatchCache, SingleCache, UnbatchableCache
from backend.models.local.sampling import Sampler, choose

LOGGER = logging.getLogger("gunicorn.error.model")

# Tokens of prompts that are read between two steps. More of them use the processor better, and hold the running answers
# up for longer: a CPU is busy with few.
CHUNK_CPU = 64
CHUNK = 512

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
        deliver: Callable[[Item | BurbleError], object],
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
    says. `steps` and `chunks` count forward passes.
    """

    def __init__(self, model: Any, rows: int, chunk: int | None = None) -> None:
        self._model = model
        self._device = model.get_input_embeddings().weight.device
        self.chunk = chunk or (CHUNK_CPU if self._device.type == "cpu" else CHUNK)
        try:
            self._cache: BatchCache = AlignedCache(model.config)
        except UnbatchableCache:
            self._cache = SingleCache()
        self.batches = isinstance(self._cache, AlignedCache)
        self.rows = rows if self.batches else 1
        self.steps = 0
        self.chunks = 0
        self._keywords = _forward_keywords(model)
        # What other threads touch, under this condition.
        self._changed = threading.Condition()
        self._arrived: deque[Sequence] = deque()
        self._closing = False
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
        with torch.no_grad():
            difference = self._difference()
        rounded = self._model.dtype != torch.float32 or getattr(self._model, "is_quantized", False)
        if self.batches and difference > (ROUNDED if rounded else EXACT):
            LOGGER.warning(
                "The model is not the same with two chats at once; it gets one at a time"
            )
            self._cache, self.batches, self.rows = SingleCache(), False, 1

    def _difference(self) -> float:
        """Return how far the logits of two rows in a batch are from those of each alone, relative to their size."""
        prompts = [[3, 1, 4, 1, 5, 9, 2, 6], [2, 7, 1]]
        batch, alone = self._cache, []
        for *most, last in prompts:
            for keep in (True, False):
                cache = DynamicCache(config=self._model.config)
                self._forward([most], [0], cache)
                if keep and self.batches:
                    batch.join(cache, len(most))
            alone.append(self._forward([[last]], [len(most)], cache)[0, -1].float())
        if not self.batches:
            return 0
        try:
            together = self._forward(
                [[prompt[-1]] for prompt in prompts], batch.lengths, batch.for_model
            )
        except Exception:
            LOGGER.warning("The model fails with two chats at once", exc_info=True)
            return math.inf
        batch.reset()
        return max(
            float((row[-1].float() - one).norm() / one.norm())
            for row, one in zip(together, alone, strict=True)
        )

    # For other threads

    def start(self) -> None:
        self._thread.start()

    def submit(self, sequence: Sequence) -> None:
        """Let a sequence wait for a row. Raises `Shutdown` when the scheduler is closed."""
        with self._changed:
            if self._closing:
                raise Shutdown
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
        self._model = self._read = None
        self._cache.reset()

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
            LOGGER.critical("The model's thread has failed", exc_info=True)
        with self._changed:
            self._closing = True
            self._waiting.extend(self._arrived)
        for sequence in [*self._waiting, *filter(None, [self._reading]), *self._running]:
            sequence.deliver(Shutdown())

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
                self._fail([sequence], error)
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
        try:
            self._cache.join(self._read, self._read_tokens)
        except Exception as error:
            # Some layers have the row and others have not.
            self._fail_batch(error)
            raise
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
            last = [[sequence.last_token] for sequence in self._running]
            logits = self._forward(last, self._cache.lengths, self._cache.for_model)
            self._cache.step()
            tokens = choose(logits[:, -1].float(), [each.sampler for each in self._running])
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
                self._leave(row)
                self._fail([sequence], error)
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

    def _forward(self, tokens: list[list[int]], lengths: list[int], cache: Cache) -> Any:
        """Run the model on `tokens`, (rows, count), behind `lengths` tokens in each row; return the last logits."""
        count = len(tokens[0])
        device = self._device
        before = torch.tensor(lengths, device=device)[:, None]
        inputs = {
            "input_ids": torch.tensor(tokens, device=device),
            "position_ids": before + torch.arange(count, device=device),
        }
        if len(tokens) > 1:
            # Rows are aligned at the right: what a row does not have, it lacks at the left.
            columns = max(lengths)
            place = torch.arange(columns + count, device=device)
            inputs["attention_mask"] = (place >= columns - before).long()
        inputs = {name: value for name, value in inputs.items() if name in self._keywords.inputs}
        outputs = self._model(
            **inputs, **{self._keywords.cache: cache}, use_cache=True, **self._keywords.constant
        )
        return outputs.logits

    # Failing

    def _fail(self, sequences: list[Sequence], error: Exception) -> None:
        LOGGER.error("The model failed in %d answers", len(sequences), exc_info=error)
        if self._reading in sequences:
            self._stop_reading()
        out_of_memory = isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
            "not enough memory" in str(error)
        )
        for sequence in sequences:
            sequence.deliver(
                ModelError("The model has run out of memory. A shorter conversation may do.")
                if out_of_memory
                else ModelError()
            )
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _fail_batch(self, error: Exception) -> None:
        """Fail all rows: what is in the cache is not sure to be right any more."""
        running, self._running = self._running, []
        self._cache.reset()
        self._fail(running, error)


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
