from __future__ import annotations

import inspect
import json
from typing import Any, get_args

import pytest
from openai.resources.chat.completions import AsyncCompletions, Completions
from openai.types.chat import (
    ChatCompletionAssistantMessageParam,
    ChatCompletionContentPartTextParam,
    ChatCompletionDeveloperMessageParam,
    ChatCompletionStreamOptionsParam,
    ChatCompletionSystemMessageParam,
    ChatCompletionUserMessageParam,
)
from pydantic import ValidationError

from backend.errors import InvalidRequest, PromptTooLong, UnknownModel
from backend.link import NOBODY
from backend.openai_request import (
    CONTENT_PART,
    MESSAGE,
    REQUEST,
    STREAM_OPTIONS,
    CompletionRequest,
    Rules,
    StreamOptions,
    TextPart,
)
from backend.schemas import Message
from backend.settings import Settings

USER = {"role": "user", "content": "hello"}
# What the official client keeps for itself.
OF_THE_CLIENT = {"self", "extra_headers", "extra_query", "extra_body", "timeout"}
ASKS_FOR_MORE: dict[str, list[Any]] = {
    "audio": [{"voice": "alloy", "format": "wav"}],
    "frequency_penalty": [0.5, -2],
    "function_call": [{"name": "f"}],
    "functions": [[{"name": "f"}]],
    "logit_bias": [{"50256": -100}],
    "logprobs": [True],
    "modalities": [["text", "audio"], ["audio"]],
    "moderation": [{"model": "omni-moderation-latest"}],
    "n": [2, 0],
    "presence_penalty": [0.5],
    "response_format": [{"type": "json_object"}, {"type": "json_schema", "json_schema": {}}],
    "tool_choice": ["required", {"type": "function"}],
    "tools": [[{"type": "function", "function": {"name": "f"}}]],
    "top_logprobs": [3],
    "verbosity": ["low", "high"],
    "web_search_options": [{}],
}


def asked(**body: Any) -> Any:
    settings = Settings(
        _env_file=None,
        model="simulated,openai/llama3.2:3b",
        max_prompt_chars=100,
    )
    body = {"model": "simulated", "messages": [USER], **body}
    return CompletionRequest.model_validate(body).to_generation(settings)


def refused(**body: Any) -> str:
    """The name of the parameter that is refused."""
    with pytest.raises(InvalidRequest) as refusal:
        asked(**body)
    [error] = refusal.value.errors
    assert error["message"]
    return error["field"]


# Every parameter that there is


@pytest.mark.parametrize("kind", [Completions, AsyncCompletions])
def test_every_parameter_of_the_official_client_is_taken_or_harmless_or_refused(kind: Any) -> None:
    parameters = set(inspect.signature(kind.create).parameters) - OF_THE_CLIENT
    assert parameters <= {*CompletionRequest.model_fields, *REQUEST.harmless, *REQUEST.neutral}


@pytest.mark.parametrize(
    ("kind", "model", "rules"),
    [
        (ChatCompletionDeveloperMessageParam, Message, MESSAGE),
        (ChatCompletionSystemMessageParam, Message, MESSAGE),
        (ChatCompletionUserMessageParam, Message, MESSAGE),
        (ChatCompletionAssistantMessageParam, Message, MESSAGE),
        (ChatCompletionContentPartTextParam, TextPart, CONTENT_PART),
        (ChatCompletionStreamOptionsParam, StreamOptions, STREAM_OPTIONS),
    ],
)
def test_so_is_every_part_of_one(kind: Any, model: Any, rules: Rules) -> None:
    assert set(kind.__annotations__) <= {*model.model_fields, *rules.harmless, *rules.neutral}


@pytest.mark.parametrize("name", sorted(REQUEST.harmless))
@pytest.mark.parametrize("value", ["x", 7, True, [1], {"a": None}])
def test_what_is_harmless_changes_nothing(name: str, value: Any) -> None:
    assert asked(**{name: value}) == asked()


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, values in REQUEST.neutral.items() for value in values],
)
def test_a_value_that_asks_for_nothing_is_taken(name: str, value: Any) -> None:
    assert asked(**{name: value}) == asked()


def test_something_is_tried_of_everything_that_can_be_refused() -> None:
    assert set(ASKS_FOR_MORE) == set(REQUEST.neutral)


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in ASKS_FOR_MORE.items() for value in values]
)
def test_what_could_change_the_text_is_refused_by_name(name: str, value: Any) -> None:
    assert refused(**{name: value}) == name


@pytest.mark.parametrize("name", ["top_k", "colour", "prompt", "resumable", "thinking", "\ud800"])
def test_what_nobody_knows_is_refused_by_name(name: str) -> None:
    assert refused(**{name: 1}) == name.replace("\ud800", "\ufffd")


@pytest.mark.parametrize(
    "name",
    sorted(
        {*CompletionRequest.model_fields, *REQUEST.harmless, *REQUEST.neutral, "colour"}
        - {"model", "messages"}
    ),
)
def test_null_sets_nothing(name: str) -> None:
    assert asked(**{name: None}) == asked()


# What is asked


def test_a_question_is_a_generation_like_any_other() -> None:
    assert asked() == {
        "model": "simulated",
        "messages": [USER],
        "thinking": False,
        "resumable": False,
        "sampling": {},
        "queue": False,
        "caller": NOBODY,
    }


@pytest.mark.parametrize(
    ("body", "sampling"),
    [
        ({"temperature": 0, "top_p": 1, "seed": -1}, {"temperature": 0, "top_p": 1, "seed": -1}),
        ({"stop": "END"}, {"stop": ["END"]}),
        ({"stop": ["a", "b"]}, {"stop": ["a", "b"]}),
        ({"stop": []}, {}),
        ({"stop": ""}, {}),
        ({"max_tokens": 5}, {"max_tokens": 5}),
        ({"max_completion_tokens": 5}, {"max_tokens": 5}),
        ({"max_completion_tokens": 5, "max_tokens": 5}, {"max_tokens": 5}),
    ],
)
def test_a_sampling_setting_reaches_the_model_under_its_name(
    body: dict[str, Any], sampling: dict[str, Any]
) -> None:
    assert asked(**body)["sampling"] == sampling


def test_two_maxima_that_differ_are_refused() -> None:
    assert refused(max_tokens=5, max_completion_tokens=6) == "max_completion_tokens"


@pytest.mark.parametrize(
    ("effort", "template", "thinking"),
    [
        (None, None, False),
        ("none", None, False),
        ("minimal", None, False),
        ("low", None, True),
        ("medium", None, True),
        ("xhigh", None, True),
        (None, True, True),
        (None, False, False),
        ("high", True, True),
        ("none", False, False),
    ],
)
def test_thinking_is_asked_for_in_either_of_two_ways(
    effort: str | None, template: bool | None, thinking: bool
) -> None:
    template_options = {"enable_thinking": template}
    body = {"reasoning_effort": effort, "chat_template_kwargs": template_options}
    assert asked(**body)["thinking"] is thinking


@pytest.mark.parametrize(("effort", "template"), [("high", False), ("none", True)])
def test_two_ways_that_contradict_each_other_are_refused(effort: str, template: bool) -> None:
    body = {
        "reasoning_effort": effort,
        "chat_template_kwargs": {"enable_thinking": template},
    }
    assert refused(**body) == "reasoning_effort"


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (None, False),
        ({}, False),
        ({"include_usage": True}, True),
        ({"include_usage": None}, False),
        ({"include_usage": True, "include_obfuscation": False}, True),
        ({"include_usage": True, "continuous_usage_stats": False}, True),
    ],
)
def test_usage_is_told_in_a_stream_only_where_it_is_asked_for(options: Any, wanted: bool) -> None:
    request = CompletionRequest.model_validate(
        {"model": "simulated", "messages": [USER], "stream_options": options}
    )
    assert request.stream_options.include_usage is wanted


@pytest.mark.parametrize("name", ["include_obfuscation", "continuous_usage_stats", "colour"])
def test_what_a_stream_cannot_tell_is_refused_by_name(name: str) -> None:
    assert refused(stream_options={name: True}) == f"stream_options.{name}"


# Messages


def test_a_conversation_of_every_role_is_taken() -> None:
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": "c", "reasoning_content": "Hm.", "tool_calls": []},
        {"role": "system", "content": ""},
        USER,
    ]
    assert asked(messages=messages)["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "a\nb"},
        {"role": "assistant", "content": "c"},
        {"role": "system", "content": ""},
        USER,
    ]


def test_an_answer_as_the_client_has_read_it_can_be_sent_back() -> None:
    answer: dict[str, Any] = {
        "role": "assistant",
        "content": None,
        "reasoning_content": "Hm.",
        "refusal": None,
        "annotations": [],
        "audio": None,
        "function_call": None,
        "tool_calls": None,
    }
    assert asked(messages=[answer, USER])["messages"][0] == {"role": "assistant", "content": ""}


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}
TEXT = {"type": "text", "text": "a"}


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ({"role": "tool", "content": "4", "tool_call_id": "1"}, "role"),
        ({"role": "function", "content": "4", "name": "f"}, "role"),
        ({"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}, "tool_calls"),
        ({"role": "assistant", "function_call": {"name": "f"}}, "function_call"),
        ({"role": "assistant", "audio": {"id": "1"}}, "audio"),
        ({"role": "assistant", "content": "", "refusal": "I must not."}, "refusal"),
        ({"role": "user", "content": "a", "name": "Ada"}, "name"),
        ({"role": "user", "content": "a", "colour": "red"}, "colour"),
        ({"role": "user", "content": [TEXT, IMAGE]}, "content.1.type"),
        ({"role": "user", "content": [{"type": "input_audio"}]}, "content.0.type"),
        ({"role": "user", "content": [{"type": "file"}]}, "content.0.type"),
        ({"role": "assistant", "content": [{"type": "refusal"}]}, "content.0.type"),
        ({"role": "user", "content": ["a"]}, "content.0.type"),
        ({"role": "user", "content": [{"type": "text"}]}, "content.0.text"),
        ({"role": "user", "content": [{**TEXT, "colour": 1}]}, "content.0.colour"),
    ],
)
def test_what_a_message_cannot_hold_is_refused_by_name(message: Any, field: str) -> None:
    assert refused(messages=[USER, message, USER]) == f"messages.1.{field}"


@pytest.mark.parametrize(
    ("body", "location"),
    [
        ({"messages": "hello"}, "messages"),
        ({"messages": ["hello"]}, "messages.0"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages.0.content"),
        ({"messages": [{"role": "critic", "content": "a"}]}, "messages.0.role"),
        ({"messages": None}, "messages"),
        ({"model": None}, "model"),
        ({"model": 7}, "model"),
        ({"temperature": 2.5}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": -1}, "max_completion_tokens"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stop": ["a", ""]}, "stop.1"),
        ({"stop": ["\ud800"]}, "stop.0"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": True}, "stream_options"),
        ({"chat_template_kwargs": {"colour": 1}}, "chat_template_kwargs.colour"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_by_name(body: dict[str, Any], location: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        asked(**body)
    [error] = refusal.value.errors()
    assert ".".join(map(str, error["loc"])) == location


@pytest.mark.parametrize(
    "messages",
    [[], [{"role": "assistant", "content": "a"}], [{"role": "user", "content": " "}]],
)
def test_the_last_message_is_the_users(messages: Any) -> None:
    assert refused(messages=messages) == "messages"


def test_the_checks_of_the_other_api_hold_here_too() -> None:
    assert asked(model="openai/llama3.2:3b")["model"] == "openai/llama3.2:3b"
    with pytest.raises(UnknownModel):
        asked(model="gpt-4o")
    with pytest.raises(PromptTooLong):
        asked(messages=[USER] * 21)
    half = {"role": "user", "content": "a\ud800"}
    assert asked(messages=[half])["messages"][0]["content"] == "a\ufffd"


def test_the_description_names_all_that_is_taken() -> None:
    schema = CompletionRequest.model_json_schema()
    for example in schema["examples"]:
        assert asked(**example) == asked()
    properties = schema["properties"]
    taken = {name for name, values in REQUEST.neutral.items() if values}
    assert set(properties) == {*CompletionRequest.model_fields, *REQUEST.harmless, *taken}
    roles = properties["messages"]["items"]["properties"]["role"]["enum"]
    assert roles == ["system", "developer", "user", "assistant"]
    json.dumps(properties)


def test_only_our_roles_are_told_to_a_model() -> None:
    assert set(get_args(Message.model_fields["role"].annotation)) == {"system", "user", "assistant"}
