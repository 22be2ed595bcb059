"""On a GPU a step is recorded and replayed, and is what it was before. Only a GPU can show it (`LOCAL_DEVICE=cuda`)."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch

from backend.models.local.scheduler import Scheduler
from backend.tests.local import tiny
from backend.tests.local.run import Asked, Passes, generate, prompts

pytestmark = pytest.mark.skipif(tiny.DEVICE == "cpu", reason="it needs a GPU")


def ask(scheduler: Scheduler, count: int, tokens: int) -> list[Asked]:
    asked = [Asked(prompt, tokens) for prompt in prompts(count, [3, 20])]
    for each in asked:
        scheduler.submit(each)
    return [each.wait() for each in asked]


def test_steps_are_replayed_without_the_model_and_say_the_same() -> None:
    model = tiny.model()
    scheduler = Scheduler(model, 4)
    scheduler.check()
    assert scheduler.fixed
    passes = Passes(model)
    scheduler.start()
    asked = ask(scheduler, 4, 200)
    # A chunk, a step and a recording whenever the buffers are new.
    assert len(passes) < 20
    assert scheduler.steps >= 200
    scheduler.close()
    for each in asked:
        assert each.tokens == generate(model, each.prompt, 200)


def test_a_model_that_waits_for_the_processor_in_the_middle_of_a_step_is_not_recorded() -> None:
    model = tiny.model()

    def wait(module: Any, args: Any, output: Any) -> None:
        output.sum().item()

    model.model.layers[1].register_forward_hook(wait)
    scheduler = Scheduler(model, 4)
    scheduler.check()
    assert (scheduler.rows, scheduler.fixed) == (4, False)
    scheduler.start()
    for each in ask(scheduler, 4, 30):
        assert each.tokens == generate(model, each.prompt, 30)
    scheduler.close()


def test_no_memory_for_a_recording_costs_speed_and_no_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = tiny.model()
    scheduler = Scheduler(model, 4)
    scheduler.check()

    def record(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(torch.cuda, "graph", record)
    scheduler.start()
    for each in ask(scheduler, 2, 30):
        assert each.tokens == generate(model, each.prompt, 30)
    assert scheduler.fixed
    scheduler.close()


BROKEN = """
import torch
from backend.models.local.scheduler import Scheduler
from backend.tests.local import tiny
from backend.tests.local.run import Asked, Passes
from backend.models import ModelBroken

model = tiny.model()
scheduler = Scheduler(model, 4)
scheduler.start()
passes = Passes(model)
passes.before = lambda shape: torch.zeros(1, device="cuda")[torch.full((1,), 10**9, device="cuda")]
running = Asked([1, 2, 3], 5)
scheduler.submit(running)
assert isinstance(running.wait().items[-1], ModelBroken), running.items
try:
    scheduler.submit(Asked([1], 1))
except ModelBroken:
    print("broken")
"""


def test_a_gpu_that_fails_for_good_breaks_the_model() -> None:
    """In a process of its own, whose GPU can do nothing any more."""
    done = subprocess.run(
        [sys.executable, "-c", BROKEN], capture_output=True, text=True, timeout=100
    )
    assert done.stdout == "broken\n", done.stderr
