"""Chat: start an answer, read it, come back to it, stop it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response

from backend import sse
from backend.errors import from_event
from backend.event_stream import EventStream, read_all
from backend.routes import Engines, Limits, TheCaller, TheSettings, problem
from backend.schemas import EVENT_EXAMPLES, EVENT_SCHEMA, ChatRequest, ChatResponse

router = APIRouter(tags=["chat"])


EVENTS: dict[str, Any] = {
    "description": "The answer as it is written. Every line is empty or begins with `data: `; resumable: or `id: `.",
    "content": {
        "text/event-stream": {
            "itemSchema": EVENT_SCHEMA,
            "examples": EVENT_EXAMPLES,
        }
    },
    "headers": {
        "X-Generation-Id": {
            "description": "what to resume or stop by",
            "schema": {"type": "string"},
        }
    },
}
REFUSALS: dict[int | str, dict[str, Any]] = {
    400: problem("the body is not JSON"),
    413: problem("the body is too large"),
    415: problem("the body does not claim to be JSON"),
    422: problem("a field is missing or wrong, or all is too long; `errors` names it"),
    429: problem(
        "too many questions a minute, or answers at once, or a day's tokens are used up; `RateLimit` says what is left"
    ),
    503: problem("no place, or no model; try again after `Retry-After` seconds"),
}


# `status_code` is said although it is the default: FastAPI's description of the API would look for it in EventStream.
@router.post(
    "/chat", status_code=200, response_class=EventStream, responses={200: EVENTS, **REFUSALS}
)
async def chat(
    body: ChatRequest, engines: Engines, limits: Limits, settings: TheSettings, caller: TheCaller
) -> Response:
    """Stream the answer to a question."""
    started = await limits.start(engines, body.to_generation(settings, caller))
    return EventStream(started.stream, headers=started.headers)


@router.post(
    "/chat/sync",
    response_model=ChatResponse,
    response_model_exclude_none=True,
    responses={
        **REFUSALS,
        500: problem("the model failed"),
        504: problem("the model was silent for too long"),
    },
)
async def chat_sync(
    body: ChatRequest,
    request: Request,
    response: Response,
    engines: Engines,
    limits: Limits,
    settings: TheSettings,
    caller: TheCaller,
) -> ChatResponse:
    """Answer at once, when the whole answer is there."""
    started = await limits.start(engines, body.to_generation(settings, caller))
    response.headers.update(started.headers)
    text, thinking = [], []
    for event in sse.decode(await read_all(started.stream, request.receive)):
        if "error" in event:
            raise from_event(event["error"])
        if "thinking" in event:
            thinking.append(event["thinking"])
        else:
            text.append(event["token"])
    return ChatResponse(response="".join(text), thinking="".join(thinking) or None)


@router.get(
    "/chat/{generation_id}",
    status_code=200,
    response_class=EventStream,
    responses={
        200: EVENTS,
        204: {"description": "everything was already seen"},
        400: problem("the last event id is not one of this stream's"),
        404: problem("unknown, expired, not resumable, or somebody else's"),
    },
)
async def resume(
    generation_id: str,
    engines: Engines,
    caller: TheCaller,
    last_event_id: Annotated[
        str | None, Header(description="the number of the last event seen")
    ] = None,
    last_event_id_query: Annotated[str | None, Query(alias="last_event_id")] = None,
) -> Response:
    """Go on with a resumable answer after the last event seen; from its beginning when none is named."""
    stream = await engines.attach(
        generation_id,
        sse.last_event_id(last_event_id or last_event_id_query),
        caller["owner"],
    )
    return Response(status_code=204) if stream.complete else EventStream(stream)


@router.delete(
    "/chat/{generation_id}",
    status_code=204,
    response_class=Response,  # FastAPI's own would name a content type
    responses={404: problem("unknown, expired, or somebody else's")},
)
async def stop(generation_id: str, engines: Engines, caller: TheCaller) -> None:
    """Stop an answer, wherever it is; what was written so far stays. Stopping what has ended changes nothing."""
    await engines.stop(generation_id, caller["owner"])
