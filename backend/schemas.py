"""What clients send and get: the JSON bodies of the API, and the events of a stream as the API's page shows them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from backend import link, sse
from backend.errors import InvalidRequest, PromptTooLong, UnknownModel
from backend.settings import Settings

Role = Literal["system", "user", "assistant"]


class Strict(BaseModel):
    """A body that is taken literally: no unknown field, no number in place of a string."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Message(Strict):
    """One turn of a conversation."""

    role: Role
    content: str


# `fail_fast`: to tell all that is wrong with 100,000 messages takes seconds.
Messages = Annotated[list[Message], Field(fail_fast=True)]


class Sampling(Strict):
    """The settings that a model takes if its class names them; a request with another one is refused."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=2**63 - 1)] | None = None
    # With a least length lone surrogates are refused as well, which no model could be told.
    stop: Annotated[list[Annotated[str, Field(min_length=1)]], Field(max_length=4)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), le=2**63 - 1)] | None = None

    def sampling(self) -> dict[str, Any]:
        """Return the settings that the client has set."""
        return self.model_dump(include=set(link.SAMPLING), exclude_none=True)


class ChatRequest(Sampling):
    """A question: either `prompt` alone, or the whole conversation in `messages`, the last one the user's."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"prompt": "hello"},
                {"prompt": "explain", "thinking": True, "resumable": True},
            ]
        }
    )

    prompt: str | None = None
    messages: Messages | None = None
    model: str | None = Field(None, description="one of `GET /models`")
    thinking: bool = Field(False, description="let the model think first, and show what it thinks")
    resumable: bool = Field(
        False,
        description="number the events, and let the generation outlive a lost connection for a while",
    )

    @model_validator(mode="after")
    def _check_question(self) -> ChatRequest:
        if self.prompt is not None and self.messages is not None:
            raise invalid("messages", "Send either prompt or messages, not both.")
        if self.prompt is None and self.messages is None:
            raise invalid("prompt", "Send a prompt, or messages.")
        if self.prompt is not None and not self.prompt.strip():
            raise invalid("prompt", "The prompt is empty.")
        return self

    def to_generation(
        self, settings: Settings, caller: link.Caller = link.NOBODY
    ) -> link.GenerationRequest:
        """Return what an engine is asked. Raises what `generation` raises."""
        return generation(
            settings,
            model=self.model,
            messages=self.messages or [],
            prompt=self.prompt,
            thinking=self.thinking,
            resumable=self.resumable,
            sampling=self.sampling(),
            caller=caller,
        )


def generation(
    settings: Settings,
    *,
    model: str | None,
    messages: list[Message],
    prompt: str | None = None,
    thinking: bool,
    resumable: bool,
    sampling: dict[str, Any],
    caller: link.Caller,
) -> link.GenerationRequest:
    """Return what an engine is asked, whichever API it was asked by; `prompt` stands in the place of `messages`.

    Raises `InvalidRequest` for a conversation whose last message is not the user's, `UnknownModel`, and `PromptTooLong`
    for all messages together.
    """
    field = "messages" if prompt is None else "prompt"
    if prompt is not None:
        messages = [Message(role="user", content=prompt)]
    if not messages or messages[-1].role != "user" or not messages[-1].content.strip():
        raise invalid(field, "The last message must be the user's, and not empty.")
    if model is not None:
        check_served(model, settings)
    length = sum(len(message.content) for message in messages)
    if length > settings.max_prompt_chars:
        message = (
            f"{length} characters are too many: at most {settings.max_prompt_chars} are allowed."
        )
        raise PromptTooLong(message, errors=[{"field": field, "message": message}])
    return {
        "model": model,
        "messages": [
            {"role": message.role, "content": sse.well_formed(message.content)}
            for message in messages
        ],
        "thinking": thinking,
        "resumable": resumable,
        "sampling": sampling,
        "queue": False,
        "caller": caller,
    }


def check_served(model: str, settings: Settings) -> None:
    """Raise `UnknownModel` for a model that cannot be asked here."""
    served = [served.id for served in settings.models]
    if model not in served:
        message = f"There is no such model here. Served: {', '.join(served)}."
        raise UnknownModel(message, errors=[{"field": "model", "message": message}])


class ChatResponse(BaseModel):
    """A whole answer."""

    response: str
    thinking: str | None = None


class ServedModel(BaseModel):
    """A model that can be asked. What depends on its class is null until it has been loaded."""

    id: str
    name: str = Field(description="what people call it; the id where it has no other name")
    takes: list[str] | None = Field(description="the sampling settings; any other is refused")
    thinking: bool | None = Field(description="whether it can think first")
    system: bool | None = Field(
        description="whether it reads the messages before the last one, a system prompt among them"
    )
    max_prompt_chars: int = Field(description="of all messages together")
    context_tokens: int | None = Field(
        description="how much it reads and writes at most; null, too, where it does not know"
    )


class ServedModels(BaseModel):
    """All that can be asked here."""

    models: list[ServedModel]


def invalid(field: str, message: str) -> InvalidRequest:
    """Return the error that says what is wrong with one field."""
    return InvalidRequest(message, errors=[{"field": field, "message": message}])


# One event of a stream, as a parser of the format hands it out.
EVENT_SCHEMA = {
    "type": "object",
    "properties": {
        "data": {"type": "string", "description": "JSON, or `[DONE]`"},
        "id": {"type": "string", "description": "the number of the event, where it is resumable"},
    },
    "required": ["data"],
}

EVENT_EXAMPLES = {
    "answer": {
        "summary": "An answer",
        "value": 'data: {"token": "Hello! "}\n\n'
        'data: {"token": "I\'m "}\n\n'
        'data: {"token": "", "finish_reason": "stop", "usage": {"prompt_tokens": 1, "completion_tokens": 2}}\n\n'
        "data: [DONE]\n\n",
    },
    "thinking": {
        "summary": "With thinking",
        "value": 'data: {"token": "[thinking", "thinking": ""}\n\n'
        'data: {"token": ".", "thinking": "The user greets me. "}\n\n'
        'data: {"token": "]\\n\\n", "thinking": ""}\n\n'
        'data: {"token": "Hello! "}\n\n',
    },
    "resumable": {
        "summary": "Resumable: each event has its number",
        "value": 'id: 1\ndata: {"token": "Hello! "}\n\nid: 2\ndata: {"token": "I\'m "}\n\n',
    },
    "waiting": {
        "summary": "Waiting",
        "value": 'data: {"token": "", "status": "queued", "position": 3}\n\n'
        'data: {"token": "", "status": "loading"}\n\n'
        'data: {"token": "", "status": "prefill", "done": 512, "total": 2048}\n\n',
    },
    "failure": {
        "summary": "A failure: the stream ends without [DONE]",
        "value": 'data: {"error": {"code": "timeout", "message": "The model was silent for too long."}}\n\n',
    },
}
