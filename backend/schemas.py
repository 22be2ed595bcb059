"""What clients send and get: the JSON bodies of the API, and the events of a stream as the API's page shows them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from backend import link, sse
from backend.errors import InvalidRequest, PromptTooLong
from backend.settings import Settings

Role = Literal["system", "user", "assistant"]


class Strict(BaseModel):
    """A body that is taken literally: no unknown field, no number in place of a string."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Message(Strict):
    """One turn of a conversation."""

    role: Role
    content: str


class ChatRequest(Strict):
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
    messages: list[Message] | None = None
    model: str | None = Field(None, description="one of `GET /models`")
    thinking: bool = Field(False, description="let the model think first, and show what it thinks")
    resumable: bool = Field(
        False,
        description="number the events, and let the generation outlive a lost connection for a while",
    )
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    stop: Annotated[list[str], Field(max_length=4)] | None = None
    seed: int | None = None

    @model_validator(mode="after")
    def _check_question(self) -> ChatRequest:
        if self.prompt is not None and self.messages is not None:
            raise _invalid("messages", "Send either prompt or messages, not both.")
        if self.prompt is None and self.messages is None:
            raise _invalid("prompt", "Send a prompt, or messages.")
        if self.messages is None:
            if not (self.prompt or "").strip():
                raise _invalid("prompt", "The prompt is empty.")
        elif (
            not self.messages
            or self.messages[-1].role != "user"
            or not self.messages[-1].content.strip()
        ):
            raise _invalid("messages", "The last message must be the user's, and not empty.")
        return self

    def to_generation(self, settings: Settings) -> link.GenerationRequest:
        """Return what an engine is asked.

        Raises `InvalidRequest` for a model that is not served, and `PromptTooLong` for all messages together.
        """
        if self.model not in (None, settings.model):
            raise _invalid("model", f"There is no such model here: {settings.model} is served.")
        field = "prompt" if self.messages is None else "messages"
        messages = self.messages or [Message(role="user", content=self.prompt or "")]
        length = sum(len(message.content) for message in messages)
        if length > settings.max_prompt_chars:
            message = f"{length} characters are too many: at most {settings.max_prompt_chars} are allowed."
            raise PromptTooLong(message, errors=[{"field": field, "message": message}])
        return {
            "messages": [
                {"role": message.role, "content": sse.well_formed(message.content)}
                for message in messages
            ],
            "thinking": self.thinking,
            "resumable": self.resumable,
            "sampling": self.model_dump(include=set(link.SAMPLING), exclude_none=True),
            "queue": False,
        }


class ChatResponse(BaseModel):
    """A whole answer."""

    response: str
    thinking: str | None = None


class ServedModel(BaseModel):
    """A model that can be asked. What depends on its class is null until it has been loaded."""

    id: str
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


def _invalid(field: str, message: str) -> InvalidRequest:
    return InvalidRequest(message, errors=[{"field": field, "message": message}])


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
