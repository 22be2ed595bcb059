"""What Prometheus is told at `GET /metrics`, over all processes of the stack.

Each process counts for itself, into files of the folder that `PROMETHEUS_MULTIPROC_DIR` names (prometheus_client's
multiprocess mode), and whoever is asked adds them up: so it does not matter which HTTP worker answers. What a process
has counted outlives it, folded into one file with what others before it have, so that no counter goes back and no file
stays for each worker that ever was. Without that variable, under uvicorn alone or in a test, a process counts in
memory.

What is true at the moment (running, queued, the bytes of the logs) is not counted at all: each engine tells its state
over the link, so an engine that is gone is gone from the answer too.

No label takes a value that a client can make up.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from collections import Counter as Sum
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Histogram, values
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from backend.link import EngineState
from backend.settings import Settings

LOGGER = logging.getLogger("gunicorn.error.metrics")

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
KINDS = ("counter", "histogram")  # of files; gauges are asked, not counted
# Of a process's file, several times what all our series take. It is reserved: a write to a mapped file that the disk
# has no room for would kill the process (SIGBUS).
FILE_BYTES = 1024 * 1024
STATES = ("loading", "ready", "failed", "draining")

SHORT_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2.5, 5, 10)
WAITING_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
REQUEST_S = (*WAITING_S, 300, 600)
LOADING_S = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


def folder() -> Path | None:
    """Return where the processes of this stack count; None when this one counts alone."""
    found = os.environ.get(FOLDER_VARIABLE)
    return Path(found) if found else None


def _reserve(into: Path) -> None:
    """Make this process's files in full size. Raises `OSError` when there is no room."""
    for kind in KINDS:
        path = into / f"{kind}_{os.getpid()}.db"
        if path.exists():
            continue
        # Under another name first: whoever reads a file must not find it empty.
        unnamed = path.with_suffix(".new")
        _make_in_full_size(unnamed)
        unnamed.replace(path)


def _make_in_full_size(path: Path) -> None:
    try:
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, FILE_BYTES)
    except OSError:
        path.unlink(missing_ok=True)
        raise


if shared := folder():
    try:
        _reserve(shared)
    except OSError as error:
        LOGGER.warning("This process is not in /metrics: %s", os.strerror(error.errno or errno.EIO))
        values.ValueClass = values.MutexValue

# Not prometheus_client's own registry: a worker imports this module anew (`backend.forget_modules`), and a name is
# registered once. `_created` series say nothing of counters that outlive their process.
prometheus_client.disable_created_metrics()
REGISTRY = CollectorRegistry()


def _counter(name: str, meaning: str, labels: Sequence[str] = ()) -> Counter:
    return Counter(name, meaning, labels, namespace="burble", registry=REGISTRY)


def _histogram(
    name: str, meaning: str, buckets: Sequence[float], labels: Sequence[str] = ()
) -> Histogram:
    return Histogram(name, meaning, labels, namespace="burble", registry=REGISTRY, buckets=buckets)


# The HTTP side
REQUESTS = _counter(
    "http_requests_total",
    "HTTP requests that have ended; a stream ends with its last event.",
    ("route", "method", "status"),
)
REQUEST_DURATION = _histogram(
    "http_request_duration_seconds",
    "Time from a request to the end of its answer.",
    REQUEST_S,
    ("route", "method"),
)
REFUSALS = _counter("refusals_total", "Requests that were answered with an error.", ("code",))
LINK_ERRORS = _counter(
    "link_errors_total",
    "Links to engines that broke (engine_lost), and engines that could not be reached (connection_refused).",
    ("error",),
)
# From the beginning, and at 0: what is born at 1 has not increased, for Prometheus.
for kind in ("engine_lost", "connection_refused"):
    LINK_ERRORS.labels(kind)

# The engines
GENERATIONS = _counter(
    "generations_total",
    "Generations that have ended: stop, length, cancelled, or the code of the error.",
    ("model", "end"),
)
QUEUE_TIME = _histogram(
    "queue_time_seconds",
    "Time that a generation waited for its place.",
    WAITING_S,
    ("model",),
)
TIME_TO_FIRST_TOKEN = _histogram(
    "time_to_first_token_seconds",
    "Time from the arrival of a question to the first piece of its answer, waiting included.",
    WAITING_S,
    ("model",),
)
TIME_BETWEEN_TOKENS = _histogram(
    "time_between_tokens_seconds",
    "Time between two pieces of an answer; those that are delivered together share it evenly.",
    SHORT_S,
    ("model",),
)
PROMPT_TOKENS = _counter("prompt_tokens_total", "Tokens that models have read.", ("model",))
COMPLETION_TOKENS = _counter(
    "completion_tokens_total", "Tokens that models have written.", ("model",)
)
STOP_LATENCY = _histogram(
    "stop_latency_seconds",
    "Time from a stop to the moment the model has let go.",
    SHORT_S,
    ("model",),
)
RESUMES = _counter("resumes_total", "Readers that came back to an answer.", ("model",))
MODEL_LOAD = _histogram(
    "model_load_seconds", "Time that loading a model took.", LOADING_S, ("model",)
)
MODEL_LOAD_FAILURES = _counter(
    "model_load_failures_total", "Tries to load a model that failed.", ("model",)
)


def exposition(
    settings: Settings, states: Iterable[EngineState], accept: str = ""
) -> tuple[bytes, str]:
    """Return all metrics and their content type, in the format that `accept` asks for. Reads files."""
    try:
        encode, content_type = choose_encoder(accept)
    except TypeError:  # it compares a version that is no number with one that is
        encode, content_type = choose_encoder("")
    with _locked(fcntl.LOCK_SH):
        return encode(_Everything(settings, list(states))), content_type


def fold_dead() -> None:
    """Add what processes that are gone have counted to one file, and remove theirs; where there is room for it."""
    found = folder()
    if found is None:
        return
    try:
        with _locked(fcntl.LOCK_EX):
            for kind in KINDS:
                dead = [path for path in found.glob(f"{kind}_*.db") if _is_dead(path)]
                if dead:
                    _fold(dead, found / f"{kind}_gone.db")
    except OSError as error:  # the files stay, and count, and the next process tries again
        LOGGER.warning("What processes that are gone have counted could not be folded: %s", error)


class Tally:
    """A histogram's observations that are kept in plain numbers until `flush`: a tenth of the cost of each."""

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram
        self.bounds: list[float] = histogram._upper_bounds
        # By the bucket that holds it: the first bound that is not below it.
        self.counts = [0] * len(self.bounds)
        self.sum = 0.0

    def flush(self) -> None:
        if self.sum or any(self.counts):
            counts, self.counts = self.counts, [0] * len(self.bounds)
            total, self.sum = self.sum, 0.0
            # There is no other way to observe more than one value at once.
            for bucket, count in zip(self._histogram._buckets, counts, strict=True):
                if count:
                    bucket.inc(count)
            self._histogram._sum.inc(total)


class _Everything(Collector):
    """What was counted, and what the engines say of themselves."""

    def __init__(self, settings: Settings, states: list[EngineState]) -> None:
        self._settings = settings
        self._states = states

    def collect(self) -> Iterator[Metric]:
        if found := folder():
            yield from MultiProcessCollector(None, str(found)).collect()
        else:
            yield from REGISTRY.collect()
        yield from self._engines()

    def _engines(self) -> Iterator[Metric]:
        settings, states = self._settings, self._states
        engines = _gauge(
            "engines", "Processes that have the model or load it, by state.", ("model", "state")
        )
        running = _gauge("generations_running", "Generations that run.")
        running_limit = _gauge("generations_running_limit", "Generations that can run at once.")
        queued = _gauge("generations_queued", "Generations that wait for a place.")
        queued_limit = _gauge("generations_queued_limit", "Generations that can wait at once.")
        log_bytes = _gauge("log_bytes", "Size of all logs of answers that are kept.")
        log_limit = _gauge("log_limit_bytes", "Size that all logs may have.")
        served = [model.id for model in settings.models]
        for model in dict.fromkeys([*served, *(state["model"] for state in states)]):
            of_model = [state for state in states if state["model"] == model]
            for name in STATES:
                count = sum(state["state"] == name for state in of_model)
                engines.add_metric((model, name), count)
            running.add_metric((model,), sum(state["running"] for state in of_model))
            running_limit.add_metric((model,), sum(state["max_running"] for state in of_model))
            queued.add_metric((model,), sum(state["queued"] for state in of_model))
            queued_limit.add_metric((model,), settings.max_queued * len(of_model))
            log_bytes.add_metric((model,), sum(state["log_bytes"] for state in of_model))
            most = int(settings.log_max_mb * 1024 * 1024)
            log_limit.add_metric((model,), most * len(of_model))
        yield from (engines, running, running_limit, queued, queued_limit, log_bytes, log_limit)


def _gauge(name: str, meaning: str, labels: Sequence[str] = ("model",)) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"burble_{name}", meaning, labels=labels)


@contextmanager
def _locked(how: int) -> Iterator[None]:
    """Let nobody read the files while they are folded: something would be counted twice, or not."""
    found = folder()
    if found is None:
        yield
        return
    with (found / "lock").open("ab") as file:
        fcntl.flock(file, how)
        yield


def _is_dead(path: Path) -> bool:
    pid = path.stem.rpartition("_")[2]
    if not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # somebody else's by now
        return True
    return False


def _fold(dead: list[Path], into: Path) -> None:
    totals: Sum[str] = Sum()
    for path in [*dead, *([into] if into.exists() else [])]:
        for key, value, _, _ in MmapedDict.read_all_values_from_file(path):
            totals[key] += value
    unnamed = into.with_suffix(".new")
    _make_in_full_size(unnamed)
    file = MmapedDict(str(unnamed))
    for key, value in totals.items():
        file.write_value(key, value, 0.0)
    file.close()
    unnamed.replace(into)
    for path in dead:
        path.unlink()
