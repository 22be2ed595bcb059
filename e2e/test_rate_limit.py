"""How much one account may ask for, over all processes of a real stack."""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import psutil
import pytest

from e2e.client import Answer, Connection, asynchronous, chat, eventually, script, stop
from e2e.stack import Stack, http_client, paused, wait_for

StartStack = Callable[..., Stack]

LIMIT = 20
MANY = 200
ROUTES: dict[str, Callable[[str], dict[str, Any]]] = {
    "/chat": lambda prompt: {"prompt": prompt},
    "/chat/sync": lambda prompt: {"prompt": prompt},
    "/v1/chat/completions": lambda prompt: {
        "model": "e2e.scripted_model:ScriptedModel",
        "messages": [{"role": "user", "content": prompt}],
        "stream": True,
    },
}


def rows(stack: Stack) -> list[tuple[int]]:
    """The processes that hold places, one for each place."""
    file = stack.folder / "state" / "counts.sqlite3"
    try:
        connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=5)
    except sqlite3.OperationalError:
        return []  # it is not there yet
    try:
        return connection.execute("SELECT pid FROM leases").fetchall()
    except sqlite3.OperationalError:
        return []  # the table is not
    finally:
        connection.close()


async def everything_runs(stack: Stack) -> None:
    """Wait for all of eight HTTP workers and two engines."""
    await eventually(lambda: len(stack.http_workers()) == 8, "8 workers", 90)
    stack.wait_for_engines(2)


async def at_once(stack: Stack, count: int, path: str = "", **fields: Any) -> list[Answer]:
    """Open so many connections, then ask on all of them, over all routes unless one is named."""
    connections = [await Connection.open(stack) for _ in range(count)]
    routes = [path] if path else list(ROUTES)
    asked = []
    for number, connection in enumerate(connections):
        route = routes[number % len(routes)]
        prompt = script(f"n{number}", ["say", "hello "], *fields.get("steps", []))
        more = {name: value for name, value in fields.items() if name != "steps"}
        asked.append(connection.ask("POST", route, {**ROUTES[route](prompt), **more}))
    return await asyncio.gather(*asked)


def by_status(answers: list[Answer]) -> dict[int, list[Answer]]:
    return {
        status: [answer for answer in answers if answer.status == status]
        for status in {answer.status for answer in answers}
    }


@pytest.mark.long
@asynchronous
async def test_exactly_as_many_questions_pass_over_all_workers_routes_and_engines(
    start_stack: StartStack,
) -> None:
    stack = start_stack(workers=8, dirty_workers=2, limit_requests_per_minute=LIMIT)
    await everything_runs(stack)
    began = time.monotonic()
    answers = by_status(await at_once(stack, MANY))
    assert time.monotonic() - began < 55, "too slow to tell: the minute moves on"
    assert {status: len(found) for status, found in answers.items()} == {
        200: LIMIT,
        429: MANY - LIMIT,
    }
    left = []
    for answer in answers[200]:
        await answer.rest()
        assert answer.headers["ratelimit-policy"] == f'"minute";q={LIMIT};w=60'
        match = re.fullmatch(r'"minute";r=(\d+);t=(\d+)', answer.headers["ratelimit"])
        assert match
        assert 0 < int(match[2]) <= 60
        left.append(int(match[1]))
    assert sorted(left) == list(range(LIMIT))
    shapes: Counter[tuple[bool, str]] = Counter()
    for answer in answers[429]:
        await answer.rest()
        body = answer.json()
        code = body["error"]["code"] if "error" in body else body["code"]
        shapes["error" in body, code] += 1
        assert 0 < int(answer.headers["retry-after"]) <= 60
        assert answer.headers["ratelimit"].startswith('"minute";r=0;t=')
    assert set(shapes) == {(False, "rate_limited"), (True, "rate_limited")}
    # Refused before the model heard of it.
    assert len([line for line in stack.journal() if line.startswith("start ")]) == LIMIT


@pytest.mark.long
@asynchronous
async def test_exactly_as_many_run_at_once_and_each_end_gives_a_place_back(
    start_stack: StartStack,
) -> None:
    stack = start_stack(workers=8, dirty_workers=2, limit_concurrent_generations=LIMIT)
    await everything_runs(stack)
    fields: dict[str, Any] = {"path": "/chat", "resumable": True, "steps": [["wait", "end"]]}

    async def ask(count: int) -> list[Answer]:
        answers = by_status(await at_once(stack, count, **fields))
        assert sum(map(len, answers.values())) == count
        assert set(answers) <= {200, 429}
        for refused in answers.get(429, []):
            assert (await refused.rest()).json()["code"] == "too_many_generations"
            assert refused.headers["retry-after"] == "2"
            assert refused.headers["ratelimit"] == '"concurrent";r=0'
        return answers.get(200, [])

    running = await ask(MANY)
    assert len(running) == LIMIT

    # A reader that leaves gives nothing back: the answer goes on. One that is stopped does.
    for answer in running[:5]:
        answer.connection.close()
    for answer in running[5:8]:
        assert await stop(stack, answer.id) == 204
    await eventually(lambda: len(rows(stack)) == LIMIT - 3, "three free places")
    assert len(await ask(MANY)) == 3

    # An HTTP worker's death ends no resumable answer, so it frees no place.
    engines = {engine.pid for engine in stack.engines()}
    await eventually(
        lambda: [pid in engines for (pid,) in rows(stack)] == [True] * LIMIT,
        "each place to be an engine's",
    )
    worker = stack.http_workers()[0]
    worker.kill()
    await eventually(lambda: not worker.is_running(), "the worker's end")
    assert len(await ask(30)) == 0

    # An engine's death frees those that it had.
    victim = stack.engines()[0]
    had = Counter(pid for (pid,) in rows(stack))[victim.pid]
    assert 0 < had < LIMIT
    victim.kill()
    await eventually(
        lambda: victim not in stack.engines() and len(stack.engines()) == 2, "another engine"
    )
    assert len(await ask(MANY)) == had

    stack.open_gate("end")
    await eventually(lambda: not rows(stack), "every place to be free")


@pytest.mark.long
@asynchronous
async def test_a_place_whose_http_worker_died_before_an_engine_had_it_is_free(
    start_stack: StartStack,
) -> None:
    stack = start_stack(workers=2, limit_concurrent_generations=1, dirty_timeout=300)
    (engine,) = stack.engines()
    # Known from now on: nothing connects to an engine that stands still for ever.
    assert stack.dirty_arbiter()
    with paused(engine):
        waiting = await Connection.open(stack)
        prompt = {"prompt": script("a", ["say", "hello"])}
        await waiting.send("POST", "/chat", prompt)
        await eventually(lambda: rows(stack), "a place")
        assert (await chat(stack, script("b", ["say", "hello"]))).status == 429
        ((pid,),) = rows(stack)
        worker = psutil.Process(pid)
        worker.kill()
        await eventually(
            lambda: worker not in (now := stack.http_workers()) and len(now) == 2, "another worker"
        )
        next_one = await Connection.open(stack)
        await next_one.send("POST", "/chat", prompt)
        await eventually(lambda: [row for row in rows(stack) if row != (pid,)], "its place")
    assert (await (await next_one.answer()).rest()).text == "hello"


@pytest.mark.long
def test_tokens_of_a_day_are_counted_over_restarts(start_stack: StartStack, tmp_path: Path) -> None:
    limits = {"state_dir": tmp_path / "state", "limit_tokens_per_day": 20, "dirty_workers": 2}

    def ask(stack: Stack) -> Any:
        return http_client.post(stack.url + "/chat/sync", json={"prompt": "one two three four"})

    first = start_stack(**limits)
    answer = ask(first)
    assert answer.headers["RateLimit"] == '"tokens";r=20;t=86400'
    first.stop()
    second = start_stack(**limits)
    answer = ask(second)
    assert re.fullmatch(r'"tokens";r=12;t=86[34]\d\d', answer.headers["RateLimit"])
    # What runs when the server stops is charged as well.
    asked = {"prompt": script("runs", ["words", 10], ["wait", "never"])}
    with http_client.stream("POST", second.url + "/chat", json=asked):
        second.wait_journal("start runs")
        second.interrupt()
        wait_for(lambda: second.returncode is not None, "the end")
    third = start_stack(**limits)
    answer = ask(third)
    assert answer.status_code == 429
    assert answer.json()["code"] == "tokens_used_up"
    assert 86000 < int(answer.headers["Retry-After"]) <= 86400
    assert answer.headers["RateLimit"].startswith('"tokens";r=0;t=86')


@pytest.mark.long
def test_openai_s_client_comes_back_when_it_may(start_stack: StartStack) -> None:
    stack = start_stack(limit_concurrent_generations=1, limit_tokens_per_day=30)
    refused = 0

    def count(response: Any) -> None:
        """Let the place fall free once a client has been refused that may try again."""
        nonlocal refused
        refused += response.status_code == 429
        if refused == 2:
            stack.open_gate("end")
            wait_for(lambda: not rows(stack), "a free place")

    http = openai.DefaultHttpxClient(event_hooks={"response": [count]}, timeout=60)
    client = openai.OpenAI(
        base_url=stack.url + "/v1", api_key="none", max_retries=1, http_client=http
    )
    asked: Any = {"model": "e2e.scripted_model:ScriptedModel"}
    asked["messages"] = [{"role": "user", "content": "one two"}]
    held = {"prompt": script("held", ["say", "x "], ["wait", "end"])}
    with http_client.stream("POST", stack.url + "/chat", json=held) as stream:
        stack.wait_journal("start held")
        with pytest.raises(openai.RateLimitError) as raised:
            client.with_options(max_retries=0).chat.completions.create(**asked)
        assert raised.value.code == "too_many_generations"
        assert raised.value.type == "rate_limit_error"
        assert client.chat.completions.create(**asked).choices[0].message.content == "one two "
        assert refused == 2
        stream.read()
    with pytest.raises(openai.RateLimitError) as raised:
        all(client.chat.completions.create(**asked) for _ in range(10))
    assert raised.value.code == "tokens_used_up"
    http.close()


@pytest.mark.long
@asynchronous
async def test_counts_that_cannot_be_written_refuse_and_say_so(start_stack: StartStack) -> None:
    def break_it(stack: Stack) -> None:
        folder = stack.folder / "state"
        folder.mkdir(0o700)
        (folder / "counts.sqlite3").write_bytes(os.urandom(10_000))

    stack = start_stack(before=break_it, workers=1, limit_requests_per_minute=LIMIT)
    for answer in await at_once(stack, 30):
        assert answer.status == 503
        assert answer.headers["retry-after"] == "5"
        assert "counts_unavailable" in (await answer.rest()).raw.decode()
    await eventually(lambda: "counts.sqlite3 cannot be used" in stack.log(), "the line in the log")
    assert stack.log().count("counts.sqlite3 cannot be used") == 1
    assert "Traceback" not in stack.log()
    (stack.folder / "state" / "counts.sqlite3").unlink()
    assert (await chat(stack, "hello")).status == 200


@asynchronous
async def test_without_limits_nothing_is_made_and_nothing_told(stack: Stack) -> None:
    for answer in await at_once(stack, 3):
        assert answer.status == 200
        assert not [name for name in answer.headers if name.startswith("ratelimit")]
        await answer.rest()
    assert not (stack.folder / "state").exists()
