"""Thousands of questions at once: who finds a place is answered, who finds none is told so, and nobody else notices."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable

import httpx
import psutil
import pytest

from backend.refusals import RUSH
from e2e.client import Answer, Connection, asynchronous, chat, script
from e2e.rush import Rush, connect, raise_file_limit, read_to_the_end, rush
from e2e.stack import Stack

REQUESTS = 10_000
MAX_RUNNING, MAX_QUEUED = 4, 256
# What 10,000 connections take that are open at once, and what allocators keep of it.
MORE_BYTES = 150 * 1024 * 1024


def question(prompt: str, more: bytes = b"") -> bytes:
    body = json.dumps({"prompt": prompt}).encode()
    head = b"POST /chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" + more
    return head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def memory_bytes(stack: Stack) -> int:
    """The memory that all processes of the stack hold for themselves."""
    return sum(process.memory_full_info().uss for process in stack.processes())


class Visitor:
    """Asks for the health of a stack again and again, as a load balancer does, and notes how long it took."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._ended = threading.Event()
        self.statuses: set[int] = set()
        self.seconds: list[float] = []
        self._thread = threading.Thread(target=self._visit)
        self._thread.start()

    def _visit(self) -> None:
        while not self._ended.wait(0.02):
            began = time.perf_counter()
            response = httpx.get(self._stack.url + "/health", timeout=120)
            self.seconds.append(time.perf_counter() - began)
            self.statuses.add(response.status_code)

    def leave(self) -> None:
        self._ended.set()
        self._thread.join()


def report(what: str, found: Rush, visitor: Visitor) -> None:
    print(
        f"{what}: {found.summary()}; health at most {max(visitor.seconds) * 1000:.0f} ms",
        flush=True,
    )


@pytest.mark.long
@pytest.mark.parametrize("opened_before", [True, False], ids=["opened before", "opening"])
@asynchronous
async def test_ten_thousand_at_once_fill_the_places_and_the_rest_are_refused(
    start_stack: Callable[..., Stack], opened_before: bool
) -> None:
    raise_file_limit()
    stack = start_stack(
        max_running=MAX_RUNNING,
        max_queued=MAX_QUEUED,
        write_timeout=600,  # nobody reads an answer before all have been asked
    )
    prompt = script("running", ["words", 3000], ["wait", "go"], ["say", "ended"])
    running = [
        await (await chat(stack, prompt)).until(lambda answer: answer.text)
        for _ in range(MAX_RUNNING)
    ]
    before = memory_bytes(stack)
    after: list[int] = []
    admitted: list[Rush] = []
    for round_ in range(2):  # in the second the line is full from the beginning
        connections = connect(stack.port, REQUESTS) if opened_before else None
        visitor = Visitor(stack)
        found = rush(stack.port, question("good morning"), REQUESTS, connections)
        visitor.leave()
        report("opened before" if opened_before else "opening", found, visitor)
        assert found.statuses == (
            {200: MAX_QUEUED, 503: REQUESTS - MAX_QUEUED} if not round_ else {503: REQUESTS}
        )
        assert b"queue_full" in found.heads[503]
        assert visitor.statuses == {200}
        after.append(memory_bytes(stack))
        admitted.append(found)
        for connection in set(connections or ()) - set(found.admitted):
            connection.close()
    print("MiB:", [round(size / 2**20) for size in (before, *after)], flush=True)
    assert after[0] - before < MORE_BYTES
    assert after[1] - after[0] < MORE_BYTES / 5
    stack.open_gate("go")
    for answer in running:
        assert (await answer.rest()).text.endswith("running-2999 ended")
    for text in read_to_the_end(admitted[0]):
        assert text.count(b'{"token": "good "}') == text.count(b'{"token": "morning "}') == 1
        assert text.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    assert stack.answers()


@asynchronous
async def test_who_is_refused_in_a_rush_hears_the_same_as_from_an_engine_and_may_ask_again(
    start_stack: Callable[..., Stack],
) -> None:
    stack = start_stack(max_running=1, max_queued=0, workers=1)
    for process in stack.processes():  # each connection is an open file
        soft, hard = process.rlimit(psutil.RLIMIT_NOFILE)
        assert soft == hard
    running = await chat(stack, script("running", ["say", "begun"], ["wait", "go"]))
    await running.until(lambda answer: answer.text)
    crowd = [await Connection.open(stack) for _ in range(5 * RUSH)]
    by_engine: list[Answer] = []
    beforehand: list[Answer] = []
    while not beforehand:
        for connection in crowd:
            await connection.send_raw(question("no place"))
        for connection in crowd:
            answer = await (await connection.answer()).rest()
            assert (answer.status, answer.json()["code"]) == (503, "queue_full")
            (by_engine if "x-request-id" in answer.headers else beforehand).append(answer)
    assert by_engine
    heads = []
    for answer in (by_engine[0], beforehand[0]):
        answer.headers.pop("date")
        answer.headers.pop("x-request-id", None)
        heads.append((answer.headers, answer.json()))
    assert heads[0] == heads[1]
    stack.open_gate("go")
    await running.rest()
    while (answer := await crowd[0].ask("POST", "/chat", {"prompt": "a place"})).status == 503:
        await answer.rest()
    assert (await answer.rest()).text == "a place "


@asynchronous
async def test_whoever_sees_an_answer_end_has_its_place_at_once(
    start_stack: Callable[..., Stack],
) -> None:
    """Of a place that is free again an HTTP worker hears from the engine a little later than a client may."""
    stack = start_stack(max_running=1, max_queued=0)
    for number in range(RUSH):
        answer = await chat(stack, f"number {number}")
        assert (await answer.rest()).text == f"number {number} "
