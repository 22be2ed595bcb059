from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.parser import text_string_to_metric_families

from backend import metrics
from backend.engine.engine import Engine
from backend.errors import ModelError
from backend.models import Delta, End, Prefill
from backend.settings import Settings
from backend.tests.scripted_engine import StartEngine, ending, events, finished, until

pytestmark = pytest.mark.anyio

MODEL = "scripted_under_test:Model"


def value(name: str, **labels: str) -> float:
    """What this process has counted so far."""
    return metrics.REGISTRY.get_sample_value(f"burble_{name}", labels) or 0


class Since:
    """What is counted from now on for the scripted model."""

    def __init__(self) -> None:
        self._before: dict[tuple[str, ...], float] = {}
        self._before = {
            (sample.name, *sorted(sample.labels.values())): sample.value
            for family in metrics.REGISTRY.collect()
            for sample in family.samples
        }

    def __call__(self, name: str, *labels: str) -> float:
        for family in metrics.REGISTRY.collect():
            for sample in family.samples:
                key = (sample.name, *sorted(sample.labels.values()))
                if key == (f"burble_{name}", *sorted((MODEL, *labels))):
                    return sample.value - self._before.get(key, 0)
        return 0


async def test_each_end_is_counted_once_by_what_it_was(start_engine: StartEngine) -> None:
    since = Since()
    never = asyncio.Event()
    async with start_engine() as engine:
        await finished(engine.ask("a", "one ", "two ", End("stop", 7, 11)))
        await finished(engine.ask("b", "one ", End("length", 1, 1)))
        await finished(engine.ask("c", ModelError("Out of paper.")))
        await finished(engine.ask("d", RuntimeError("whatever")))
        await finished(engine.ask("e", "one ", End("of the model's own making", 0, 0)))
        stopped = engine.ask("f", "one ", never)
        await until(lambda: events(stopped))
        engine.engine.stop(stopped.id)
        engine.engine.stop(stopped.id)
        await finished(stopped)
    assert [
        since("generations_total", end)
        for end in ("stop", "length", "model_error", "cancelled", "other", "timeout")
    ] == [1, 1, 2, 1, 1, 0]
    assert since("completion_tokens_total") == 11 + 1 + 0 + 0 + 0 + 1
    assert since("prompt_tokens_total") == 7 + 1 + 1 + 1 + 0 + 1
    assert since("queue_time_seconds_count") == 6
    assert since("stop_latency_seconds_count") == 1


async def test_the_first_token_is_noted_when_it_comes_and_not_what_is_told_before(
    start_engine: StartEngine,
) -> None:
    gate = asyncio.Event()
    for first in ("word ", Delta(thinking="hm ")):
        since = Since()
        gate.clear()
        async with start_engine() as engine:
            generation = engine.ask("a", Prefill(1, 2), gate, first, never := asyncio.Event())
            await until(lambda: len(events(generation)) == 1)  # noqa: B023
            assert since("time_to_first_token_seconds_count") == 0
            gate.set()
            # Without anybody who reads: the log wakes nobody.
            await until(lambda: since("time_to_first_token_seconds_count"))  # noqa: B023
            never.set()
            await finished(generation)
        assert since("time_to_first_token_seconds_count") == 1


async def test_a_queued_generation_that_is_stopped_has_no_first_token_and_a_wait(
    start_engine: StartEngine,
) -> None:
    since = Since()
    gate = asyncio.Event()
    async with start_engine(max_running=1) as engine:
        first = engine.ask("a", gate)
        second = engine.ask("b", "never said ")
        engine.engine.stop(second.id)
        gate.set()
        await finished(first)
    assert since("time_to_first_token_seconds_count") == 0
    assert since("queue_time_seconds_count") == 2
    assert since("stop_latency_seconds_count") == 0  # no model had to let go


async def test_stop_latency_lasts_until_the_model_has_let_go(start_engine: StartEngine) -> None:
    since = Since()
    hold, never = asyncio.Event(), asyncio.Event()
    async with start_engine() as engine:
        generation = engine.ask("a", "one ", never, hold=hold)
        await until(lambda: events(generation))
        engine.engine.stop(generation.id)
        assert generation.log.finished
        assert since("generations_total", "cancelled") == 1
        stopped = time.perf_counter()
        await asyncio.sleep(0.02)
        assert since("stop_latency_seconds_count") == 0
        held_s = time.perf_counter() - stopped
        hold.set()
        await until(lambda: since("stop_latency_seconds_count"))
    assert since("stop_latency_seconds_sum") >= held_s


async def test_there_is_one_time_between_tokens_for_each_but_the_first(
    start_engine: StartEngine,
) -> None:
    since = Since()
    gates = [asyncio.Event() for _ in range(3)]
    async with start_engine() as engine:
        generation = engine.ask("a", "1 ", gates[0], "2 ", gates[1], "3 ", "4 ", gates[2], "5 ")
        for number, gate in enumerate(gates):
            await until(lambda: generation.log.last >= (1, 2, 4)[number])  # noqa: B023
            if number == 1:
                generation.log.read(0, 2**20)  # a reader comes, and another time the log wakes
            gate.set()
        assert ending(await finished(generation)) == "stop"
        await until(lambda: since("time_between_tokens_seconds_count") == 4)


async def test_one_that_runs_in_another_s_place_is_counted_where_its_readers_are(
    start_engine: StartEngine,
) -> None:
    since = Since()
    never = asyncio.Event()
    async with start_engine() as engine:
        engine.scripts["a"] = type("", (), {"steps": ("one ", never), "hold": None})()
        asked: Any = {
            "model": None,
            "messages": [{"role": "user", "content": "a"}],
            "thinking": False,
            "resumable": False,
            "sampling": {},
            "queue": False,
            "caller": dict.fromkeys(
                ("owner", "account", "lease", "request_id", "traceparent", "key"), ""
            ),
            "lent": True,
        }
        generation = engine.engine.submit(asked)
        await until(lambda: events(generation))
        engine.engine.stop(generation.id)
        await until(lambda: since("stop_latency_seconds_count"))  # of the model, which is here
    for name in (
        "queue_time_seconds_count",
        "time_to_first_token_seconds_count",
        "prompt_tokens_total",
    ):
        assert since(name) == 0
    assert since("generations_total", "cancelled") == 0


async def test_a_reader_that_comes_back_is_counted(start_engine: StartEngine) -> None:
    since = Since()
    async with start_engine() as engine:
        generation = engine.ask("a", "one ", resumable=True)
        await finished(generation)
        engine.engine.attach(generation.id, 1)
    assert since("resumes_total") == 1


async def test_loading_is_timed_and_its_failures_are_counted(
    start_engine: StartEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    since = Since()
    monkeypatch.setattr("backend.engine.backoff.WINDOW_S", 0.01)

    class Model:
        tries = 0

        def init(self) -> None:
            Model.tries += 1
            if Model.tries == 1:
                raise OSError("not yet")

        def generate(self, prompt: str) -> Any:
            yield prompt

    async with start_engine(Model):
        assert since("model_load_failures_total") == 1
        assert since("model_load_seconds_count") == 1


async def test_the_size_of_the_logs_is_told_as_they_grow(
    make_settings: Callable[..., Settings], start_engine: StartEngine
) -> None:
    told = []
    gate = asyncio.Event()
    async with start_engine() as engine:
        inner: Engine = engine.engine
        inner._on_change = lambda: told.append(inner.state()["log_bytes"])
        generation = engine.ask("a", gate, *"abc", asyncio.Event())
        least = 3 * len('data: {"token": "a"}\n\n')
        assert told[-1] < least
        gate.set()
        await until(lambda: told[-1] >= least)
        content, _ = metrics.exposition(make_settings(model=MODEL), [inner.state()])
        size = told[-1]
        engine.engine.stop(generation.id)
    samples = {
        sample.name: sample.value
        for family in text_string_to_metric_families(content.decode())
        for sample in family.samples
        if sample.labels.get("model") == MODEL
    }
    assert samples["burble_log_bytes"] == size
    assert samples["burble_log_limit_bytes"] == 256 * 2**20
    assert samples["burble_generations_running"] == 1
    assert samples["burble_generations_running_limit"] == 100
    assert samples["burble_generations_queued_limit"] == 256


async def test_a_model_without_an_engine_has_none(make_settings: Callable[..., Settings]) -> None:
    content, _ = metrics.exposition(make_settings(), [])
    assert b'burble_engines{model="simulated",state="ready"} 0.0' in content


def test_a_tally_is_the_histogram_that_single_observations_would_be() -> None:
    registry = CollectorRegistry()
    one, other = (
        Histogram(name, "", registry=registry, buckets=(0.1, 1)) for name in ("one", "other")
    )
    tally = metrics.Tally(other)
    for seconds, count in ((0.05, 2), (0.1, 1), (0.5, 3), (7, 1)):
        for _ in range(count):
            one.observe(seconds)
        tally.counts[[bound >= seconds for bound in tally.bounds].index(True)] += count
        tally.sum += seconds * count
    tally.flush()
    tally.flush()
    for suffix, labels in (
        ("_bucket", {"le": "0.1"}), ("_bucket", {"le": "1.0"}), ("_bucket", {"le": "+Inf"}),
        ("_count", {}), ("_sum", {}),
    ):  # fmt: skip
        assert registry.get_sample_value("other" + suffix, labels) == pytest.approx(
            registry.get_sample_value("one" + suffix, labels)
        )


# Over several processes

COUNT = """
import sys
from backend import metrics
metrics.fold_dead()
metrics.REFUSALS.labels("queue_full").inc(int(sys.argv[1]))
metrics.STOP_LATENCY.labels("simulated").observe(float(sys.argv[1]))
"""
TELL = """
from backend import metrics
from backend.settings import Settings
print(metrics.exposition(Settings(_env_file=None), [])[0].decode())
"""


def run(code: str, folder: Path, *arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, metrics.FOLDER_VARIABLE: str(folder)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout


@pytest.mark.long
def test_what_a_dead_process_has_counted_is_told_and_folded(tmp_path: Path) -> None:
    run(COUNT, tmp_path, "1")
    run(COUNT, tmp_path, "2")  # folds the first one's
    assert len(list(tmp_path.glob("counter_*.db"))) == 2
    told = run(TELL, tmp_path)
    assert 'burble_refusals_total{code="queue_full"} 3.0' in told
    assert 'burble_stop_latency_seconds_sum{model="simulated"} 3.0' in told
    assert 'burble_stop_latency_seconds_bucket{le="1.0",model="simulated"} 1.0' in told
    assert 'burble_stop_latency_seconds_bucket{le="+Inf",model="simulated"} 2.0' in told


def test_a_file_is_folded_once_and_only_of_a_process_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(metrics.FOLDER_VARIABLE, str(tmp_path))
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for pid, count in ((gone.pid, 3), (os.getpid(), 5)):
        file = MmapedDict(str(tmp_path / f"counter_{pid}.db"))
        file.write_value('["burble_x", "burble_x_total", {}, "X."]', count, 0.0)
        file.close()
    for _ in range(2):
        metrics.fold_dead()
        assert sorted(path.name for path in tmp_path.glob("*.db")) == sorted(
            ["counter_gone.db", f"counter_{os.getpid()}.db"]
        )
        counts = {
            path.stem: [count for _, count, _, _ in MmapedDict.read_all_values_from_file(path)]
            for path in tmp_path.glob("*.db")
        }
        assert counts == {"counter_gone": [3], f"counter_{os.getpid()}": [5]}


NO_ROOM = "import os; os.posix_fallocate = lambda *_: (_ for _ in ()).throw(OSError(28, ''))"


@pytest.mark.long
def test_a_process_whose_files_find_no_room_counts_for_itself_and_lives(tmp_path: Path) -> None:
    run(NO_ROOM + COUNT, tmp_path, "1")
    assert "queue_full" not in run(TELL, tmp_path)


@pytest.mark.long
def test_what_the_dead_have_counted_stays_where_there_is_no_room_to_fold_it(tmp_path: Path) -> None:
    run(COUNT, tmp_path, "2")
    run(NO_ROOM + COUNT, tmp_path, "1")
    assert not list(tmp_path.glob("*_gone.*"))
    assert 'burble_refusals_total{code="queue_full"} 2.0' in run(TELL, tmp_path)
