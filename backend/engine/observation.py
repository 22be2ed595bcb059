"""What the engine tells those who run it: metrics, a log line for each end, and spans.

No token pays for it. When the first one has come is seen in a look that the engine takes anyway (`Trail.look`),
and the times between the others where readers are woken: once for each batch that is delivered.
"""

from __future__ import annotations

import logging
import time
from bisect import bisect_left
from time import perf_counter
from typing import TYPE_CHECKING

import backend
from backend import metrics
from backend.errors import GenerationFailed, codes
from backend.link import GenerationRequest
from backend.tracing import GenerationSpans, Tracing

if TYPE_CHECKING:
    from backend.engine.engine import Generation

LOGGER = logging.getLogger("gunicorn.error.generations")

# A model may say anything in its `End`, or raise an error of its own making: a label takes none of that.
ENDS = {"stop", "length", "cancelled", *codes()}


class Observation:
    """One engine, observed. `model` is the id of its model; `log_ends` writes a line for each generation's end."""

    def __init__(self, model: str, *, log_ends: bool, tracing: Tracing | None = None) -> None:
        self.model = model
        self.log_ends = log_ends
        self.tracing = tracing
        self.between_tokens = metrics.Tally(metrics.TIME_BETWEEN_TOKENS.labels(model))
        self._loading_since = 0.0
        # What a model may do often is looked up once.
        self.queue_time = metrics.QUEUE_TIME.labels(model)
        self.time_to_first_token = metrics.TIME_TO_FIRST_TOKEN.labels(model)
        self.stop_latency = metrics.STOP_LATENCY.labels(model)
        self.prompt_tokens = metrics.PROMPT_TOKENS.labels(model)
        self.completion_tokens = metrics.COMPLETION_TOKENS.labels(model)
        self.resumes = metrics.RESUMES.labels(model)
        # These from the beginning, and at 0: what is born at 1 has not increased, for Prometheus.
        self.load_failures = metrics.MODEL_LOAD_FAILURES.labels(model)
        for end in ("stop", "length", "cancelled", *codes(GenerationFailed)):
            metrics.GENERATIONS.labels(model, end)

    def loading(self) -> None:
        self._loading_since = time.monotonic()

    def loaded(self) -> None:
        metrics.MODEL_LOAD.labels(self.model).observe(time.monotonic() - self._loading_since)

    def load_failed(self) -> None:
        self.load_failures.inc()

    def sweep(self) -> None:
        """Hand over what was added up; to be called now and then."""
        self.between_tokens.flush()


class Trail:
    """What one generation leaves: its times, its end, and whose it was.

    One that another engine has lent its place to is counted there, where its readers are; here only how fast the model
    lets go of it.
    """

    __slots__ = (
        "_counted", "_ended", "_first", "_generation", "_last", "_log", "_observation", "_seen", "_spans", "_started",
        "_stopped", "_submitted", "_tally",
    )  # fmt: skip

    def __init__(self, generation: Generation, observation: Observation) -> None:
        self._generation = generation
        self._observation = observation
        self._counted = not generation.request.get("lent", False)
        self._submitted = perf_counter()
        self._started = self._first = self._ended = 0.0
        self._stopped = False
        self._seen = 0  # events that were there when readers were woken last
        self._last = 0.0  # when that was
        self._log = generation.log
        self._tally = observation.between_tokens
        self._spans: GenerationSpans | None = None
        if observation.tracing:
            self._spans = observation.tracing.generation(
                observation.model, generation.id, generation.request
            )

    def started(self, request: GenerationRequest) -> GenerationRequest:
        """Note that its wait is over; return the request as the model's side shall see it.

        The wait may go on, where the place that it was promised has just been taken.
        """
        self._started = perf_counter()
        return self._spans.started(request) if self._spans else request

    def enter(self) -> None:
        """Let what this task does from now on be known as this generation's, in logs and in spans."""
        about = {"generation_id": self._generation.id}
        if request_id := self._generation.request["caller"]["request_id"]:
            about["request_id"] = request_id
        backend.about.set(about)
        if self._spans:
            self._spans.enter()

    @property
    def begun(self) -> bool:
        """Whether the first piece of the answer, or of the thinking, was seen."""
        return bool(self._first)

    def look(self) -> bool:
        """Note when that piece came, if it is in the log now; return whether it is."""
        generation = self._generation
        if generation.tokens <= 0 and not generation.thoughts:
            return False
        self._first = self._last = perf_counter()
        self._seen = self._log.last
        if self._counted:
            self._observation.queue_time.observe(self._started - self._submitted)
            self._observation.time_to_first_token.observe(self._first - self._submitted)
            self._log.subscribe(self.wake)
        if self._spans:
            self._spans.first_token()
        return True

    def wake(self) -> None:
        """Note the time that has passed since readers were woken last, for each event that has come meanwhile."""
        now, seen = perf_counter(), self._log.last
        count, passed = seen - self._seen, now - self._last
        self._seen, self._last = seen, now
        tally = self._tally
        tally.counts[bisect_left(tally.bounds, passed / count if count > 1 else passed)] += count
        tally.sum += passed

    def ended(self, end: str, prompt_tokens: int, completion_tokens: int) -> None:
        """Note the end, before its record is written: `stop`, `length`, `cancelled`, or the code of an error."""
        self._ended = perf_counter()
        self._stopped = end == "cancelled" and bool(self._started)
        if self._spans:
            self._spans.ended(end, prompt_tokens, completion_tokens)
        if not self._counted:
            return
        observation = self._observation
        if self._first:
            if self._log.last > self._seen:
                self.wake()
            self._log.unsubscribe(self.wake)
        else:
            waited = (self._started or self._ended) - self._submitted
            observation.queue_time.observe(waited)
        metrics.GENERATIONS.labels(observation.model, end if end in ENDS else "other").inc()
        observation.prompt_tokens.inc(prompt_tokens)
        observation.completion_tokens.inc(completion_tokens)
        if observation.log_ends:
            self._write_line(end, prompt_tokens, completion_tokens)

    def let_go(self, *, here: bool) -> None:
        """Note that the model has let go: of this process, where it ran `here`."""
        if self._stopped and here:
            self._observation.stop_latency.observe(perf_counter() - self._ended)
        if self._spans:
            self._spans.let_go()

    def _write_line(self, end: str, prompt_tokens: int, completion_tokens: int) -> None:
        caller = self._generation.request["caller"]
        first, started = self._first, self._started
        LOGGER.info(
            "generation ended: %s",
            end,
            extra={
                "model": self._observation.model,
                "end": end,
                "prompt_tokens": prompt_tokens,
                "completion_tokens": completion_tokens,
                "queue_s": round((started or self._ended) - self._submitted, 6),
                "first_token_s": round(first - self._submitted, 6) if first else None,
                "duration_s": round(self._ended - self._submitted, 6),
                "owner": caller["owner"],
                "request_id": caller["request_id"],
                "generation_id": self._generation.id,
            },
        )
