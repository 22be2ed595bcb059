"""Many answers on one model: who gets which forward pass, and what becomes of it when something ends."""

from __future__ import annotations

import gc
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest
import torch

from backend.errors import ModelError, Shutdown
from backend.models import End, ModelBroken, Prefill
from backend.models.local.sampling import Sampling
from backend.models.local.scheduler import Scheduler
from backend.tests.local import tiny
from backend.tests.local.run import Asked, Passes, generate, prompts, start

Start = Callable[..., Scheduler]


@pytest.fixture
def model() -> Any:
    return tiny.model()


@pytest.fixture
def start_scheduler(model: Any) -> Iterator[Start]:
    started: list[Scheduler] = []

    def begin(**settings: Any) -> Scheduler:
        started.append(start(model, **settings))
        return started[-1]

    yield begin
    for scheduler in started:
        scheduler.close()


@contextmanager
def held(passes: Passes) -> Iterator[None]:
    """Let no forward pass begin before all that is done meanwhile."""
    gate, before = threading.Event(), passes.before

    def wait(shape: tuple[int, int]) -> None:
        assert gate.wait(60)
        before(shape)

    passes.before = wait
    try:
        yield
    finally:
        gate.set()


def test_eight_answers_take_the_steps_of_one(model: Any, start_scheduler: Start) -> None:
    scheduler = start_scheduler(chunk=64)
    asked = [Asked(prompt, 40) for prompt in prompts(8, [5])]
    with held(Passes(model)):
        for each in asked:
            scheduler.submit(each)
    for each in asked:
        each.wait()
    assert [len(each.tokens) for each in asked] == [40] * 8
    assert scheduler.steps <= 42


def test_steps_of_a_fixed_shape_take_all_rows_that_the_buffers_have(
    model: Any, start_scheduler: Start
) -> None:
    passes = Passes(model)
    scheduler = start_scheduler(chunk=64, fixed=True)
    asked = [Asked(prompt, 5) for prompt in prompts(3, [10])]
    with held(passes):
        for each in asked:
            scheduler.submit(each)
    for each in asked:
        each.wait()
    assert (4, 1) in passes.shapes
    assert (3, 1) not in passes.shapes


def test_answers_of_one_length_end_within_a_few_steps_of_each_other(
    model: Any, start_scheduler: Start
) -> None:
    scheduler = start_scheduler(chunk=16)
    ends: list[int] = []

    def on_item(each: Asked, item: Any) -> None:
        if isinstance(item, End):
            ends.append(scheduler.steps)

    asked = [Asked(prompt, 30, on_item=on_item) for prompt in prompts(8, [12])]
    with held(Passes(model)):
        for each in asked:
            scheduler.submit(each)
    for each in asked:
        each.wait()
    assert len(ends) == 8
    assert max(ends) - min(ends) <= 8


def test_a_newcomer_holds_the_others_up_for_no_more_than_a_chunk_at_a_time(
    model: Any, start_scheduler: Start
) -> None:
    passes = Passes(model)
    scheduler = start_scheduler(chunk=16)
    long_prompt, short_prompt = prompts(1, [100])[0], [1, 2, 3]
    newcomer = Asked(long_prompt, 5)

    def on_item(each: Asked, item: Any) -> None:
        if len(each.items) == 10:
            scheduler.submit(newcomer)

    running = Asked(short_prompt, 60, on_item=on_item)
    scheduler.submit(running)
    newcomer.wait()
    running.wait()
    kinds = "".join("c" if tokens > 1 else "s" for _, tokens in passes.shapes)
    assert max(tokens for _, tokens in passes.shapes) <= 16
    assert "cc" not in kinds  # between two chunks the others have a step
    assert "scscscscscscscs" in kinds  # and the newcomer a chunk between two steps
    assert len(newcomer.tokens) == 5


def test_short_prompts_share_a_turn(model: Any, start_scheduler: Start) -> None:
    passes = Passes(model)
    begun, gate = threading.Event(), threading.Event()
    passes.before = lambda _: begun.set() or gate.wait(60)  # type: ignore[func-returns-value]
    scheduler = start_scheduler(chunk=64)
    scheduler.submit(Asked([1], 1))
    assert begun.wait(60)  # so that the others come together
    asked = [Asked(prompt, 3) for prompt in prompts(4, [10])]
    for each in asked:
        scheduler.submit(each)
    gate.set()
    for each in asked:
        each.wait()
    assert [rows for rows, tokens in passes.shapes if tokens == 1] == [1, 4, 4, 4]


def test_reading_a_long_prompt_is_reported_and_a_short_one_is_not(start_scheduler: Start) -> None:
    scheduler = start_scheduler(chunk=16)
    long, short = Asked(prompts(1, [40])[0], 2), Asked([1, 2, 3], 2)
    scheduler.submit(long)
    scheduler.submit(short)
    assert long.wait().progress == [0, 16, 32, 40]
    assert {item.total for item in long.items if isinstance(item, Prefill)} == {40}
    assert short.wait().progress == []


def test_a_stop_frees_the_row_before_the_next_step(model: Any, start_scheduler: Start) -> None:
    passes = Passes(model)
    scheduler = start_scheduler(rows=1)
    waiting = Asked([4, 5], 2)

    def stop_at_the_fifth(each: Asked, item: Any) -> None:
        if len(each.items) == 5:
            scheduler.cancel(each)

    stopped = Asked([1, 2], 10_000, on_item=stop_at_the_fifth)
    scheduler.submit(stopped)
    scheduler.submit(waiting)
    waiting.wait()
    assert len(stopped.items) == 5
    # A chunk and five steps, then at once the next one's chunk and its two steps.
    assert passes.shapes == [(1, 1)] * 6 + [(1, 1)] * 3
    assert scheduler.steps == 7


def test_a_stop_while_the_prompt_is_read_takes_effect_before_the_next_chunk(
    model: Any, start_scheduler: Start
) -> None:
    passes = Passes(model)
    scheduler = start_scheduler(rows=1, chunk=16)

    def stop_after_two_chunks(each: Asked, item: Any) -> None:
        if isinstance(item, Prefill) and item.done == 32:
            scheduler.cancel(each)

    stopped = Asked(prompts(1, [400])[0], 10, on_item=stop_after_two_chunks)
    after = Asked([1, 2, 3], 2)
    scheduler.submit(stopped)
    scheduler.submit(after)
    after.wait()
    assert stopped.progress == [0, 16, 32]
    assert passes.shapes == [(1, 16), (1, 16), (1, 2), (1, 1), (1, 1)]


def test_a_stop_while_it_waits_costs_nothing(model: Any, start_scheduler: Start) -> None:
    passes = Passes(model)
    scheduler = start_scheduler(rows=1)
    waiting = Asked([7, 8, 9], 50)

    def stop_the_other(each: Asked, item: Any) -> None:
        scheduler.cancel(waiting)

    first = Asked([1], 5, on_item=stop_the_other)
    with held(passes):
        scheduler.submit(first)
        scheduler.submit(waiting)
    first.wait()
    last = Asked([1], 1)
    scheduler.submit(last)
    last.wait()
    assert waiting.items == []
    assert len(passes) == 6


def test_all_rows_may_end_at_once_while_others_wait(start_scheduler: Start) -> None:
    scheduler = start_scheduler(rows=2)
    asked = [Asked([1, 2], 3) for _ in range(6)]
    for each in asked:
        scheduler.submit(each)
    assert [len(each.wait().tokens) for each in asked] == [3] * 6


def test_an_end_token_ends_the_answer_and_is_not_part_of_it(start_scheduler: Start) -> None:
    scheduler = start_scheduler()
    free = Asked([1, 2, 3], 20)
    scheduler.submit(free)
    expected = free.wait().tokens
    assert (free.end.finish_reason, free.end.prompt_tokens, free.end.completion_tokens) == (
        "length",
        3,
        20,
    )
    ends = [expected[6], 10**6]
    first = expected.index(expected[6])
    ended = Asked([1, 2, 3], 20, end_tokens=ends)
    scheduler.submit(ended)
    assert ended.wait().tokens == expected[:first]
    assert (ended.end.finish_reason, ended.end.completion_tokens) == ("stop", first + 1)


def test_a_seed_gives_the_same_answer_whatever_else_is_in_the_batch(
    start_scheduler: Start,
) -> None:
    scheduler = start_scheduler()
    sampling = Sampling(temperature=1.0, seed=5)
    alone = Asked([1, 2, 3], 30, sampling)
    scheduler.submit(alone)
    alone.wait()
    others = [Asked(prompt, 25, Sampling()) for prompt in prompts(6, [3, 20])]
    again = Asked([1, 2, 3], 30, sampling)
    other_seed = Asked([1, 2, 3], 30, Sampling(temperature=1.0, seed=6))
    for each in [*others[:3], again, other_seed, *others[3:]]:
        scheduler.submit(each)
    assert again.wait().tokens == alone.tokens != other_seed.wait().tokens


class Failure:
    """Fails the first forward pass of a shape."""

    def __init__(self, shape: tuple[int, int], error: Exception) -> None:
        self._shape: tuple[int, int] | None = shape
        self._error = error

    def __call__(self, shape: tuple[int, int]) -> None:
        if shape == self._shape:
            self._shape = None
            raise self._error


def out_of_memory() -> Exception:
    error: Exception = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    return error


def test_a_step_that_fails_fails_the_answers_in_it_and_the_next_ones_are_right(
    model: Any, start_scheduler: Start
) -> None:
    passes = Passes(model)
    scheduler = start_scheduler()
    expected = Asked([1, 2, 3], 6)
    scheduler.submit(expected)
    expected.wait()

    passes.before = Failure((3, 1), RuntimeError("no such kernel"))
    asked = [Asked(prompt, 100) for prompt in prompts(3, [6])]
    with held(passes):
        for each in asked:
            scheduler.submit(each)
    for each in asked:
        error = each.wait().items[-1]
        assert isinstance(error, ModelError)
        assert "kernel" not in str(error)
    assert scheduler.cache_bytes == 0

    again = Asked([1, 2, 3], 6)
    scheduler.submit(again)
    assert again.wait().tokens == expected.tokens


def test_a_step_without_memory_ends_the_longest_answer_and_the_others_go_on(
    model: Any, start_scheduler: Start
) -> None:
    passes = Passes(model)
    scheduler = start_scheduler(chunk=64)
    asked = [Asked(prompt, 20) for prompt in prompts(2, [6])]
    longest = Asked(prompts(1, [40])[0], 20)
    passes.before = Failure((3, 1), out_of_memory())
    with held(passes):
        for each in (asked[0], longest, asked[1]):
            scheduler.submit(each)
    error = longest.wait().items[-1]
    assert isinstance(error, ModelError)
    assert "memory" in str(error)
    assert "GiB" not in str(error)
    for each in asked:
        assert each.wait().tokens == generate(model, each.prompt, 20)


def test_a_prompt_that_fails_leaves_the_running_answers_alone(
    model: Any, start_scheduler: Start
) -> None:
    passes = Passes(model)
    scheduler = start_scheduler(chunk=16)
    failing = Asked(prompts(1, [50])[0], 5)
    passes.before = Failure((1, 16), out_of_memory())

    def on_item(each: Asked, item: Any) -> None:
        if len(each.items) == 3:
            scheduler.submit(failing)

    running = Asked([1, 2, 3], 30, on_item=on_item)
    scheduler.submit(running)
    assert isinstance(failing.wait().items[-1], ModelError)
    assert len(running.wait().tokens) == 30


def test_an_answer_whose_tokens_cannot_be_decoded_fails_alone(start_scheduler: Start) -> None:
    scheduler = start_scheduler()

    class Broken:
        stopped = False

        def feed(self, token: int) -> Any:
            raise ValueError("no such token")

    broken, running = Asked([1], 20), Asked([2], 20)
    broken._text = Broken()  # type: ignore[assignment]
    scheduler.submit(broken)
    scheduler.submit(running)
    assert isinstance(broken.wait().items[-1], ModelError)
    assert len(running.wait().tokens) == 20


def test_closing_ends_what_runs_and_what_waits_and_the_thread(
    model: Any, start_scheduler: Start
) -> None:
    before = threading.active_count()
    scheduler = start_scheduler(rows=1)
    started = threading.Event()
    running = Asked([1], 10**6, on_item=lambda *_: started.set())
    waiting = Asked([2], 10)
    scheduler.submit(running)
    scheduler.submit(waiting)
    assert started.wait(30)
    scheduler.close()
    assert isinstance(running.wait().items[-1], Shutdown)
    assert [type(item) for item in waiting.wait().items] == [Shutdown]
    assert threading.active_count() == before
    assert scheduler.cache_bytes == 0
    with pytest.raises(Shutdown):
        scheduler.submit(Asked([1], 1))


def test_two_hundred_answers_leave_no_memory_behind(start_scheduler: Start) -> None:
    scheduler = start_scheduler(chunk=64)

    def run(count: int) -> None:
        asked = [
            Asked(prompt, 4 + len(prompt) % 5, Sampling(temperature=1.0, repetition_penalty=1.1))
            for prompt in prompts(count, [2, 30, 90])
        ]
        for each in asked:
            scheduler.submit(each)
        for each in asked:
            each.wait()

    run(20)  # what is made once
    gc.collect()
    tracemalloc.start()
    process = psutil.Process()
    resident = process.memory_info().rss
    run(200)
    gc.collect()
    python, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert scheduler.cache_bytes == 0
    assert python < 200_000
    assert process.memory_info().rss - resident < 32 * 1024 * 1024


def test_a_thread_that_fails_breaks_the_model_for_all(
    model: Any, start_scheduler: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = start_scheduler(rows=1)

    def fail(error: Exception) -> None:
        raise RuntimeError("CUDA error: device-side assert triggered")

    def on_item(each: Asked, item: Any) -> None:
        if isinstance(item, str):
            raise RuntimeError("no such token")

    monkeypatch.setattr(scheduler, "_recover", fail)
    running, waiting = Asked([1], 10, on_item=on_item), Asked([2], 10)
    with held(Passes(model)):
        scheduler.submit(running)
        scheduler.submit(waiting)
    assert isinstance(waiting.wait().items[-1], ModelBroken)
    assert isinstance(running.items[-1], ModelBroken)
    with pytest.raises(ModelBroken):
        scheduler.submit(Asked([1], 1))
