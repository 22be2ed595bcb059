"""What clients of OpenAI's chat API send: which parameters are taken, which are harmless, and which are refused.

Nothing that could change the text is ever ignored. The parameters are those of OpenAI's API reference ("Create chat
completion"); `chat_template_kwargs` is vLLM's and SGLang's.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, model_validator

from backend import link, sse
from backend.schemas import Message, Messages, Sampling, Strict, generation, invalid
from backend.settings import Settings


class Rules(NamedTuple):
    """What an object may hold besides the fields of its model. Null sets nothing, so it is taken for every name.

    `harmless`: cannot change the text, whatever it says. `neutral`: could, so that only these values are taken, which
    ask for nothing; none where every value asks for something. Any other name is refused.
    """

    harmless: frozenset[str]
    neutral: dict[str, tuple[Any, ...]]


REQUEST = Rules(
    harmless=frozenset(
        {
            "metadata",
            "parallel_tool_calls",  # of no tools
            "prediction",  # what the answer may resemble, for speed
            "prompt_cache_key",
            "prompt_cache_options",
            "prompt_cache_retention",
            "safety_identifier",
            "service_tier",
            "store",
            "user",
        }
    ),
    neutral={
        "audio": (),
        "frequency_penalty": (0,),
        "function_call": ("none", "auto"),
        "functions": ([],),
        "logit_bias": ({},),
        "logprobs": (False,),
        "modalities": (["text"],),
        "moderation": (),
        "n": (1,),
        "presence_penalty": (0,),
        "response_format": ({"type": "text"},),
        "tool_choice": ("none", "auto"),
        "tools": ([],),
        "top_logprobs": (0,),
        "verbosity": ("medium",),
        "web_search_options": (),
    },
)
# `name` says who speaks, which our models are not told; an answer's own `annotations` may come back empty.
MESSAGE = Rules(
    # What a model has thought is never part of the next prompt: not its text but that of its answer goes on.
    harmless=frozenset({"reasoning_content", "reasoning"}),
    neutral={
        "annotations": ([],),
        "audio": (),
        "function_call": (),
        "name": (),
        "refusal": (),
        "tool_calls": ([],),
    },
)
CONTENT_PART = Rules(
    harmless=frozenset({"cache_control", "prompt_cache_breakpoint"}),
    neutral={},
)
STREAM_OPTIONS = Rules(
    harmless=frozenset(),
    neutral={"continuous_usage_stats": (False,), "include_obfuscation": (False,)},
)
NO_THINKING = ("none", "minimal")  # values of `reasoning_effort`

MAX_NAME_CHARS = 80  # of what a client sends and an error repeats


class TextPart(Strict):
    """A piece of a message."""

    type: Literal["text"]
    text: str


class StreamOptions(Strict):
    """What a stream tells besides the answer."""

    include_usage: bool = False


class TemplateOptions(Strict):
    """What clients of vLLM and SGLang send to a model's chat template."""

    enable_thinking: bool | None = None


def _describe(schema: dict[str, Any]) -> None:
    """Add to the description of a request what `_take` takes beyond the fields."""
    question = {"role": "user", "content": "hello"}
    schema["examples"] = [{"model": "simulated", "messages": [question], "stream": True}]
    properties = schema["properties"]
    text = {"type": "string"}
    parts = {"type": "array", "items": TextPart.model_json_schema()}
    properties["messages"]["items"] = {
        "type": "object",
        "properties": {
            "role": {"enum": ["system", "developer", "user", "assistant"]},
            "content": {"anyOf": [text, parts]},
            "reasoning_content": {**text, "description": "taken, and not part of the prompt"},
        },
        "required": ["role", "content"],
    }
    null = {"type": "null"}
    schema["additionalProperties"] = null
    for name in ("stream", "chat_template_kwargs"):
        properties[name] = {"anyOf": [properties[name], null]}
    options = {name: {"enum": [*values, None]} for name, values in STREAM_OPTIONS.neutral.items()}
    options["include_usage"] = {"type": ["boolean", "null"]}
    properties["stream_options"] = {
        "type": ["object", "null"],
        "properties": options,
        "additionalProperties": null,
    }
    properties["stop"] = {"anyOf": [text, {"type": "array", "items": text, "maxItems": 4}, null]}
    for name in sorted(REQUEST.harmless):
        properties[name] = {"description": "taken, and changes nothing"}
    for name, values in REQUEST.neutral.items():
        if values:
            properties[name] = {
                "enum": [*values, None],
                "description": "any other value is refused",
            }


class CompletionRequest(Sampling):
    """A conversation to go on with; the last message is the user's."""

    model_config = ConfigDict(json_schema_extra=_describe)

    model: str = Field(description="one of `GET /v1/models`")
    messages: Messages
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    max_completion_tokens: Annotated[int, Field(ge=1, le=2**63 - 1)] | None = Field(
        None, description="the newer name of max_tokens"
    )
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = (
        Field(
            None,
            description="let the model think first, unless it is `none` or `minimal`; how long is its own affair",
        )
    )
    chat_template_kwargs: TemplateOptions = Field(
        TemplateOptions(), description="`enable_thinking` says the same"
    )

    @model_validator(mode="before")
    @classmethod
    def _take(cls, body: Any) -> Any:
        """Bring a body into our form, and refuse by name what it asks for and this API cannot do."""
        if not isinstance(body, dict):
            return body
        body = _settle(body, cls, REQUEST)
        if isinstance(body.get("messages"), list):
            body["messages"] = [
                _take_message(message, f"messages.{index}.")
                for index, message in enumerate(body["messages"])
            ]
        if isinstance(body.get("stream_options"), dict):
            body["stream_options"] = _settle(
                body["stream_options"], StreamOptions, STREAM_OPTIONS, "stream_options."
            )
        if body.get("stop") in ("", []):
            del body["stop"]
        elif isinstance(body.get("stop"), str):
            body["stop"] = [body["stop"]]
        return body

    @property
    def thinking(self) -> bool:
        """Whether the model shall think first. Raises `InvalidRequest` where two settings contradict each other."""
        template = self.chat_template_kwargs.enable_thinking
        if self.reasoning_effort is None:
            return bool(template)
        effort = self.reasoning_effort not in NO_THINKING
        if template is not None and template != effort:
            raise invalid(
                "reasoning_effort", "reasoning_effort and enable_thinking contradict each other."
            )
        return effort

    def sampling(self) -> dict[str, Any]:
        """Return the settings that the client has set, under our names. Raises `InvalidRequest` for two maxima."""
        limit = self.max_completion_tokens
        if limit is None:
            return super().sampling()
        if self.max_tokens not in (None, limit):
            raise invalid(
                "max_completion_tokens", "max_tokens and max_completion_tokens are not the same."
            )
        return super().sampling() | {"max_tokens": limit}

    def to_generation(
        self, settings: Settings, caller: link.Caller = link.NOBODY
    ) -> link.GenerationRequest:
        """Return what an engine is asked. Raises what `schemas.generation` raises."""
        return generation(
            settings,
            model=self.model,
            messages=self.messages,
            thinking=self.thinking,
            resumable=False,
            sampling=self.sampling(),
            caller=caller,
        )


def _settle(
    given: dict[str, Any], model: type[BaseModel], rules: Rules, at: str = ""
) -> dict[str, Any]:
    """Return what is left for `model` of what was given. Raises `InvalidRequest`, which names what is refused."""
    left = {}
    for name, value in given.items():
        if value is None or name in rules.harmless:
            continue
        if name in model.model_fields:
            left[name] = value
        elif not _is_one_of(value, neutral := rules.neutral.get(name, ())):
            name = sse.well_formed(at + name)[:MAX_NAME_CHARS]
            only = " or ".join(map(json.dumps, neutral))
            raise invalid(
                name, f"{name}: only {only} is supported." if only else f"{name} is not supported."
            )
    return left


def _is_one_of(value: Any, values: tuple[Any, ...]) -> bool:
    """Compare as JSON does, where false is not 0."""
    return any(
        value == each and isinstance(value, bool) == isinstance(each, bool) for each in values
    )


def _take_message(message: Any, at: str) -> Any:
    if not isinstance(message, dict):
        return message
    role = message.get("role")
    if role in ("tool", "function"):
        raise invalid(f"{at}role", f"{at}role: tools are not supported.")
    left = _settle(message, Message, MESSAGE, at)
    if role == "developer":
        left["role"] = "system"
    if isinstance(left.get("content"), list):
        left["content"] = "\n".join(
            _take_part(part, f"{at}content.{index}.") for index, part in enumerate(left["content"])
        )
    elif role == "assistant":
        left.setdefault("content", "")
    return left


def _take_part(part: Any, at: str) -> str:
    """Return a content part's text; parts are paragraphs, as in vLLM and llama.cpp's server."""
    kind = part.get("type") if isinstance(part, dict) else None
    if kind != "text":
        name = sse.well_formed(str(kind))[:MAX_NAME_CHARS]
        raise invalid(f"{at}type", f"{at}type: {name} is not supported, only text.")
    text = _settle(part, TextPart, CONTENT_PART, at).get("text")
    if not isinstance(text, str):
        raise invalid(f"{at}text", f"{at}text: must be a string.")
    return text
