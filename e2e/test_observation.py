"""What those who run a stack see of it: metrics over all its processes, and its logs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from backend.keys import hash_of
from e2e.client import asynchronous, chat, resume, script, stop
from e2e.stack import Stack, http_client, wait_for

StartStack = Callable[..., Stack]
Samples = dict[str, float]

KEY = "burble_a-key-that-nobody-may-read"
PROMPT = "xylophone"


def scrape(stack: Stack) -> Samples:
    """All samples, by name and labels as they are written."""
    text = http_client.get(stack.url + "/metrics").text
    return {
        sample.name + json.dumps(sample.labels, sort_keys=True): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(samples: Samples, name: str, *labels: str) -> float:
    """The sum of the samples with this name, and with these in their labels."""
    return sum(
        value
        for key, value in samples.items()
        if key.startswith(name + "{") and all(f'"{label}"' in key for label in labels)
    )


def of_engines(samples: Samples) -> Samples:
    """Without what the asking itself changes."""
    return {key: value for key, value in samples.items() if "burble_http" not in key}


@asynchronous
async def test_all_http_workers_tell_the_same(start_stack: StartStack) -> None:
    stack = start_stack()
    wait_for(lambda: stack.log().count("startup complete") == 2, "both HTTP workers")
    for number in range(4):
        await (await chat(stack, script(f"m{number}", ["say", "one "], ["say", "two "]))).rest()
    waiting = await chat(stack, script("m4", ["say", "one "], ["wait", "m4"]), resumable=True)
    await waiting.until(lambda answer: answer.events)
    await (await resume(stack, waiting.id, 1)).connection.send("GET", "/health")

    expected = {
        "burble_generations_total stop": 4,
        "burble_completion_tokens_total": 8,
        "burble_time_to_first_token_seconds_count": 5,
        "burble_time_between_tokens_seconds_count": 4,  # which an engine tells a moment later
        "burble_resumes_total": 1,
        "burble_generations_running": 1,  # which an engine tells each HTTP worker
    }
    found: dict[str, float] = {}

    def settled() -> bool:
        told = [of_engines(scrape(stack)) for _ in range(6)]  # each on a connection of its own
        found.update({what: total(told[0], *what.split()) for what in expected})
        return found == expected and all(other == told[0] for other in told)

    try:
        wait_for(settled, "six times the same")
    finally:
        assert found == expected
    assert await stop(stack, waiting.id) == 204
    await waiting.rest()
    wait_for(lambda: total(scrape(stack), "burble_generations_total", "cancelled") == 1, "the stop")
    wait_for(lambda: total(scrape(stack), "burble_generations_running") == 0, "none that runs")


@pytest.mark.long
@asynchronous
async def test_no_counter_goes_back_when_processes_die_and_no_engine_that_is_gone_runs_on(
    start_stack: StartStack,
) -> None:
    stack = start_stack()
    wait_for(lambda: stack.log().count("startup complete") == 2, "both HTTP workers")
    for name in ("a", "b"):
        await (await chat(stack, script(name, ["say", "one "]))).rest()
    running = await chat(stack, script("c", ["say", "one "], ["wait", "never"]))
    await running.until(lambda answer: answer.events)
    wait_for(lambda: total(scrape(stack), "burble_generations_running") == 1, "one that runs")
    seen = scrape(stack)

    def check() -> Samples:
        nonlocal seen
        now = scrape(stack)
        for key, value in seen.items():
            if re.match(r"burble_\w+_(total|count|sum|bucket)\{", key):
                assert now[key] >= value, key
        seen = now
        return now

    (engine,) = stack.engines()
    engine.kill()
    await running.rest()
    assert running.error == "engine_lost"
    wait_for(lambda: engine not in stack.engines(), "its end")
    wait_for(
        lambda: total(check(), "burble_link_errors_total", "engine_lost") == 2,
        "the loss of each HTTP worker's link",
    )
    wait_for(lambda: total(check(), "burble_engines", "ready") == 1, "another engine")
    wait_for(lambda: total(check(), "burble_generations_running") == 0, "none that runs")
    assert total(check(), "burble_generations_total", "engine_lost") == 1
    workers = stack.http_workers()
    workers[0].kill()
    wait_for(lambda: workers[0] not in stack.http_workers(), "the end of an HTTP worker")
    wait_for(lambda: len(stack.http_workers()) == 2 and stack.answers(), "another one")
    check()
    stack.hup()
    old = {worker.pid for worker in workers}
    wait_for(
        lambda: not old & {worker.pid for worker in stack.http_workers()} and stack.answers(),
        "new HTTP workers",
    )
    wait_for(lambda: engine.pid not in {each.pid for each in stack.engines()}, "a new engine")
    wait_for(lambda: total(check(), "burble_engines", "ready") == 1, "the reload")
    now = check()
    assert total(now, "burble_link_errors_total", "engine_lost") == 2  # who leaves is not lost
    assert total(now, "burble_generations_total", "stop") == 2
    # The files of the dead were folded: two for each process that lives, and for those that do not.
    counting = len(stack.http_workers()) + len(stack.engines())
    most = 2 * (counting + 1 + len(old))
    files = stack.runtime_folder / "metrics"
    wait_for(lambda: len(list(files.glob("*.db"))) <= most, f"no more than {most} files")


@pytest.mark.long
@asynchronous
async def test_metrics_want_a_key_where_there_are_keys(start_stack: StartStack) -> None:
    stack = start_stack(api_keys=f"anna:{hash_of(KEY)}")
    assert http_client.get(stack.url + "/metrics").status_code == 401
    headers = {"Authorization": f"Bearer {KEY}"}
    assert http_client.get(stack.url + "/metrics", headers=headers).status_code == 200


def ask(stack: Stack, prompt: str) -> dict[str, Any]:
    """Ask with the key; return the headers of the answer."""
    response = http_client.post(
        stack.url + "/chat?token=" + KEY,
        json={"prompt": prompt},
        headers={"Authorization": f"Bearer {KEY}", "Cookie": f"session={PROMPT}"},
    )
    assert PROMPT in response.text
    return dict(response.headers)


@pytest.mark.long
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_line_tells_a_prompt_an_answer_or_a_key(
    start_stack: StartStack, log_format: str
) -> None:
    stack = start_stack(
        model="e2e.leaky_model:Leaky", api_keys=f"anna:{hash_of(KEY)}", log_format=log_format
    )
    ask(stack, f"{PROMPT} and more")
    ask(stack, f"{PROMPT} item")
    http_client.post(stack.url + "/chat", json={"prompt": 7, PROMPT: PROMPT})
    http_client.get(stack.url + f"/{PROMPT}", headers={"Authorization": "Bearer " + KEY + "x"})
    wait_for(lambda: "set, not str, Delta" in stack.log(), "what was yielded, by its type")
    wait_for(lambda: stack.log().count("RuntimeError") >= 1, "the model's exception")
    stack.interrupt()
    wait_for(lambda: stack.returncode is not None, "the end")
    log = stack.log()
    assert PROMPT not in log
    assert KEY not in log
    assert "The answer" not in log
    # What operators need is there: where it was, what it was, and what led to it.
    for told in (
        "leaky_model.py", "in generate", "RuntimeError", "KeyError", "[Errno 28] No space left on device",
        "Task exception was never retrieved", "Exception in callback", "A thread has failed",
        "An exception that could not be raised was ignored", "a library warns: ValueError",
        "a warning of a library's",
    ):  # fmt: skip
        assert told in log, told


@pytest.mark.long
def test_debug_shows_what_exceptions_say(start_stack: StartStack) -> None:
    stack = start_stack(model="e2e.leaky_model:Leaky", log_level="debug", allow_anonymous=1)
    http_client.post(stack.url + "/chat", json={"prompt": PROMPT})
    wait_for(lambda: f"RuntimeError: {PROMPT}" in stack.log(), "the text")


@pytest.mark.long
def test_json_logs_are_an_object_on_each_line_of_every_process(start_stack: StartStack) -> None:
    stack = start_stack(
        model="e2e.leaky_model:Leaky",
        api_keys=f"anna:{hash_of(KEY)}",
        log_format="json",
        dirty_workers=2,
    )
    headers = ask(stack, f"{PROMPT} and more")
    before = stack.engines()
    stack.hup()
    # To start takes as long as it does in `Stack.start`.
    wait_for(lambda: stack.log().count("startup complete") == 4, "two more HTTP workers", 60)
    # Not one that leaves by itself.
    wait_for(lambda: set(stack.engines()) - set(before), "another engine", 60).pop().kill()
    wait_for(lambda: "killed by signal" in stack.log(), "the dirty arbiter's line")
    stack.interrupt()
    wait_for(lambda: stack.returncode is not None, "the end")
    lines = [json.loads(line) for line in stack.log().splitlines()]
    for line in lines:
        assert {"time", "level", "logger", "message", "pid"} <= line.keys(), line
        assert datetime.fromisoformat(line["time"]).tzinfo
    assert len({line["pid"] for line in lines}) >= 6
    assert any("Burble is up" in line["message"] for line in lines)
    (request,) = [line for line in lines if line.get("route") == "/chat"]
    (generation,) = [line for line in lines if "end" in line]
    ids = {
        "request_id": headers["x-request-id"],
        "generation_id": headers["x-generation-id"],
        "owner": "anna",
    }
    assert request.items() >= {"method": "POST", "status": 200, **ids}.items()
    assert request["duration_s"] > 0
    assert generation.items() >= {
        "model": "e2e.leaky_model:Leaky", "end": "model_error", "completion_tokens": 1, **ids,
    }.items()  # fmt: skip
    assert 0 < generation["first_token_s"] < generation["duration_s"]
    (failure,) = [line for line in lines if "The model failed in" in line["message"]]
    assert failure["generation_id"] == ids["generation_id"]
    assert failure["request_id"] == ids["request_id"]
    assert "leaky_model.py" in failure["traceback"]
