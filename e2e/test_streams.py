"""Streams: every reader gets every byte, in order and whole, whatever the others do and however it connects."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from e2e.client import (
    Answer,
    Connection,
    asynchronous,
    chat,
    eventually,
    gone,
    noted,
    resume,
    script,
    words,
)
from e2e.stack import Stack, paused

CONTROL = "\x01"  # six bytes of JSON, so that one event is larger than a window
LONG = "n" * 8000  # a name that makes each word 8 kB, so that the buffers on the way are soon full


def frames(answer: Answer) -> list[bytes]:
    """Cut a body into its events, as they came over the wire."""
    assert answer.raw.endswith(b"\n\n")
    return bytes(answer.raw).split(b"\n\n")[:-1]


def assert_whole(answer: Answer, text: str) -> None:
    assert (answer.status, answer.error, answer.cut) == (200, None, False), answer.events[-2:]
    assert answer.text == text
    assert answer.done
    assert answer.finish_reason == "stop"


async def connections_over_both_workers(stack: Stack, count: int) -> list[Connection]:
    """Open `count` connections, half of them to each HTTP worker."""
    one, other = stack.http_workers()
    connections = []
    for idle, busy in ((one, other), (other, one)):
        with paused(idle):
            for _ in range(count // 2):
                connection = await Connection.open(stack)
                await (await connection.ask("GET", "/health")).rest()
                connections.append(connection)
            assert connection.served_by(busy)
    return connections


# Many at once


@asynchronous
async def test_two_hundred_streams_over_both_workers_each_get_their_own_text(stack: Stack) -> None:
    connections = await connections_over_both_workers(stack, 200)
    answers = []
    for number, connection in enumerate(connections):
        prompt = script(
            f"own{number}", ["say", f"«{number}» 🙂\n\n"], ["wait", "own"], ["words", 30]
        )
        body = {"prompt": prompt, "resumable": number % 3 == 0}
        answers.append(await connection.ask("POST", "/chat", body))
    for number, answer in enumerate(answers):
        await answer.until(lambda answer, number=number: answer.text == f"«{number}» 🙂\n\n")  # type: ignore[misc]
    stack.open_gate("own")
    await asyncio.gather(*(answer.rest() for answer in answers))
    for number, answer in enumerate(answers):
        assert_whole(answer, f"«{number}» 🙂\n\n" + words(f"own{number}", 30))
        assert answer.ids == (list(range(1, 34)) if number % 3 == 0 else [])
        assert answer.events[-1]["usage"]["completion_tokens"] == 31


@asynchronous
async def test_all_readers_of_a_generation_see_the_same_bytes(stack: Stack) -> None:
    steps: list[list[Any]] = [
        ["think", "hm"],
        ["words", 20],
        ["wait", "same1"],
        ["words", 20],
        ["wait", "same2"],
        ["words", 20],
    ]
    first = await chat(stack, script("same", *steps), resumable=True)
    with paused(
        next(worker for worker in stack.http_workers() if first.connection.served_by(worker))
    ):
        elsewhere = await resume(stack, first.id)
    await first.until(lambda answer: "same-19 " in answer.text)
    middle = await resume(stack, first.id, after=7)
    edge = await resume(stack, first.id, after=first.ids[-1])
    stack.open_gate("same1")
    await edge.until(lambda answer: answer.text.count("same-19 ") == 1)
    late = await resume(stack, first.id, after=0)
    stack.open_gate("same2")
    readers = [first, elsewhere, middle, edge, late]
    await asyncio.gather(*(reader.rest() for reader in readers))
    afterwards = await (await resume(stack, first.id)).rest()
    assert_whole(first, words("same", 20) * 3)
    whole = frames(first)
    assert frames(elsewhere) == frames(late) == frames(afterwards) == whole
    assert frames(middle) == whole[7:]
    assert frames(edge) == whole[edge.ids[0] - 1 :]


@asynchronous
async def test_a_resume_gives_exactly_the_rest_at_every_position(stack: Stack) -> None:
    steps: list[list[Any]] = [
        ["prefill", 1, 2],
        ["think", "hm"],
        ["words", 6],
        ["wait", "rest"],
        ["words", 6],
    ]
    first = await chat(stack, script("every", *steps), resumable=True)
    await first.until(lambda answer: "every-5 " in answer.text)
    so_far = len(first.ids)
    while_it_runs = [await resume(stack, first.id, position) for position in range(so_far + 1)]
    too_early = await resume(stack, first.id, so_far + 1)
    assert too_early.status == 400
    stack.open_gate("rest")
    await first.rest()
    whole = frames(first)
    assert first.ids == list(range(1, len(whole) + 1))
    for position, answer in enumerate(while_it_runs):
        assert frames(await answer.rest()) == whole[position:]
    connection = await Connection.open(stack)
    for position in range(len(whole)):
        answer = await connection.ask("GET", f"/chat/{first.id}?last_event_id={position}")
        assert frames(await answer.rest()) == whole[position:]
    for position, status in ((len(whole), 204), (len(whole) + 1, 400)):
        answer = await connection.ask(
            "GET", f"/chat/{first.id}", headers={"Last-Event-ID": str(position)}
        )
        assert (await answer.rest()).status == status


# Fast models and slow readers


@asynchronous
async def test_readers_that_never_read_cost_nobody_else_anything(stack: Stack) -> None:
    await (await chat(stack, "warm up")).rest()
    engine, workers = stack.engines()[0], stack.http_workers()
    engine_before = engine.memory_info().rss
    workers_before = sum(worker.memory_info().rss for worker in workers)
    reader = await chat(stack, script(LONG, ["wait", "flood"], ["words", 1200]), resumable=True)
    deaf = []
    for _ in range(6):
        connection = await Connection.open(stack, receive_buffer=4096)
        await connection.send("GET", f"/chat/{reader.id}")
        deaf.append(connection)
    await eventually(
        lambda: all(any(connection.served_by(worker) for worker in workers) for connection in deaf),
        "the deaf readers",
    )
    stack.open_gate("flood")
    await reader.rest()
    assert_whole(reader, words(LONG, 1200))
    assert all(any(connection.served_by(worker) for worker in workers) for connection in deaf)
    size = len(reader.raw)  # the log; a queue for each reader would take it six times more
    assert engine.memory_info().rss - engine_before < 2 * size
    assert sum(worker.memory_info().rss for worker in workers) - workers_before < 2 * size


@pytest.mark.long
@asynchronous
async def test_a_client_that_never_reads_is_dropped_and_its_model_stopped(
    start_stack: Callable[..., Stack],
) -> None:
    stack = start_stack(write_timeout=5)
    deaf = await chat(stack, script(LONG, ["words", 600], ["wait", "never"]), receive_buffer=4096)
    other = await chat(stack, script("other", ["say", "begun "], ["wait", "go"], ["say", "ended"]))
    await noted(stack, f"end {LONG}")
    await gone(stack, deaf.connection)
    stack.open_gate("go")
    assert_whole(await other.rest(), "begun ended")


@pytest.mark.long
@asynchronous
async def test_a_client_that_does_not_take_the_end_of_its_answer_is_dropped_as_well(
    start_stack: Callable[..., Stack],
) -> None:
    stack = start_stack(write_timeout=5, workers=1)
    await (await chat(stack, "warm up")).rest()
    worker = stack.http_workers()[0]
    before = worker.num_fds()
    deaf = []
    # What the buffers on the way take is the kernel's to say; of these sizes some end in the worker's own.
    for count in range(5, 400, 5):
        connection = await Connection.open(stack, receive_buffer=4096)
        body = {"prompt": script(f"{count}-" + LONG, ["words", count])}
        await connection.send("POST", "/chat", body, headers={"Connection": "close"})
        deaf.append(connection)
    await eventually(
        lambda: sum(line.startswith("end") for line in stack.journal()) > len(deaf),
        "the end of all",
    )
    await eventually(lambda: worker.num_fds() <= before, f"no more than {before} descriptors")


@pytest.mark.long
@asynchronous
async def test_a_burst_of_megabytes_arrives_unaltered_for_fast_and_slow_readers(
    start_stack: Callable[..., Stack], tmp_path: Path
) -> None:
    rng = random.Random(1)
    pieces = [
        "data: [DONE]\n\n",
        "id: 7\n",
        '"\\',
        "é",
        "漢字",
        "🙂",
        "\u2028",
        "\r\n",
        "\x00",
        "<b>",
        ": x\n\n",
        "a" * 9000,
    ]
    text = "".join(
        rng.choice(pieces) * rng.randint(1, 3) + rng.choice([" ", "", "\n"]) for _ in range(8000)
    )
    reply = tmp_path / "reply"
    reply.write_text(text, encoding="utf-8", newline="")
    stack = start_stack(
        model="simulated",
        simulated_reply_file=reply,
        simulated_min_delay_ms=0,
        simulated_max_delay_ms=0,
    )
    fast = await chat(stack, "x", resumable=True)
    slow = await resume(stack, fast.id, 0)
    slower = await chat(stack, "x")
    while await fast.pull(1 << 20):
        await slow.pull(4096)
    assert_whole(fast, text)
    assert_whole(await slow.rest(), text)
    assert bytes(slow.raw) == bytes(fast.raw)
    assert_whole(await slower.rest(), text)


@asynchronous
async def test_an_event_that_is_larger_than_a_window_follows_a_small_one_at_once(
    stack: Stack,
) -> None:
    answer = await chat(
        stack, script("large", ["say", "small "], ["say", CONTROL * 15_000], ["wait", "large"])
    )
    await answer.until(lambda answer: answer.text == "small " + CONTROL * 15_000)
    stack.open_gate("large")
    assert (await answer.rest()).done


# What happens in the middle of an event


@pytest.mark.long
@asynchronous
async def test_a_keep_alive_comment_never_falls_inside_an_event(
    start_stack: Callable[..., Stack],
) -> None:
    stack = start_stack(keep_alive=0.2)
    # One event that is larger than a window, and an engine that cannot go on while the rest of it is due.
    answer = await chat(
        stack,
        script(
            "a", ["say", "x" * 90_000], ["sleep", 0], ["block", 1.5], ["sleep", 1], ["say", "y"]
        ),
    )
    await answer.rest()
    assert_whole(answer, "x" * 90_000 + "y")
    assert b": keep-alive\n\n" in answer.raw


@asynchronous
async def test_an_engine_that_dies_ends_the_stream_of_a_slow_reader_with_an_error_and_not_inside_an_event(
    start_stack: Callable[..., Stack],
) -> None:
    stack = start_stack()
    slow = await chat(stack, script(LONG, ["words", 600], ["wait", "never"]), receive_buffer=4096)
    mark = await chat(stack, script("mark", ["words", 600]))
    await mark.rest()  # by now the other one has filled every buffer on the way
    stack.engines()[0].kill()
    await slow.rest()
    assert words(LONG, 600).startswith(slow.text)
    assert slow.error == "engine_lost"
    await eventually(stack.answers, "the engine's replacement")


# Clients that leave


@asynchronous
async def test_clients_that_leave_in_the_middle_of_fast_streams_cut_nobody_elses(
    stack: Stack,
) -> None:
    prompt = script("stays", ["say", "begun "], ["wait", "stays"], ["say", "ended"])
    staying = [
        await connection.ask("POST", "/chat", {"prompt": prompt})
        for connection in await connections_over_both_workers(stack, 2)
    ]
    for round_ in range(4):
        names = [f"leaves{round_}.{number}" for number in range(100)]
        leaving = [
            await connection.ask("POST", "/chat", {"prompt": script(name, ["words", 1_000_000])})
            for name, connection in zip(
                names, await connections_over_both_workers(stack, len(names)), strict=True
            )
        ]
        for answer in leaving:
            await answer.until(lambda answer: answer.text)
        for answer in leaving:  # all at once, so that a worker hears of it among their tokens
            answer.connection.abort()
        for name in names:
            await noted(stack, f"end {name}")
    stack.open_gate("stays")
    for answer in staying:
        assert_whole(await answer.rest(), "begun ended")


@pytest.mark.long
@asynchronous
async def test_four_hundred_abandoned_clients_leave_nothing_behind(
    start_stack: Callable[..., Stack],
) -> None:
    stack = start_stack(max_running=20)
    for connection in await connections_over_both_workers(stack, 4):
        await (await connection.ask("POST", "/chat", {"prompt": "warm up"})).rest()
        connection.close()
    processes = [*stack.http_workers(), *stack.engines()]
    before = [process.num_fds() for process in processes]
    gone: list[Connection] = []
    for number in range(20):
        answer = await chat(stack, script(f"r{number}", ["say", "x"], ["wait", "never"]))
        gone.append((await answer.until(lambda answer: answer.text)).connection)
    for number in range(200):
        answer = await chat(stack, script(f"q{number}", ["say", "x"], ["wait", "never"]))
        gone.append((await answer.until(lambda answer: answer.positions)).connection)
    for number in range(200):
        connection = await Connection.open(stack)
        if number % 4:
            await connection.send(
                "POST", "/chat", {"prompt": script(f"s{number}", ["say", "x"], ["wait", "never"])}
            )
        if number % 4 == 2:
            connection.abort()
        else:
            gone.append(connection)
    for number, connection in enumerate(gone):
        connection.close() if number % 2 else connection.abort()
    connection = await Connection.open(stack)
    body = {"prompt": script("served", ["words", 5])}
    while (served := await connection.ask("POST", "/chat", body)).status == 503:
        await served.rest()  # that they have left has not come round everywhere
    assert_whole(await served.rest(), words("served", 5))

    def names(what: str) -> set[str]:
        return {line[len(what) :] for line in stack.journal() if line.startswith(what)}

    # The last of those that left may still be heard of.
    await eventually(lambda: not stack.busy and names("start ") == names("end "), "an idle engine")
    await eventually(
        lambda: all(
            process.num_fds() <= count + 3 for process, count in zip(processes, before, strict=True)
        ),
        f"the file descriptors to be back at {before}",
    )


# Ways to connect


@asynchronous
async def test_a_connection_serves_on_after_a_stream(stack: Stack) -> None:
    connection = await Connection.open(stack)
    for number in range(3):
        body = {"prompt": script(f"k{number}", ["words", 5]), "resumable": True}
        answer = await (await connection.ask("POST", "/chat", body)).rest()
        assert_whole(answer, words(f"k{number}", 5))
        again = await (await connection.ask("GET", f"/chat/{answer.id}")).rest()
        assert again.raw == answer.raw
        refused = await (await connection.ask("POST", "/chat", {"prompt": ""})).rest()
        assert refused.status == 422


@asynchronous
async def test_pipelined_requests_are_answered_in_order_and_whole(stack: Stack) -> None:
    connection = await Connection.open(stack)
    for number in range(4):
        await connection.send("POST", "/chat", {"prompt": script(f"p{number}", ["words", 20])})
    await connection.send("GET", "/health")
    for number in range(4):
        assert_whole(await (await connection.answer()).rest(), words(f"p{number}", 20))
    assert (await (await connection.answer()).rest()).json() == {"status": "ok"}


@asynchronous
async def test_an_http_1_0_client_gets_the_plain_bytes_until_the_connection_closes(
    stack: Stack,
) -> None:
    connection = await Connection.open(stack)
    answer = await connection.ask(
        "POST", "/chat", {"prompt": script("old", ["words", 20])}, version="1.0"
    )
    await answer.rest()
    assert "transfer-encoding" not in answer.headers  # RFC 9112, section 6.1
    assert_whole(answer, words("old", 20))
