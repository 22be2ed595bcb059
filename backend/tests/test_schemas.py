from __future__ import annotations

import json
from typing import Any

import pytest

from backend.errors import InvalidRequest, PromptTooLong
from backend.link import NOBODY
from backend.schemas import EVENT_EXAMPLES, ChatRequest
from backend.settings import Settings


def generation(limit: int = 1000, **body: Any) -> Any:
    settings = Settings(_env_file=None, model="my.models:Served,simulated", max_prompt_chars=limit)
    return ChatRequest.model_validate_json(json.dumps(body)).to_generation(settings)


def test_a_prompt_is_a_conversation_of_one_message() -> None:
    assert generation(prompt=" hello ") == {
        "model": None,
        "messages": [{"role": "user", "content": " hello "}],
        "thinking": False,
        "resumable": False,
        "sampling": {},
        "queue": False,
        "caller": NOBODY,
    }


def test_a_conversation_and_its_settings_are_taken_as_they_are() -> None:
    messages = [
        {"role": "system", "content": ""},
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "b"},
    ]
    sampling: dict[str, Any] = {
        "temperature": 0,
        "top_p": 1,
        "max_tokens": 1,
        "stop": [],
        "seed": -5,
    }
    asked = generation(messages=messages, thinking=True, resumable=True, **sampling)
    assert asked["messages"] == messages
    assert (asked["thinking"], asked["resumable"]) == (True, True)
    assert asked["sampling"] == sampling  # a 0 that the client set is set


def test_the_limit_counts_the_characters_of_all_messages() -> None:
    messages = [{"role": "user", "content": "é" * 5}, {"role": "user", "content": "é" * 5}]
    generation(10, messages=messages)
    with pytest.raises(PromptTooLong, match="10 characters") as refused:
        generation(9, messages=messages)
    assert refused.value.errors[0]["field"] == "messages"
    with pytest.raises(PromptTooLong) as refused:
        generation(9, prompt="x" * 10)
    assert refused.value.errors[0]["field"] == "prompt"


def test_a_model_may_be_named_and_has_to_be_served() -> None:
    for name in ("my.models:Served", "simulated", None):
        assert generation(prompt="a", model=name)["model"] == name
    with pytest.raises(InvalidRequest, match=r"Served: my\.models:Served, simulated") as refused:
        generation(prompt="a", model="another")
    assert refused.value.errors[0]["field"] == "model"


def test_a_model_is_given_whole_characters_only() -> None:
    asked = ChatRequest(prompt="a\ud800b \ud83d\ude00").to_generation(Settings(_env_file=None))
    assert asked["messages"][0]["content"] == "a\ufffdb 😀"


def test_the_documented_events_are_events() -> None:
    for example in EVENT_EXAMPLES.values():
        blocks = example["value"].split("\n\n")
        assert blocks.pop() == ""
        for block in blocks:
            data = block.rpartition("data: ")[2]
            assert data == "[DONE]" or json.loads(data)
