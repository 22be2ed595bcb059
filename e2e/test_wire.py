"""The wire, row by row, as clients of every kind meet it: what is asked, what is answered, what is refused."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any

import httpx
import pytest
from gunicorn.dirty import get_dirty_client, get_dirty_client_async
from gunicorn.dirty.client import close_dirty_client
from gunicorn.dirty.errors import DirtyError
from playwright.sync_api import Page

from e2e.stack import MODEL, Stack, http_client, wait_for

JSON = {"Content-Type": "application/json"}
MIB = 1024 * 1024
APP = "backend.engine.chat_app:ChatApp"

StartStack = Callable[..., Stack]


def script(name: str, *steps: list[Any]) -> str:
    return json.dumps({"name": name, "steps": steps})


def chat(stack: Stack, prompt: str, **more: Any) -> httpx.Response:
    return http_client.post(stack.url + "/chat", json={"prompt": prompt, **more})


def resume(stack: Stack, generation_id: str, after: int | str | None = None) -> httpx.Response:
    headers = {} if after is None else {"Last-Event-ID": str(after)}
    return http_client.get(f"{stack.url}/chat/{generation_id}", headers=headers)


def events(body: str) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in body.split("\n") if line.startswith("data: {")]


def text(body: str) -> str:
    return "".join(event.get("token", "") for event in events(body))


def ids(body: str) -> list[int]:
    return [int(line[4:]) for line in body.split("\n") if line.startswith("id: ")]


def check_problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Assert that a refusal has the shape of RFC 9457, and return it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert set(problem) - {"errors"} == {"type", "title", "status", "detail", "code"}
    assert problem["type"] == "about:blank"
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["title"] == HTTPStatus(status).phrase
    assert problem["detail"]
    return problem


@pytest.fixture(scope="module")
def small_stack() -> Iterator[Stack]:
    """One place to run, one to wait, and no patience with silence."""
    stack = Stack(max_running=1, max_queued=1, keep_alive=0.2, workers=1).start()
    yield stack
    stack.stop()


# An answer


def test_the_strictest_client_gets_nothing_but_data_lines_and_done(stack: Stack) -> None:
    response = chat(stack, "one two three")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    lines = response.text.split("\n")
    assert all(line == "" or line.startswith("data: ") for line in lines)
    assert lines[-3:] == ["data: [DONE]", "", ""]
    assert response.text.count("[DONE]") == 1
    assert [json.loads(line[6:]) for line in lines if line.startswith("data: {")] == [
        {"token": "one "},
        {"token": "two "},
        {"token": "three "},
        {
            "token": "",
            "finish_reason": "stop",
            "usage": {"prompt_tokens": 3, "completion_tokens": 3},
        },
    ]


def test_an_answer_is_neither_stored_nor_held_back_and_has_an_id_that_cannot_be_guessed(
    stack: Stack,
) -> None:
    first, second = chat(stack, "a").headers, chat(stack, "a").headers
    assert re.fullmatch("[0-9a-f]{40}", first["x-generation-id"])
    assert first["x-generation-id"][8:] != second["x-generation-id"][8:]
    assert "no-store" in first["cache-control"]
    assert "no-transform" in first["cache-control"]
    assert first["x-accel-buffering"] == "no"


def test_the_simulated_model_greets(simulated_stack: Stack) -> None:
    assert text(chat(simulated_stack, "hello").text).startswith(
        "Hello! I'm a simulated AI assistant"
    )


def test_a_thinking_answer_reads_well_for_a_client_that_only_joins_tokens(
    simulated_stack: Stack,
) -> None:
    body = chat(simulated_stack, "hello", thinking=True).text
    assert "[thinking" in text(body)
    assert re.match(r"\[thinking\.{3,}\]\n\nHello! I'm a", text(body))
    thinking = [event for event in events(body) if "thinking" in event]
    assert thinking[0] == {"token": "[thinking", "thinking": ""}
    assert thinking[-1] == {"token": "]\n\n", "thinking": ""}
    assert "The user wrote: hello" in "".join(event["thinking"] for event in thinking)


def test_a_single_thought_still_makes_three_dots(stack: Stack) -> None:
    body = chat(stack, script("a", ["think", "Hm."], ["say", "Yes."])).text
    assert text(body) == "[thinking...]\n\nYes."


def test_a_conversation_stands_in_the_place_of_a_prompt(stack: Stack) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "first question"},
        {"role": "assistant", "content": "answer"},
        {"role": "user", "content": "last question"},
    ]
    response = http_client.post(stack.url + "/chat", json={"messages": messages})
    assert text(response.text) == "last question "
    assert events(response.text)[-1]["usage"]["prompt_tokens"] == 2 + 2 + 1 + 2


def test_a_model_that_is_cut_off_by_max_tokens_says_so(simulated_stack: Stack) -> None:
    body = chat(simulated_stack, "hello", max_tokens=3).text
    assert text(body) == "Hello! I'm a "
    assert events(body)[-1]["finish_reason"] == "length"
    assert events(body)[-1]["usage"]["completion_tokens"] == 3
    assert body.endswith("data: [DONE]\n\n")


def test_a_failure_is_the_last_event_and_there_is_no_done(stack: Stack) -> None:
    for step, message in (
        (["tell", "Out of paper."], "Out of paper."),
        (["fail", "the password"], "The model failed while it was answering."),
    ):
        response = chat(stack, script("a", ["say", "begun"], step))
        assert response.status_code == 200
        assert events(response.text) == [
            {"token": "begun"},
            {"error": {"code": "model_error", "message": message}},
        ]
        assert "[DONE]" not in response.text


def test_the_progress_of_the_prompt_is_an_event(stack: Stack) -> None:
    body = chat(stack, script("a", ["prefill", 1, 10], ["say", "x"])).text
    assert events(body)[0] == {"token": "", "status": "prefill", "done": 1, "total": 10}


# Waiting and silence


def test_who_has_to_wait_is_told_the_place_and_who_cannot_even_wait_is_refused(
    small_stack: Stack,
) -> None:
    with ThreadPoolExecutor() as pool:
        first = pool.submit(chat, small_stack, script("first", ["wait", "line"], ["say", "1"]))
        small_stack.wait_journal("start first")
        second = pool.submit(chat, small_stack, script("second", ["say", "2"]))
        wait_for(lambda: small_stack.engine_states()[0]["queued"], "the second to wait")
        refused = chat(small_stack, "third")
        check_problem(refused, 503, "queue_full")
        assert int(refused.headers["retry-after"]) > 0
        small_stack.open_gate("line")
        assert text(first.result().text) == "1"
        body = second.result().text
    assert events(body)[0] == {"token": "", "status": "queued", "position": 1}
    assert text(body) == "2"


def test_a_silent_stream_carries_comments(small_stack: Stack) -> None:
    prompt = script("silent", ["say", "begun "], ["wait", "speak"], ["say", "ended"])
    with http_client.stream("POST", small_stack.url + "/chat", json={"prompt": prompt}) as response:
        seen = []
        for line in response.iter_lines():
            seen.append(line)
            if seen.count(": keep-alive") == 2:
                small_stack.open_gate("speak")
    assert text("\n".join(seen)) == "begun ended"
    for index, line in enumerate(seen):
        if line == ": keep-alive":
            assert seen[index - 1] == seen[index + 1] == ""  # never inside an event


# Coming back


def test_a_resumable_answer_numbers_its_events_from_1(stack: Stack) -> None:
    body = chat(stack, script("a", ["think", "Hm."], ["words", 5]), resumable=True).text
    blocks = body.split("\n\n")[:-1]
    assert ids(body) == list(range(1, len(blocks) + 1))
    assert all(re.fullmatch(r"id: \d+\ndata: .+", block) for block in blocks)
    assert blocks[-1] == f"id: {len(blocks)}\ndata: [DONE]"


def test_an_answer_goes_on_after_any_event_named_by_header_or_by_query(stack: Stack) -> None:
    response = chat(stack, "one two three", resumable=True)
    generation_id = response.headers["x-generation-id"]
    blocks = response.text.split("\n\n")[:-1]
    for position in range(len(blocks)):
        rest = "".join(block + "\n\n" for block in blocks[position:])
        for again in (
            resume(stack, generation_id, position),
            http_client.get(f"{stack.url}/chat/{generation_id}?last_event_id={position}"),
        ):
            assert again.status_code == 200
            assert again.headers["content-type"] == "text/event-stream; charset=utf-8"
            assert again.headers["x-generation-id"] == generation_id
            assert again.text == rest
    assert resume(stack, generation_id).text == response.text


def test_a_header_says_more_than_the_url_that_it_was_sent_with(stack: Stack) -> None:
    """As when the browser's EventSource reconnects: the URL still holds the position where it began."""
    response = chat(stack, "one two three", resumable=True)
    url = f"{stack.url}/chat/{response.headers['x-generation-id']}?last_event_id=1"
    assert ids(http_client.get(url, headers={"Last-Event-ID": "3"}).text) == [4, 5]


def test_coming_back_while_it_is_still_being_written_loses_and_repeats_nothing(
    stack: Stack,
) -> None:
    prompt = script("a", ["words", 10], ["wait", "halfway"], ["words", 10])
    body = {"prompt": prompt, "resumable": True}
    with http_client.stream("POST", stack.url + "/chat", json=body) as response:
        generation_id = response.headers["x-generation-id"]
        lines = []
        for line in response.iter_lines():
            lines.append(line)
            if line == "id: 7":
                break
    seen = "\n".join(lines[:-1])
    with ThreadPoolExecutor() as pool:
        again = pool.submit(resume, stack, generation_id, 6)
        twice = pool.submit(resume, stack, generation_id, 0)
        stack.open_gate("halfway")
        assert text(seen) + text(again.result().text) == text(twice.result().text)
    assert ids(again.result().text) == list(range(7, 23))
    assert text(twice.result().text) == "".join(f"a-{number} " for number in range(10)) * 2


def test_who_has_seen_everything_gets_204(stack: Stack) -> None:
    response = chat(stack, "one two", resumable=True)
    last = ids(response.text)[-1]
    again = resume(stack, response.headers["x-generation-id"], last)
    assert (again.status_code, again.content) == (204, b"")


@pytest.mark.parametrize("position", ["6", "99999999", "-1", "1.5", "one", "²", "9" * 30])
def test_a_position_that_does_not_exist_is_refused(stack: Stack, position: str) -> None:
    response = chat(stack, "one two", resumable=True)
    assert ids(response.text) == [1, 2, 3, 4]
    again = http_client.get(
        f"{stack.url}/chat/{response.headers['x-generation-id']}",
        headers={b"Last-Event-ID": position.encode()},
    )
    check_problem(again, 400, "invalid_position")


@pytest.mark.parametrize("generation_id", ["0" * 40, "abc", "sync", "a%20b", "é"])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_an_unknown_generation_is_404(stack: Stack, method: str, generation_id: str) -> None:
    response = http_client.request(method, f"{stack.url}/chat/{generation_id}")
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"


def test_an_answer_that_is_not_resumable_cannot_be_read_again(stack: Stack) -> None:
    response = chat(stack, "one two")
    check_problem(resume(stack, response.headers["x-generation-id"], 1), 404, "unknown_generation")


def test_the_browsers_own_event_source_reads_an_answer_and_stops_when_it_has_all(
    stack: Stack, page: Page
) -> None:
    generation_id = chat(stack, "one two three", resumable=True).headers["x-generation-id"]
    page.goto(stack.url + "/")
    # Left alone it comes back after the stream's end, names the last event, and hears 204: nothing comes twice.
    seen = page.evaluate(
        """(path) => new Promise((resolve) => {
            const seen = [];
            const source = new EventSource(path);
            source.onmessage = (event) => seen.push([event.lastEventId, event.data]);
            source.onerror = () => {
                if (source.readyState === EventSource.CLOSED) resolve(seen);
            };
        })""",
        f"chat/{generation_id}?last_event_id=1",
    )
    assert [int(event_id) for event_id, _ in seen] == [2, 3, 4, 5]
    assert json.loads(seen[0][1]) == {"token": "two "}
    assert seen[-1][1] == "[DONE]"


# Stopping


def test_a_stop_ends_every_stream_and_may_be_repeated(stack: Stack) -> None:
    prompt = script("stopped", ["say", "begun"], ["wait", "never"], ["say", "never said"])
    body = {"prompt": prompt, "resumable": True}
    with http_client.stream("POST", stack.url + "/chat", json=body) as response:
        generation_id = response.headers["x-generation-id"]
        parts = response.iter_text()
        seen = next(parts)
        for _ in range(2):
            stop = http_client.delete(f"{stack.url}/chat/{generation_id}")
            assert (stop.status_code, stop.content) == (204, b"")
        seen += "".join(parts)
    assert text(seen) == "begun"
    assert events(seen)[-1]["finish_reason"] == "cancelled"
    assert seen.endswith("data: [DONE]\n\n")
    stack.wait_journal("end stopped")
    assert resume(stack, generation_id, 0).text == seen


def test_stopping_what_has_ended_changes_nothing(stack: Stack) -> None:
    response = chat(stack, "one two", resumable=True)
    generation_id = response.headers["x-generation-id"]
    stopped = http_client.delete(f"{stack.url}/chat/{generation_id}")
    assert (stopped.status_code, stopped.content) == (204, b"")
    assert not {"content-type", "content-length"} & set(stopped.headers)
    assert resume(stack, generation_id).text == response.text


def test_a_client_that_leaves_stops_what_it_alone_could_read(stack: Stack) -> None:
    prompt = script("left", ["say", "begun"], ["wait", "never"])
    with http_client.stream("POST", stack.url + "/chat", json={"prompt": prompt}) as response:
        next(response.iter_text())
    stack.wait_journal("end left")


# The whole answer at once


def sync(stack: Stack, prompt: str, **more: Any) -> httpx.Response:
    return http_client.post(stack.url + "/chat/sync", json={"prompt": prompt, **more})


def test_the_whole_answer_at_once(stack: Stack) -> None:
    response = sync(stack, "one two")
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {"response": "one two "}


def test_the_whole_answer_at_once_with_what_was_thought(stack: Stack) -> None:
    steps = [["think", "Hm. "], ["think", "So."], ["say", "Yes."]]
    assert sync(stack, script("a", *steps)).json() == {"response": "Yes.", "thinking": "Hm. So."}


def test_a_failure_of_the_whole_answer_is_a_status(stack: Stack) -> None:
    failed = sync(stack, script("a", ["say", "begun"], ["tell", "Out of paper."]))
    assert check_problem(failed, 500, "model_error")["detail"] == "Out of paper."
    crashed = sync(stack, script("a", ["fail", "the password"]))
    check_problem(crashed, 500, "model_error")
    assert "password" not in crashed.text


@pytest.mark.parametrize("step", ["say", "think"])
def test_half_a_character_from_a_model_does_no_harm(stack: Stack, step: str) -> None:
    prompt = script("a", [step, "a\ud800b"], ["say", "c"])
    body = chat(stack, prompt).text
    assert any("a\ufffdb" in event.values() for event in events(body))
    assert "a\ufffdb" in sync(stack, prompt).json().values() or sync(stack, prompt).json() == {
        "response": "a\ufffdbc"
    }


# Health


def test_health_says_that_it_lives_and_ready_what_it_has(stack: Stack) -> None:
    assert http_client.get(stack.url + "/health").json() == {"status": "ok"}
    wait_for(
        lambda: http_client.get(stack.url + "/health/ready").json()["engines"][0]["running"] == 0,
        "earlier answers to end",
    )
    response = http_client.get(stack.url + "/health/ready")
    assert response.status_code == 200
    assert response.json()["status"] == "ready"
    [engine] = response.json()["engines"]
    assert (engine["state"], engine["queued"], engine["max_running"]) == ("ready", 0, 2000)
    assert engine["model"] == "e2e.scripted_model:ScriptedModel"


def models(stack: Stack) -> list[dict[str, Any]]:
    response = http_client.get(stack.url + "/models")
    assert response.status_code == 200
    [(name, found)] = response.json().items()
    assert name == "models"
    return list(found)


def test_the_models_are_listed_with_what_they_take(
    stack: Stack, simulated_stack: Stack, start_stack: StartStack
) -> None:
    scripted = {
        "id": MODEL,
        "name": MODEL,
        "takes": ["temperature", "top_p", "max_tokens"],
        "thinking": True,
        "system": True,
        "max_prompt_chars": 100_000,
        "context_tokens": None,
    }
    every = ["temperature", "top_p", "max_tokens", "stop", "seed"]
    assert models(stack) == [scripted]
    assert models(simulated_stack) == [
        {**scripted, "id": "simulated", "name": "Simulated model", "takes": every}
    ]
    loading = start_stack(
        ready=False,
        before=lambda stack: (stack.script / "hold-load").touch(),
        max_prompt_chars=70,
    )
    unknown = {**scripted, "takes": None, "thinking": None, "system": None, "max_prompt_chars": 70}
    assert models(loading) == [unknown]
    loading.open_gate("load")
    wait_for(lambda: models(loading) == [{**scripted, "max_prompt_chars": 70}], "what it takes")


def test_a_model_that_is_listed_can_be_asked(stack: Stack) -> None:
    [model] = models(stack)
    assert text(chat(stack, "a", model=model["id"]).text) == "a "
    refused = check_problem(chat(stack, "a", model="another"), 422, "unknown_model")
    assert model["id"] in refused["detail"]


# Refusals

A = b'{"prompt": "a"'
USER = b'{"role": "user", "content": "a"}'

# What is wrong: the body, the status, the code, the field that is named.
BAD_BODIES: dict[str, tuple[bytes, int, str, str | None]] = {
    "no prompt": (b"{}", 422, "invalid_request", "prompt"),
    "null prompt": (b'{"prompt": null}', 422, "invalid_request", "prompt"),
    "empty prompt": (b'{"prompt": ""}', 422, "invalid_request", "prompt"),
    "blank prompt": (b'{"prompt": " \\n\\t\\u00a0"}', 422, "invalid_request", "prompt"),
    "prompt too long": (
        b'{"prompt": "%b"}' % (b"x" * 100_001),
        422,
        "prompt_too_long",
        "prompt",
    ),
    "prompt is a number": (b'{"prompt": 5}', 422, "invalid_request", "prompt"),
    "prompt and messages": (
        A + b', "messages": [' + USER + b"]}",
        422,
        "invalid_request",
        "messages",
    ),
    "no messages": (b'{"messages": []}', 422, "invalid_request", "messages"),
    "messages too long together": (
        b'{"messages": [%b]}' % b", ".join([USER.replace(b'"a"', b'"%b"' % (b"x" * 1000))] * 101),
        422,
        "prompt_too_long",
        "messages",
    ),
    "last message is not the user's": (
        b'{"messages": [{"role": "assistant", "content": "a"}]}',
        422,
        "invalid_request",
        "messages",
    ),
    "last message is blank": (
        b'{"messages": [{"role": "user", "content": " "}]}',
        422,
        "invalid_request",
        "messages",
    ),
    "unknown role": (
        b'{"messages": [{"role": "tool", "content": "a"}]}',
        422,
        "invalid_request",
        "messages.0.role",
    ),
    "message without content": (
        b'{"messages": [{"role": "user"}]}',
        422,
        "invalid_request",
        "messages.0.content",
    ),
    "unknown field": (A + b', "colour": 1}', 422, "invalid_request", "colour"),
    "unknown field is half a character": (
        A + b', "\\ud800": 1}',
        422,
        "invalid_request",
        "body",
    ),
    "wrong type": (A + b', "thinking": "yes"}', 422, "invalid_request", "thinking"),
    "number for a flag": (A + b', "resumable": 1}', 422, "invalid_request", "resumable"),
    "a model that is not served": (A + b', "model": "x"}', 422, "unknown_model", "model"),
    "too hot": (A + b', "temperature": 2.5}', 422, "invalid_request", "temperature"),
    "not a number": (A + b', "temperature": NaN}', 422, "invalid_request", "temperature"),
    "no tokens": (A + b', "max_tokens": 0}', 422, "invalid_request", "max_tokens"),
    "too many stops": (A + b', "stop": ["a","b","c","d","e"]}', 422, "invalid_request", "stop"),
    "a setting that the model does not take": (
        A + b', "seed": 1}',
        422,
        "invalid_request",
        "seed",
    ),
    "not an object": (b'["prompt"]', 422, "invalid_request", "body"),
    "nothing": (b"", 422, "invalid_request", "body"),
    "not JSON": (b'{"prompt": ', 400, "malformed_body", None),
    "not UTF-8": (b'{"prompt": "\xff"}', 400, "malformed_body", None),
    "nested too deeply": (b"[" * 500_000, 400, "malformed_body", None),
    "a number of too many digits": (
        A + b', "seed": ' + b"1" * 10_000 + b"}",
        400,
        "malformed_body",
        None,
    ),
}


@pytest.mark.parametrize("path", ["/chat", "/chat/sync"])
@pytest.mark.parametrize("name", BAD_BODIES)
def test_a_bad_body_is_refused_by_name_and_nothing_runs(stack: Stack, name: str, path: str) -> None:
    body, status, code, field = BAD_BODIES[name]
    before = stack.journal()
    response = http_client.post(stack.url + path, content=body, headers=JSON)
    problem = check_problem(response, status, code)
    assert [error["field"] for error in problem.get("errors", [])] == ([field] if field else [])
    assert all(error["message"] for error in problem.get("errors", []))
    assert text(chat(stack, "next").text) == "next "
    assert stack.journal() == [*before, "start echo", "end echo"]


@pytest.mark.parametrize(
    "headers",
    [{}, {"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"}],
)
def test_a_body_that_does_not_claim_to_be_json_is_refused(
    stack: Stack, headers: dict[str, str]
) -> None:
    response = http_client.post(stack.url + "/chat", content=b'{"prompt": "a"}', headers=headers)
    check_problem(response, 415, "unsupported_media")


def test_half_a_character_in_a_prompt_does_no_harm(stack: Stack) -> None:
    body = b'{"prompt": "a\\ud800b \\ud83d\\ude00"}'
    response = http_client.post(stack.url + "/chat", content=body, headers=JSON)
    assert text(response.text) == "a\ufffdb 😀 "


def test_json_may_say_its_charset(stack: Stack) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    body = '{"prompt": "grüß 😀"}'.encode()
    response = http_client.post(stack.url + "/chat", content=body, headers=headers)
    assert text(response.text) == "grüß 😀 "


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_over_a_mebibyte_is_refused_whether_it_says_so_or_not(
    stack: Stack, declared: bool
) -> None:
    before = stack.journal()
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=30)
    connection.putrequest("POST", "/chat")
    connection.putheader("Content-Type", "application/json")
    if declared:  # not a byte of it has to be sent
        connection.putheader("Content-Length", str(MIB + 1))
        connection.endheaders()
    else:
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()
        for size in [MIB // 4] * 4 + [1]:
            connection.send(b"%x\r\n%b\r\n" % (size, b"x" * size))
    response = connection.getresponse()
    assert response.status == 413
    assert response.getheader("content-type") == "application/problem+json"
    problem = json.loads(response.read())
    assert (problem["code"], problem["status"]) == ("body_too_large", 413)
    connection.close()
    assert stack.journal() == before


def test_a_body_of_a_mebibyte_is_read(stack: Stack) -> None:
    body = b'{"prompt": "a"}'.ljust(MIB)
    assert text(http_client.post(stack.url + "/chat", content=body, headers=JSON).text) == "a "


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing/here", 404, "not_found"),
        ("POST", "/nothing", 404, "not_found"),
        ("GET", "/js/nothing.js", 404, "not_found"),
        ("GET", "/js/../../backend/app.py", 404, "not_found"),
        ("GET", "/js/%2e%2e/%2e%2e/backend/app.py", 404, "not_found"),
        ("GET", "/chat", 405, "method_not_allowed"),
        ("PUT", "/chat", 405, "method_not_allowed"),
        ("POST", "/chat/abc", 405, "method_not_allowed"),
        ("DELETE", "/health", 405, "method_not_allowed"),
    ],
)
def test_an_unknown_path_or_method_has_the_same_shape(
    stack: Stack, method: str, path: str, status: int, code: str
) -> None:
    response = http_client.request(method, stack.url + path)
    check_problem(response, status, code)
    assert (status == 405) == ("allow" in response.headers)


def test_who_leaves_out_v1_is_told_where_the_api_is(stack: Stack) -> None:
    response = http_client.post(stack.url + "/chat/completions", json={"messages": []})
    check_problem(response, 405, "method_not_allowed")
    assert "/v1/chat/completions" in response.json()["detail"]


# What it says of itself, and how it protects its readers


def test_the_description_of_the_api_shows_the_events(stack: Stack) -> None:
    paths = http_client.get(stack.url + "/openapi.json").json()["paths"]
    assert set(paths) >= {"/chat", "/chat/sync", "/chat/{generation_id}", "/health"}
    for operation in (paths["/chat"]["post"], paths["/chat/{generation_id}"]["get"]):
        [(media_type, content)] = operation["responses"]["200"]["content"].items()
        assert media_type == "text/event-stream"
        assert "X-Generation-Id" in operation["responses"]["200"]["headers"]
        examples = [example["value"] for example in content["examples"].values()]
        for example in examples:
            assert example.endswith("\n\n")
            assert events(example)
        for part in ("[DONE]", "id: 1", '"thinking"', '"queued"', '"error"', "finish_reason"):
            assert any(part in example for example in examples), part
    assert "application/problem+json" in paths["/chat"]["post"]["responses"]["422"]["content"]


def test_the_page_of_the_api_loads_from_here_alone(stack: Stack, page: Page) -> None:
    urls: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: urls.append(request.url))
    page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(stack.url + "/docs")
    operation = page.locator("#operations-chat-chat_sync_chat_sync_post")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.locator("textarea").fill('{"prompt": "hello"}')
    operation.get_by_role("button", name="Execute").click()
    operation.locator(".live-responses-table").get_by_text('"response"').wait_for()
    page.wait_for_load_state("networkidle")
    assert complaints == []
    assert all(url.startswith((stack.url + "/", "data:")) for url in urls), urls


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/docs"),
        ("GET", "/js/main.js"),
        ("GET", "/styles/theme.css"),
        ("GET", "/favicon.svg"),
        ("GET", "/files.json"),
        ("GET", "/health"),
        ("GET", "/models"),
        ("GET", "/openapi.json"),
        ("POST", "/chat"),
        ("GET", "/chat/" + "0" * 40),
        ("DELETE", "/chat/" + "0" * 40),
        ("POST", "/v1/chat/completions"),
        ("GET", "/v1/models"),
        ("GET", "/nothing"),
    ],
)
def test_every_answer_carries_the_security_headers(stack: Stack, method: str, path: str) -> None:
    headers = http_client.request(method, stack.url + path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "strict-transport-security" not in headers  # it came by plain http
    assert "server" not in headers
    assert "access-control-allow-origin" not in headers
    if path.startswith(("/js", "/styles", "/favicon", "/files")) or path == "/":
        assert headers["cache-control"] == "no-cache"
    else:
        assert headers["cache-control"] == "no-store"
    if path.startswith(("/js", "/styles")):
        return
    policy = headers["content-security-policy"]
    if path in ("/", "/docs"):
        for rule in ("default-src 'none'", "connect-src 'self'", "base-uri 'none'"):
            assert rule in policy
        assert "frame-ancestors 'none'" in policy
        assert "http:" not in policy
        assert "https:" not in policy
        assert "unsafe" not in policy
        assert headers["x-dns-prefetch-control"] == "off"
    else:
        assert policy == "default-src 'none'; frame-ancestors 'none'"
    if path == "/":
        assert "require-trusted-types-for 'script'; trusted-types service-worker" in policy
    if path != "/favicon.svg":
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-opener-policy"] == "same-origin"


def test_a_stream_carries_the_security_headers_too(stack: Stack) -> None:
    headers = chat(stack, "a").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


@pytest.mark.parametrize("accepted", ["gzip", "*", "gzip, identity;q=0"])
def test_a_stream_is_never_compressed(stack: Stack, accepted: str) -> None:
    """A compressor would keep tokens back until it has a block full of them."""
    headers = {"Accept-Encoding": accepted}
    body = {"prompt": "one " * 1000, "resumable": True}
    with http_client.stream("POST", stack.url + "/chat", json=body, headers=headers) as asked:
        sent = b"".join(asked.iter_raw())
    address = f"{stack.url}/chat/{asked.headers['x-generation-id']}"
    with http_client.stream("GET", address, headers=headers) as resumed:
        assert b"".join(resumed.iter_raw()) == sent
    assert sent.startswith(b"id: 1\ndata: {")
    assert "content-encoding" not in {*asked.headers, *resumed.headers}


# gunicorn's own dirty client


@pytest.fixture
def dirty_socket(simulated_stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where gunicorn's own dirty client finds the stack's dirty arbiter."""
    path = re.findall(r"Dirty arbiter listening on (.+)", simulated_stack.log())[-1]
    monkeypatch.setenv("GUNICORN_DIRTY_SOCKET", path)
    yield path
    close_dirty_client()


@pytest.mark.usefixtures("dirty_socket")
def test_gunicorns_own_client_streams_an_answer() -> None:
    tokens = list(get_dirty_client().stream(APP, "generate", "hello"))
    assert "".join(tokens).startswith("Hello! I'm a simulated AI assistant")
    assert tokens[:3] == ["Hello! ", "I'm ", "a "]


@pytest.mark.usefixtures("dirty_socket")
def test_gunicorns_own_client_streams_an_answer_with_thinking() -> None:
    tokens = list(get_dirty_client().stream(APP, "generate_with_thinking", "hello"))
    assert tokens[0] == "[thinking"
    assert re.match(r"\[thinking\.{3,}\]\n\nHello! I'm a", "".join(tokens))


@pytest.mark.usefixtures("dirty_socket")
def test_gunicorns_own_asynchronous_client_streams_an_answer() -> None:
    async def ask() -> str:
        client = await get_dirty_client_async()
        try:
            return "".join([token async for token in client.stream_async(APP, "generate", "hello")])
        finally:
            await client.close_async()

    with ThreadPoolExecutor() as pool:  # a thread without an event loop yet
        assert pool.submit(asyncio.run, ask()).result().startswith("Hello! I'm a simulated")


def test_gunicorns_own_client_is_told_of_a_failure(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = re.findall(r"Dirty arbiter listening on (.+)", stack.log())[-1]
    monkeypatch.setenv("GUNICORN_DIRTY_SOCKET", path)
    prompt = script("a", ["say", "begun"], ["tell", "Out of paper."])
    client = get_dirty_client()
    seen: list[str] = []
    try:
        with pytest.raises(DirtyError, match=r"Out of paper\."):
            seen.extend(client.stream(APP, "generate", prompt))
    finally:
        close_dirty_client()
    assert seen == ["begun"]
