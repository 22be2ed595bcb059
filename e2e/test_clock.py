"""A clock that jumps by hours, as when a machine wakes or is told the right time, while answers are written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from e2e.client import Connection, asynchronous, chat, eventually, resume, script, words
from e2e.stack import ROOT, Stack

HOUR_S = 3600


def with_a_clock_that_jumps(stack: Stack) -> None:
    stack.python_path.insert(0, ROOT / "e2e" / "jumping_clock")


@pytest.mark.long
@asynchronous
async def test_nothing_depends_on_what_the_clock_says(start_stack: Callable[..., Stack]) -> None:
    stack = start_stack(before=with_a_clock_that_jumps, keep_alive=1, dirty_timeout=30)
    finished = await (await chat(stack, "all is said", resumable=True)).rest()
    steps: list[list[Any]] = [
        ["words", 50],
        ["wait", "first"],
        ["words", 50],
        ["wait", "last"],
        ["say", "end"],
    ]
    running = await chat(stack, script("running", *steps), resumable=True)
    unread = await chat(stack, script("unread", *steps), resumable=True)
    unread.connection.close()
    await running.until(lambda answer: answer.text == words("running", 50))
    created = []
    for hours, gate in ((6, "first"), (-12, "last")):
        (stack.script / "clock").write_text(str(hours * HOUR_S))
        openai = await Connection.open(stack)
        body = {
            "model": "e2e.scripted_model:ScriptedModel",
            "messages": [{"role": "user", "content": "x"}],
        }
        answer = await (await openai.ask("POST", "/v1/chat/completions", body)).rest()
        created.append(answer.json()["created"])
        before = running.raw.count(b": keep-alive")
        await running.until(lambda answer, seen=before: answer.raw.count(b": keep-alive") > seen)  # type: ignore[misc]
        assert (await (await resume(stack, finished.id)).rest()).raw == finished.raw
        assert (await (await resume(stack, finished.id, len(finished.ids))).rest()).status == 204
        # Whoever watches the processes must not take them for dead either.
        (engine,) = stack.engines()
        stack.open_gate(gate)
        assert (await (await chat(stack, "good morning")).rest()).text == "good morning "
        assert stack.engines() == [engine]
    assert created[0] - created[1] > 17 * HOUR_S  # it did jump
    text = words("running", 50) * 2 + "end"
    assert (await running.rest()).text == text
    rest = await (await resume(stack, running.id, 10)).rest()
    assert rest.ids == running.ids[10:]
    assert (await (await resume(stack, unread.id)).rest()).finish_reason == "stop"
    engine.kill()
    await eventually(lambda: [each for each in stack.engines() if each != engine], "a new engine")
    assert (await (await chat(stack, "good morning")).rest()).text == "good morning "
