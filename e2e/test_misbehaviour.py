"""Models that misbehave with their process: the reader hears how it ended, and the next one is answered."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil
import pytest

from e2e.client import Answer, asynchronous, chat, eventually
from e2e.misbehaving_model import DEEDS
from e2e.stack import Stack

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
    def is_gone() -> bool:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE

    await eventually(is_gone, f"the end of {process}")


async def answers(stack: Stack) -> None:
    """Ask until somebody is there to answer; what is refused meanwhile is refused in words."""
    deadline = time.monotonic() + 30
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
    stack = start_stack(model=MODEL + kind, workers=1, dirty_timeout=10)
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
    family = [int(line.split()[1]) for line in stack.journal() if line.startswith("child")]
    for process in family:
        if psutil.pid_exists(process):
            psutil.Process(process).kill()


@pytest.mark.parametrize("kind", ["InLoop", pytest.param("InThread", marks=pytest.mark.long)])
@asynchronous
async def test_a_child_that_a_model_leaves_behind_does_not_hide_the_death_of_its_engine(
    start_stack: Callable[..., Stack], kind: str
) -> None:
    stack = start_stack(model=MODEL + kind)
    assert await ends_once(await chat(stack, "fork_and_stay")) == "stop"
    running = await (await chat(stack, "wait")).until(lambda answer: answer.text)
    (child,) = (int(line.split()[1]) for line in stack.journal() if line.startswith("child"))
    stack.engines()[0].kill()
    assert await ends_once(running) == "engine_lost"
    assert psutil.pid_exists(child)
    await answers(stack)
    psutil.Process(child).kill()


@pytest.mark.long
@asynchronous
async def test_a_forked_model_goes_on_once(start_stack: Callable[..., Stack]) -> None:
    stack = start_stack(model=MODEL + "InLoop", workers=1)
    running = await (await chat(stack, "wait")).until(lambda answer: answer.text)
    answer = await chat(stack, "fork")
    assert await ends_once(answer) == "stop"
    assert answer.text == "done!"
    (child,) = (int(line.split()[1]) for line in stack.journal() if line.startswith("child"))
    if psutil.pid_exists(child):
        await gone(psutil.Process(child))
    await answers(stack)
    assert running.text == "begun"
