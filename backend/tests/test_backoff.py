from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import pytest

from backend.engine.backoff import TRIES, WINDOW_S, LoadAttempts
from backend.settings import ModelWorkers

pytestmark = pytest.mark.anyio

MODEL = ModelWorkers("a", 1)


class Clock:
    """A clock that only `sleep` moves."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    async def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("backend.engine.backoff.now", lambda: clock.now)
    monkeypatch.setattr(asyncio, "sleep", clock.sleep)
    return clock


def most_in_a_window(moments: list[float]) -> int:
    return max(
        sum(start <= moment < start + WINDOW_S - 1e-3 for moment in moments) for start in moments
    )


async def test_one_process_tries_after_1_2_4_8_seconds_and_then_five_times_a_minute(
    runtime_folder: Path, clock: Clock
) -> None:
    attempts = LoadAttempts(runtime_folder, MODEL)
    moments = []
    for _ in range(30):
        await attempts.wait()
        moments.append(clock.now)
    gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert gaps[:4] == [1, 2, 4, 8]
    assert most_in_a_window(moments) == TRIES == 5
    assert max(gaps) <= WINDOW_S  # it goes on trying


@pytest.mark.parametrize("dirty_workers", [1, 3])
async def test_processes_that_die_while_they_load_try_five_times_a_minute_each(
    runtime_folder: Path, clock: Clock, dirty_workers: int
) -> None:
    model = ModelWorkers("a", dirty_workers)
    moments = []
    for _ in range(30 * dirty_workers):  # each a new process, which learns from the file alone
        await LoadAttempts(runtime_folder, model).wait()
        moments.append(clock.now)
        clock.now += 0.01
    assert most_in_a_window(moments) == TRIES * dirty_workers
    assert moments[TRIES * dirty_workers - 1] - moments[0] < 1


async def test_a_success_takes_its_try_back(runtime_folder: Path, clock: Clock) -> None:
    start = clock.now
    for _ in range(50):
        attempts = LoadAttempts(runtime_folder, MODEL)
        await attempts.wait()
        clock.now += 0.1
        attempts.succeeded()
    assert clock.now - start == pytest.approx(5)


async def test_a_success_takes_back_no_other_try(runtime_folder: Path, clock: Clock) -> None:
    for _ in range(TRIES - 1):
        await LoadAttempts(runtime_folder, MODEL).wait()  # and never heard of again
        clock.now += 1
    lucky = LoadAttempts(runtime_folder, MODEL)
    await lucky.wait()
    lucky.succeeded()
    await LoadAttempts(runtime_folder, MODEL).wait()
    before = clock.now
    await LoadAttempts(runtime_folder, MODEL).wait()
    assert clock.now - before > WINDOW_S - TRIES - 1


async def test_tries_of_one_model_are_not_counted_against_another(
    runtime_folder: Path, clock: Clock
) -> None:
    for _ in range(TRIES):
        await LoadAttempts(runtime_folder, MODEL).wait()
    before = clock.now
    await LoadAttempts(runtime_folder, ModelWorkers("b", 1)).wait()
    assert clock.now == before


async def test_a_try_that_cannot_be_put_on_record_is_one_all_the_same(
    runtime_folder: Path, clock: Clock
) -> None:
    attempts = LoadAttempts(runtime_folder / "is not there", MODEL)
    start = clock.now
    for _ in range(4):
        await attempts.wait()
    assert clock.now - start == 1 + 2 + 4
    attempts.succeeded()


async def test_a_line_that_was_cut_off_is_no_try(runtime_folder: Path, clock: Clock) -> None:
    attempts = LoadAttempts(runtime_folder, MODEL)
    await attempts.wait()
    (record,) = runtime_folder.glob("load-attempts-*")
    record.write_text("1e\n")
    await LoadAttempts(runtime_folder, MODEL).wait()
