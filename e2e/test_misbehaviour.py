"""Models that misbehave with their process: the reader hears how it ended, and the next one is answered."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import psutil
import pytest

from e2e.client import TIMEOUT_S, Answer, asynchronous, chat, eventually
from e2e.misbehaving_model import DEEDS
from e2e.stack import Stack, alive

MODEL = "e2e.misbehaving_model:"
# What ends the process, and with it the answer.
FATAL = {"close_files", "close_links", "stop_the_loop", "leave_at_once", "crash", "is_broken"}
FAILS = {"interrupt", "leave"}


async def ends_once(answer: Answer) -> str:
    """Read to the end, and return how it ended."""
    await answer.rest()
    assert not answer.cut
    ends = [event for event in answer.events if "error" in event or "finish_reason" in event]
    assert ends == answer.events[-1:]
    return answer.error or str(answer.finish_reason)


async def gone(process: psutil.Process) -> None:
    await eventually(lambda: not alive(process), f"the end of {process}")


def children(stack: Stack) -> list[int]:
    """The processes that the model says it has left behind."""
    return [int(line.split()[1]) for line in stack.journal() if line.startswith("child")]


def end(pid: int) -> None:
    with suppress(psutil.NoSuchProcess):
        psutil.Process(pid).kill()


async def answers(stack: Stack) -> None:
    """Ask until somebody is there to answer; what is refused meanwhile is refused in words."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        answer = await chat(stack, "good morning")
        if answer.status == 200 and await ends_once(answer) == "stop":
            assert answer.text == "good morning!"
            return
        assert answer.status in (200, 503)
        assert time.monotonic() < deadline


@pytest.mark.long
@pytest.mark.parametrize("kind", ["InLoop", "InThread"])
@asynchronous
async def test_whatever_a_model_does_to_its_process_the_next_question_is_answered(
    start_stack: Callable[..., Stack], kind: str
) -> None:
    stack = start_stack(model=MODEL + kind, workers=1, dirty_timeout=20)
    for deed in DEEDS:
        if kind == "InThread" and deed == "stop_the_loop":
            continue  # there is none in a thread
        # Like one who asks it a minute later: else the tries to load are used up by the deeds before.
        for attempts in stack.runtime_folder.glob("load-attempts-*"):
            attempts.unlink()
        engine = stack.engines()[0]
        began = time.monotonic()
        ended = await ends_once(await chat(stack, deed))
        print(kind, deed, ended, f"{time.monotonic() - began:.1f} s", flush=True)
        if deed in FATAL:
            assert ended in ("engine_lost", "model_error", "shutdown"), deed
            await gone(engine)
        else:
            assert ended == ("model_error" if deed in FAILS else "stop"), deed
        if deed == "change_the_process":
            engine.kill()  # it takes no signals any more
            await gone(engine)
        await answers(stack)
        if deed not in {*FATAL, "change_the_process"}:
            assert stack.engines() == [engine], deed
        if deed == "end_a_child":
            assert "ended -15" in stack.journal()
    assert stack.returncode is None
    for child in children(stack):
        end(child)


@pytest.mark.parametrize("kind", ["InLoop", pytest.param("InThread", marks=pytest.mark.long)])
@asynchronous
async def test_a_child_that_a_model_leaves_behind_does_not_hide_the_death_of_its_engine(
    start_stack: Callable[..., Stack], kind: str
) -> None:
    stack = start_stack(model=MODEL + kind)
    assert await ends_once(await chat(stack, "fork_and_stay")) == "stop"
    running = await (await chat(stack, "wait")).until(lambda answer: answer.text)
    (child,) = children(stack)
    stack.engines()[0].kill()
    assert await ends_once(running) == "engine_lost"
    assert psutil.pid_exists(child)
    await answers(stack)
    end(child)


@pytest.mark.long
@asynchronous
async def test_a_forked_model_goes_on_once(start_stack: Callable[..., Stack]) -> None:
    stack = start_stack(model=MODEL + "InLoop", workers=1)
    running = await (await chat(stack, "wait")).until(lambda answer: answer.text)
    answer = await chat(stack, "fork")
    assert await ends_once(answer) == "stop"
    assert answer.text == "done!"
    (child,) = await eventually(lambda: children(stack), "the child's word")
    with suppress(psutil.NoSuchProcess):
        await gone(psutil.Process(child))
    await answers(stack)
    assert running.text == "begun"
