"""Stop: at every stage, from anywhere, by request or by leaving, and always as far as the model's own `finally`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from e2e.client import (
    Answer,
    Connection,
    asynchronous,
    chat,
    eventually,
    hang_up,
    noted,
    resume,
    script,
    stop,
)
from e2e.stack import Stack, paused

# What a running model has done when it is stopped; it would go on at a gate that nobody opens.
STAGES: dict[str, list[list[Any]]] = {
    "silent": [],
    "prefill": [["prefill", 1, 10]],
    "thinking": [["think", "hm"]],
    "answering": [["think", "hm"], ["say", "x"]],
}
LEAVINGS = [Connection.close, Connection.abort]

stages = pytest.mark.parametrize("stage", STAGES)
leavings = pytest.mark.parametrize("leave", LEAVINGS)


@pytest.fixture(scope="module")
def narrow() -> Iterator[Stack]:
    """A stack that runs one generation at a time. Every test leaves it idle.

    It sends no comments, which would be a second way to notice that a client has left.
    """
    stack = Stack(max_running=1, keep_alive=30).start()
    yield stack
    stack.stop()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name for a script that no other test uses."""
    return str(request.node.name)


async def running(
    stack: Stack, name: str, stage: str = "answering", gate: str = "never", **fields: Any
) -> Answer:
    """Start a generation and read as far as this stage; then it waits at the gate."""
    answer = await chat(
        stack, script(name, *STAGES[stage], ["wait", gate], ["say", "end"]), **fields
    )
    await noted(stack, f"start {name}")
    return await answer.until(
        lambda answer: len(answer.events) >= {"thinking": 2, "answering": 6}.get(stage, 0)
    )


async def queued(stack: Stack, name: str, **fields: Any) -> Answer:
    """Start a generation that has to wait in line, and read its first position."""
    answer = await chat(stack, script(name, ["say", "x"]), **fields)
    return await answer.until(lambda answer: answer.positions)


def assert_cancelled(answer: Answer) -> None:
    assert answer.events[-1]["finish_reason"] == "cancelled"
    assert answer.done
    assert not answer.cut


def number_queued(stack: Stack) -> int:
    return sum(engine["queued"] for engine in stack.engine_states())


def never_started(stack: Stack, name: str) -> bool:
    return f"start {name}" not in stack.journal()


# By request


@stages
@asynchronous
async def test_stop_ends_the_model_and_the_stream(narrow: Stack, name: str, stage: str) -> None:
    answer = await running(narrow, name, stage)
    assert await stop(narrow, answer.id) == 204
    await noted(narrow, f"end {name}")
    assert_cancelled(await answer.rest())
    assert "end" not in answer.text


@asynchronous
async def test_stop_takes_a_generation_out_of_the_line_before_it_starts(
    narrow: Stack, name: str
) -> None:
    blocker = await running(narrow, f"{name}-blocker")
    stopped = await queued(narrow, name)
    behind = await queued(narrow, f"{name}-behind")
    assert await stop(narrow, stopped.id) == 204
    assert_cancelled(await stopped.rest())
    await behind.until(lambda answer: answer.positions == [2, 1])
    assert await stop(narrow, blocker.id) == 204
    assert (await behind.rest()).text == "x"
    assert never_started(narrow, name)


@asynchronous
async def test_what_is_stopped_or_abandoned_while_the_model_loads_never_starts(
    start_stack: Callable[..., Stack],
) -> None:
    stack = start_stack(ready=False, before=lambda stack: (stack.script / "hold-load").touch())
    await eventually(stack.engine_states, "the engine")
    answers = {}
    for name, resumable in (("stopped", True), ("left", False), ("stays", False)):
        answer = await chat(stack, script(name, ["say", "x"]), resumable=resumable)
        answers[name] = await answer.until(lambda answer: "loading" in answer.statuses)
    assert await stop(stack, answers["stopped"].id) == 204
    assert_cancelled(await answers["stopped"].rest())
    answers["left"].connection.abort()
    await eventually(lambda: number_queued(stack) == 1, "one alone to wait")
    stack.open_gate("load")
    assert (await answers["stays"].rest()).text == "x"
    assert never_started(stack, "stopped")
    assert never_started(stack, "left")


@asynchronous
async def test_stop_works_through_the_other_http_worker(narrow: Stack, name: str) -> None:
    answer = await running(narrow, name)
    mine = next(worker for worker in narrow.http_workers() if answer.connection.served_by(worker))
    with paused(mine):
        assert await stop(narrow, answer.id) == 204
        await noted(narrow, f"end {name}")
    assert_cancelled(await answer.rest())


@asynchronous
async def test_stop_can_be_repeated_and_comes_too_late_without_harm(
    narrow: Stack, name: str
) -> None:
    answer = await running(narrow, name, resumable=True)
    assert [await stop(narrow, answer.id) for _ in range(3)] == [204] * 3
    assert_cancelled(await answer.rest())
    assert await stop(narrow, answer.id) == 204
    again = await (await resume(narrow, answer.id)).rest()
    assert again.raw == answer.raw
    finished = await (await chat(narrow, "all is said")).rest()
    assert await stop(narrow, finished.id) == 204
    assert await stop(narrow, "0" * 40) == 404


@asynchronous
async def test_stop_ends_the_streams_of_all_readers(narrow: Stack, name: str) -> None:
    first = await running(narrow, name, resumable=True)
    second = await resume(narrow, first.id)
    assert await stop(narrow, first.id) == 204
    assert_cancelled(await first.rest())
    assert_cancelled(await second.rest())
    assert first.raw == second.raw


# By leaving


@stages
@leavings
@asynchronous
async def test_a_client_that_leaves_stops_its_model(
    narrow: Stack, name: str, stage: str, leave: Callable[[Connection], None]
) -> None:
    leave((await running(narrow, name, stage)).connection)
    await noted(narrow, f"end {name}")


@leavings
@asynchronous
async def test_a_client_that_leaves_the_line_never_starts_its_model(
    narrow: Stack, name: str, leave: Callable[[Connection], None]
) -> None:
    blocker = await running(narrow, f"{name}-blocker")
    gone = await queued(narrow, name)
    behind = await queued(narrow, f"{name}-behind")
    leave(gone.connection)
    await behind.until(lambda answer: answer.positions == [2, 1])
    assert await stop(narrow, blocker.id) == 204
    assert (await behind.rest()).text == "x"
    assert never_started(narrow, name)


@leavings
@asynchronous
async def test_a_client_that_pipelined_another_request_stops_its_model_by_leaving_as_well(
    narrow: Stack, name: str, leave: Callable[[Connection], None]
) -> None:
    answer = await running(narrow, name)
    for _ in range(3):
        await answer.connection.send("GET", "/health")
    leave(answer.connection)
    await noted(narrow, f"end {name}")


@leavings
@asynchronous
async def test_a_sync_client_that_leaves_stops_its_model(
    narrow: Stack, name: str, leave: Callable[[Connection], None]
) -> None:
    connection = await Connection.open(narrow)
    await connection.send(
        "POST", "/chat/sync", {"prompt": script(name, ["say", "x"], ["wait", "never"])}
    )
    await noted(narrow, f"start {name}")
    waiting = await Connection.open(narrow)
    await waiting.send("POST", "/chat/sync", {"prompt": script(f"{name}-waiting", ["say", "x"])})
    await eventually(lambda: number_queued(narrow) == 1, "it to wait in line")
    behind = await queued(narrow, f"{name}-behind")
    assert behind.positions == [2]
    leave(waiting)
    await behind.until(lambda answer: answer.positions == [2, 1])
    leave(connection)
    await noted(narrow, f"end {name}")
    assert (await behind.rest()).text == "x"
    assert never_started(narrow, f"{name}-waiting")


@asynchronous
async def test_one_of_two_readers_that_leaves_stops_nothing(narrow: Stack, name: str) -> None:
    first = await running(narrow, name, gate=name, resumable=True)
    second = await resume(narrow, first.id)
    await hang_up(narrow, first.connection)
    narrow.open_gate(name)
    assert (await second.rest()).text == "xend"


# By leaving a resumable generation, which stops nothing until nobody has come back for a while


@stages
@asynchronous
async def test_a_resumable_generation_outlives_its_reader(
    narrow: Stack, name: str, stage: str
) -> None:
    first = await running(narrow, name, stage, gate=name, resumable=True)
    await hang_up(narrow, first.connection)
    narrow.open_gate(name)
    await noted(narrow, f"end {name}")
    rest = await (await resume(narrow, first.id, after=len(first.ids))).rest()
    assert (first.text + rest.text).endswith("end")
    assert rest.finish_reason == "stop"
    whole = await (await resume(narrow, first.id)).rest()
    assert whole.raw == first.raw + rest.raw


@asynchronous
async def test_a_resumable_generation_keeps_its_place_in_line_without_a_reader(
    narrow: Stack, name: str
) -> None:
    blocker = await running(narrow, f"{name}-blocker")
    gone = await queued(narrow, name, resumable=True)
    await hang_up(narrow, gone.connection)
    behind = await queued(narrow, f"{name}-behind")
    assert behind.positions == [2]
    assert await stop(narrow, blocker.id) == 204
    assert (await behind.rest()).text == "x"
    journal = narrow.journal()
    assert journal.index(f"end {name}") < journal.index(f"start {name}-behind")
    assert (await (await resume(narrow, gone.id, after=gone.ids[-1])).rest()).text == "x"


@pytest.mark.long
@asynchronous
async def test_a_resumable_generation_that_nobody_comes_back_for_ends_after_its_grace(
    start_stack: Callable[..., Stack],
) -> None:
    stack = start_stack(resume_grace=0.5, max_running=2)
    read = await running(stack, "read", gate="go", resumable=True)
    left = await running(stack, "left", resumable=True)
    waits = await queued(stack, "waits", resumable=True)
    behind = await queued(stack, "behind")
    # In this order: else the place of the one could go to the other.
    waits.connection.abort()
    await behind.until(lambda answer: answer.positions == [2, 1])
    left.connection.abort()
    # Somebody who changes connections is somebody who reads.
    again = await resume(stack, read.id)
    read.connection.abort()
    await noted(stack, "end left")
    assert (await behind.rest()).text == "x"
    for answer in (left, waits):
        assert_cancelled(await (await resume(stack, answer.id)).rest())
    assert never_started(stack, "waits")
    stack.open_gate("go")
    assert (await again.rest()).text == "xend"
