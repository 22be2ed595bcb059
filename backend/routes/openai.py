"""OpenAI's chat API, for the clients that speak it: the same engine, log, admission and stop as the rest."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from backend import sse
from backend.engine_client import EngineClient
from backend.event_stream import EventStream, read_all, read_until_it_speaks
from backend.openai_request import CompletionRequest
from backend.openai_wire import (
    PREFIX,
    Chunks,
    Completion,
    ErrorBody,
    Model,
    Models,
    completion,
)
from backend.routes import Engines, Limits, TheCaller, TheSettings, abilities
from backend.schemas import EVENT_SCHEMA, check_served, invalid

router = APIRouter(prefix=PREFIX, tags=["openai"])

CHUNK = (
    'data: {"id":"chatcmpl-…","object":"chat.completion.chunk","created":1764108000,"model":"simulated",'
    '"choices":[{"index":0,"delta":%s,"finish_reason":%s}]}\n\n'
)
ANSWER: dict[str, Any] = {
    "model": Completion,
    "description": "The answer; with `stream`, chunks of it as events.",
    "content": {
        "text/event-stream": {
            "itemSchema": EVENT_SCHEMA,
            "examples": {
                "answer": {
                    "summary": "An answer",
                    "value": CHUNK % ('{"role":"assistant","content":""}', "null")
                    + CHUNK % ('{"reasoning_content":"The user greets me. "}', "null")
                    + CHUNK % ('{"content":"Hello! "}', "null")
                    + CHUNK % ("{}", '"stop"')
                    + "data: [DONE]\n\n",
                },
                "failure": {
                    "summary": "A failure: the stream ends without [DONE]",
                    "value": 'data: {"error":{"message":"The model was silent for too long.",'
                    '"type":"server_error","param":null,"code":"timeout"}}\n\n',
                },
            },
        }
    },
    "headers": {
        "X-Generation-Id": {
            "description": "what to stop it by, at `DELETE /chat/{id}`",
            "schema": {"type": "string"},
        }
    },
}
REFUSALS: dict[int | str, dict[str, Any]] = {
    "4XX": {
        "model": ErrorBody,
        "description": "the request cannot be answered; `param` names what is wrong",
    },
    "5XX": {
        "model": ErrorBody,
        "description": "no place, no model, or it failed; try again after `Retry-After` seconds",
    },
}


@router.post(
    "/chat/completions",
    response_class=Response,
    response_model=None,
    responses={200: ANSWER, **REFUSALS},
)
async def chat_completions(
    body: CompletionRequest,
    request: Request,
    engines: Engines,
    limits: Limits,
    settings: TheSettings,
    caller: TheCaller,
) -> Response:
    """Answer the last message of a conversation, at once or as a stream of chunks."""
    asked = body.to_generation(settings, caller)
    if asked["thinking"]:
        _check_that_it_can_think(body.model, engines)
    stream, headers = await limits.start(engines, asked)
    if body.stream:
        chunks = Chunks(stream.id, body.model, usage=body.stream_options.include_usage)
        begun = await read_until_it_speaks(stream, request.receive, settings.keep_alive)
        return EventStream(stream, begun=begun, translate=chunks.translate, headers=headers)
    events = sse.decode(await read_all(stream, request.receive))
    answer = completion(stream.id, body.model, events)
    return Response(
        answer.model_dump_json(),
        headers={"X-Generation-Id": stream.id, **headers},
        media_type="application/json",
    )


@router.get("/models", responses=REFUSALS)
async def list_models(settings: TheSettings) -> Models:
    """List the models that can be asked."""
    return Models(data=[Model(id=model.id) for model in settings.models])


@router.get("/models/{model_id:path}", responses=REFUSALS)
async def retrieve_model(model_id: str, settings: TheSettings) -> Model:
    """Say whether a model can be asked."""
    check_served(model_id, settings)
    return Model(id=model_id)


def _check_that_it_can_think(model: str, engines: EngineClient) -> None:
    """Refuse what would be ignored; a model that is still loading is not known."""
    known = abilities(engines).get(model)
    if known and not known["thinking"]:
        raise invalid(
            "reasoning_effort",
            "This model cannot think: ask without reasoning_effort and enable_thinking.",
        )
