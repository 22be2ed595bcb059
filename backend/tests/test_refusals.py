from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest

from backend import metrics
from backend.refusals import PATHS, RUSH, RUSH_S, Refusals
from backend.tests.clock import Clock

pytestmark = pytest.mark.anyio

BODY = b'{"prompt": "hello"}'


class Engines:
    """As many places as a test says."""

    def __init__(self, room: float) -> None:
        self._room = room

    def room(self) -> float:
        return self._room


async def refusals(
    room: float,
    on_refused: Callable[[str], object] = lambda path: None,
    clock: Callable[[], float] | None = None,
) -> Refusals:
    """Return what refuses a rush that has begun."""
    made = Refusals(Engines(room), on_refused, clock or Clock())
    await made.prepare()
    for _ in range(RUSH if not room else 0):
        assert made.answer(question()) is None
    return made


def question(path: str = "/chat", body: bytes = BODY, *headers: str, length: int = -1) -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: localhost",
        *headers,
        f"Content-Length: {len(body) if length < 0 else length}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


@pytest.mark.parametrize("path", PATHS)
async def test_a_question_that_finds_no_room_is_refused_in_the_words_of_its_api(path: str) -> None:
    told: list[str] = []
    full = await refusals(0, told.append)
    answer = full.answer(question(path))
    assert answer
    head, _, body = answer.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
    assert int(headers["retry-after"]) > 0
    assert int(headers["content-length"]) == len(body)
    assert headers["cache-control"] == "no-store"
    problem = json.loads(body)
    assert (problem["error"] if path.startswith("/v1/") else problem)["code"] == "queue_full"
    assert told == [path]


async def test_an_answer_that_is_made_ready_is_not_counted_as_given() -> None:
    labels = {"code": "queue_full"}
    before = metrics.REGISTRY.get_sample_value("burble_refusals_total", labels)
    await refusals(0)
    assert metrics.REGISTRY.get_sample_value("burble_refusals_total", labels) == before


async def test_in_a_rush_only_as_many_pass_at_a_time_as_there_is_room_for() -> None:
    three = await refusals(3)
    passed = [three.answer(question()) is None for _ in range(100)]
    assert passed == [True] * (3 + RUSH) + [False] * (97 - RUSH)
    await asyncio.sleep(0)  # now the engines' client knows of those that passed
    assert [three.answer(question()) is None for _ in range(5)] == [True] * 3 + [False] * 2


async def test_a_few_that_find_no_room_are_left_to_the_engines_again_and_again() -> None:
    """They may know of a place that has just fallen free."""
    clock = Clock()
    full = await refusals(0, clock=clock)
    assert full.answer(question()) is not None
    for _ in range(3):
        clock.now += 3 * RUSH_S
        for _ in range(RUSH):
            assert full.answer(question()) is None
        assert full.answer(question()) is not None


async def test_a_rush_is_over_once_few_come() -> None:
    clock = Clock()
    full = await refusals(0, clock=clock)
    assert full.answer(question()) is not None
    for count, passing in ((RUSH + 1, 0), (RUSH, 0), (1, 1)):
        clock.now += 1.5 * RUSH_S
        passed = [full.answer(question()) is None for _ in range(count)]
        assert passed.count(True) == passing


@pytest.mark.parametrize(
    "data",
    [
        b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
        question("/chats"),
        question("/chat/" + "0" * 40),
        question("/chat?x=1"),
        question().replace(b"POST", b"DELETE"),
        question().replace(b"HTTP/1.1", b"HTTP/1.0"),
    ],
)
async def test_nothing_but_questions_is_refused(data: bytes) -> None:
    assert (await refusals(0)).answer(data) is None


@pytest.mark.parametrize(
    "data",
    [
        question()[:-1],  # the rest comes later
        question()[:40],
        question() + b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
        question().replace(b"Content-Length", b"Content-Type"),
        question("/chat", BODY, "Transfer-Encoding: chunked"),
        question("/chat", BODY, "Content-Length: 3"),
        question("/chat", BODY, "X: y\r\n Content-Length: 3"),
        question("/chat", BODY, "X-Content-Length: 3"),
        question("/chat", BODY, "X: y\nZ: 1"),
        question("/chat", BODY, "X: y\rZ: 1"),
        question().replace(b"Content-Length:", b"Content-Length :"),
        question().replace(b"Content-Length: ", b"Content-Length: +"),
        question("/chat", BODY, "Connection: close"),
        question("/chat", BODY, "Expect: 100-continue"),
        question("/chat", BODY, "Connection: Upgrade", "Upgrade: websocket"),
    ],
)
async def test_what_is_not_plainly_one_whole_question_goes_to_the_real_parser(data: bytes) -> None:
    assert (await refusals(0)).answer(question()) is not None
    assert (await refusals(0)).answer(data) is None
