"""Limits: of places, time and memory; what happens at each, and that it harms nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from e2e.client import (
    Answer,
    Connection,
    asynchronous,
    chat,
    eventually,
    noted,
    resume,
    script,
    stop,
    words,
)
from e2e.stack import Stack

LONG = "n" * 8000  # a name that makes each word 8 kB


async def begun(stack: Stack, name: str, gate: str = "never", **fields: Any) -> Answer:
    """Start a generation that runs until a gate opens."""
    answer = await chat(
        stack, script(name, ["say", "begun "], ["wait", gate], ["say", "ended"]), **fields
    )
    return await answer.until(lambda answer: answer.text)


async def queued(stack: Stack, name: str, *steps: list[Any], **fields: Any) -> Answer:
    """Start a generation that has to wait in line."""
    answer = await chat(stack, script(name, *(steps or [["say", "x"]])), **fields)
    return await answer.until(lambda answer: answer.positions)


def started(stack: Stack) -> list[str]:
    return [line.removeprefix("start ") for line in stack.journal() if line.startswith("start ")]


# Places


@asynchronous
async def test_who_came_first_is_served_first_and_sees_the_line_move(
    start_stack: Callable[..., Stack],
) -> None:
    stack = start_stack(max_running=2)
    running = [await begun(stack, f"r{number}", f"r{number}") for number in range(2)]
    assert not any(answer.positions for answer in running)
    line = [
        await queued(
            stack,
            f"q{number}",
            ["say", "begun "],
            ["wait", f"q{number}"],
            resumable=number % 2 == 0,
        )
        for number in range(5)
    ]
    assert [answer.positions for answer in line] == [[1], [2], [3], [4], [5]]
    stack.open_gate("r1")
    for number in range(4):
        await line[number].until(lambda answer: answer.text == "begun ")
        for place, waiting in enumerate(line[number + 1 :], 1):
            await waiting.until(lambda answer, place=place: answer.positions[-1] == place)  # type: ignore[misc]
        stack.open_gate(f"q{number}")
    stack.open_gate("q4")
    for number, answer in enumerate(line):
        assert (await answer.rest()).finish_reason == "stop"
        assert answer.positions == list(range(number + 1, 0, -1))
    assert started(stack)[2:] == [f"q{number}" for number in range(5)]


@asynchronous
async def test_when_all_places_are_taken_the_next_one_is_refused_until_somebody_leaves(
    start_stack: Callable[..., Stack],
) -> None:
    stack = start_stack(max_running=1, max_queued=2)
    running = await begun(stack, "running", "running")
    line = [await queued(stack, f"q{number}") for number in range(2)]
    for path in ("/chat", "/chat/sync"):
        refused = await (await Connection.open(stack)).ask("POST", path, {"prompt": "no place"})
        await refused.rest()
        assert refused.status == 503
        assert refused.headers["content-type"] == "application/problem+json"
        assert int(refused.headers["retry-after"]) > 0
        problem = refused.json()
        assert (problem["status"], problem["code"]) == (503, "queue_full")
        assert problem["detail"]
    line[0].connection.abort()
    await line[1].until(lambda answer: answer.positions == [2, 1])
    newcomer = await queued(stack, "newcomer")
    assert newcomer.positions == [2]
    assert (await chat(stack, "no place")).status == 503
    running.connection.abort()
    assert (await line[1].rest()).text == "x"
    assert (await newcomer.rest()).text == "x"
    assert started(stack) == ["running", "q1", "newcomer"]


@pytest.mark.long
@asynchronous
async def test_without_a_line_only_a_free_place_will_do(start_stack: Callable[..., Stack]) -> None:
    stack = start_stack(max_running=1, max_queued=0)
    running = await begun(stack, "running")
    assert (await chat(stack, "no place")).status == 503
    assert await stop(stack, running.id) == 204
    # Stopped it is at once; its place is free when the model has let go.
    await eventually(lambda: not stack.busy, "the place to be free")
    assert (await (await chat(stack, "a place")).rest()).text == "a place "


# Time


@pytest.mark.long
@asynchronous
async def test_a_silent_model_times_out_and_its_place_is_free_again(
    start_stack: Callable[..., Stack],
) -> None:
    stack = start_stack(dirty_timeout=6, max_running=2)
    # In all they take longer than the timeout, and the line too; each of their silences is shorter.
    steps: list[list[Any]] = [["say", "x"], ["sleep", 0.8]] * 10
    steady = await chat(stack, script("steady", *steps))
    silent = await begun(stack, "silent", resumable=True)
    waiting = await queued(stack, "waiting")
    sync = await Connection.open(stack)
    await sync.send("POST", "/chat/sync", {"prompt": script("sync", ["wait", "never"])})
    await silent.rest()
    assert silent.error == "timeout"
    assert not silent.done
    assert not silent.cut
    await noted(stack, "end silent")
    assert (await (await resume(stack, silent.id)).rest()).error == "timeout"
    assert (await waiting.rest()).text == "x"
    assert (await steady.rest()).finish_reason == "stop"
    failed = await (await sync.answer()).rest()
    assert (failed.status, failed.json()["code"]) == (504, "timeout")
    assert (await (await chat(stack, "a place")).rest()).text == "a place "


@pytest.mark.long
@asynchronous
async def test_a_generation_that_takes_too_long_ends_with_length(
    start_stack: Callable[..., Stack],
) -> None:
    stack = start_stack(max_generation_seconds=6, max_running=1)
    endless = await chat(stack, script("endless", ["words", 1_000_000]), resumable=True)
    # Its time begins when it runs, not when it is asked.
    waiting = await queued(stack, "waiting", ["sleep", 0.3], ["say", "x"])
    await endless.rest()
    assert endless.finish_reason == "length"
    assert endless.done
    count = endless.events[-1]["usage"]["completion_tokens"]
    assert endless.text == words("endless", count)
    await noted(stack, "end endless")
    assert (await waiting.rest()).finish_reason == "stop"


# Memory


@pytest.mark.long
@asynchronous
async def test_a_finished_log_is_forgotten_after_its_time_and_a_running_one_is_not(
    start_stack: Callable[..., Stack],
) -> None:
    stack = start_stack(log_ttl=0.5)
    running = await begun(stack, "running", "running", resumable=True)
    finished = await (await chat(stack, "all is said", resumable=True)).rest()
    probe = await Connection.open(stack)
    while (await (await probe.ask("GET", f"/chat/{finished.id}")).rest()).status != 404:
        await asyncio.sleep(0.05)
    assert await stop(stack, finished.id) == 404
    assert (await resume(stack, running.id)).status == 200
    stack.open_gate("running")
    assert (await running.rest()).text == "begun ended"


@pytest.mark.long
@asynchronous
async def test_when_memory_is_short_the_oldest_finished_log_goes_first(
    start_stack: Callable[..., Stack],
) -> None:
    stack = start_stack(log_max_mb=1)
    finished = []
    for number in range(4):
        prompt = script(f"{number}" + LONG, ["words", 45])  # more than a third of the limit
        finished.append(await (await chat(stack, prompt, resumable=True)).rest())
    resumed = [await (await resume(stack, answer.id)).rest() for answer in finished]
    assert [answer.status for answer in resumed] == [404, 404, 200, 200]
    assert [answer.raw for answer in resumed[2:]] == [answer.raw for answer in finished[2:]]


@asynchronous
async def test_a_runaway_generation_ends_with_length_and_its_neighbours_live(
    start_stack: Callable[..., Stack],
) -> None:
    stack = start_stack(log_max_mb=1)
    neighbour = await begun(stack, "neighbour", "neighbour", resumable=True)
    finished = await (await chat(stack, "all is said", resumable=True)).rest()
    runaway = await (await chat(stack, script(LONG, ["words", 1_000_000]), resumable=True)).rest()
    assert runaway.finish_reason == "length"
    assert runaway.done
    count = runaway.events[-1]["usage"]["completion_tokens"]
    assert runaway.text == words(LONG, count)
    assert len(runaway.raw) > 900_000
    await noted(stack, f"end {LONG}")
    assert (await resume(stack, finished.id)).status == 404
    stack.open_gate("neighbour")
    assert (await neighbour.rest()).text == "begun ended"
    assert neighbour.finish_reason == "stop"
    newcomer = await (await chat(stack, "good morning", resumable=True)).rest()
    assert newcomer.finish_reason == "stop"
    assert (await resume(stack, newcomer.id)).status == 200


# Several engines


@asynchronous
async def test_two_engines_run_two_generations_at_once(start_stack: Callable[..., Stack]) -> None:
    stack = start_stack(dirty_workers=2, max_running=1)
    stack.wait_for_engines(2)
    for turn in range(10):
        prompts = [script(f"{turn}{name}", ["wait", f"{turn}"], ["say", "x"]) for name in "ab"]
        answers = await asyncio.gather(*(chat(stack, prompt) for prompt in prompts))
        for name in "ab":
            await noted(stack, f"start {turn}{name}")
        stack.open_gate(f"{turn}")
        for answer in answers:
            assert (await answer.rest()).text == "x"
        assert len({answer.id[:8] for answer in answers}) == 2 or any(
            answer.positions for answer in answers
        )


@asynchronous
async def test_who_waits_behind_one_engine_runs_on_the_other_when_that_is_free_first(
    start_stack: Callable[..., Stack],
) -> None:
    stack = start_stack(dirty_workers=2, max_running=1)
    stack.wait_for_engines(2)
    for first_free, turn in enumerate("ab"):
        running = [await begun(stack, f"{turn}{number}", f"{turn}{number}") for number in range(2)]
        line = [
            await queued(
                stack, f"{turn}-{number}", ["say", f"x{number}"], resumable=bool(number % 2)
            )
            for number in range(4)
        ]
        stack.open_gate(f"{turn}{first_free}")
        for number, answer in enumerate(line):
            await answer.rest()
            assert answer.text == f"x{number}"
            assert answer.ids == (list(range(1, len(answer.events) + 2)) if number % 2 else [])
        assert f"end {turn}{1 - first_free}" not in stack.journal()
        stack.open_gate(f"{turn}{1 - first_free}")
        for answer in running:
            assert (await answer.rest()).text == "begun ended"


@pytest.mark.long
@asynchronous
async def test_what_runs_on_another_engine_than_its_own_is_stopped_like_any_other(
    start_stack: Callable[..., Stack],
) -> None:
    stack = start_stack(dirty_workers=2, max_running=1)
    stack.wait_for_engines(2)
    for round_, leave in enumerate([False, False, True, True]):
        names = [f"{round_}a", f"{round_}b"]
        running = [await begun(stack, name, name) for name in names]
        waiting = await queued(stack, f"{round_}c", ["say", "begun "], ["wait", "never"])
        free, busy = names if round_ % 2 else reversed(names)
        stack.open_gate(free)
        await waiting.until(lambda answer: answer.text)
        if leave:
            waiting.connection.abort()
        else:
            assert await stop(stack, waiting.id) == 204
            assert (await waiting.rest()).finish_reason == "cancelled"
        await noted(stack, f"end {round_}c")
        assert f"end {busy}" not in stack.journal()
        stack.open_gate(busy)
        for answer in running:
            assert (await answer.rest()).text == "begun ended"


# Slow readers


@pytest.mark.long
@asynchronous
async def test_the_write_timeout_does_not_hit_a_client_that_reads_slowly_but_steadily(
    start_stack: Callable[..., Stack],
) -> None:
    stack = start_stack(write_timeout=6)
    prompts = [
        script(name + LONG, ["words", 600], ["wait", "never"]) for name in ("steady", "deaf")
    ]
    steady, _ = [await chat(stack, prompt, receive_buffer=4096) for prompt in prompts]
    after_the_drop = 0
    while after_the_drop < 40:
        assert await steady.pull(8000), "it was dropped"
        await asyncio.sleep(0.05)
        after_the_drop += f"end deaf{LONG}" in stack.journal()
    await steady.until(lambda answer: answer.text == words("steady" + LONG, 600))
