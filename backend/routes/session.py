"""Sessions of the page: begin one with an API key, and leave it."""

from __future__ import annotations

from functools import partial
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, Request, Response

from backend.errors import NotFound
from backend.routes import CLOSED, TheCaller, problem
from backend.sessions import Sessions

router = APIRouter(tags=["access"])


def _sessions(request: Request) -> Sessions:
    sessions: Sessions | None = request.state.sessions
    if sessions is None:
        raise NotFound("Nobody needs a key here.")
    return sessions


RESPONSES: dict[int | str, dict[str, Any]] = {
    **CLOSED["responses"],
    404: problem("nobody needs a key here"),
}


@router.post(
    "/session",
    status_code=204,
    response_class=Response,
    responses=RESPONSES,
    dependencies=CLOSED["dependencies"],
)
async def begin(request: Request, response: Response, caller: TheCaller) -> None:
    """Begin a session, for whoever shows a key: its cookie stands for the key from now on."""
    _sessions(request).begin(response, caller["key"], secure=request.url.scheme == "https")


@router.delete("/session", status_code=204, response_class=Response, responses=RESPONSES)
async def leave(request: Request, response: Response) -> None:
    """Leave the session: its cookie is worth nothing any more, wherever it is kept."""
    end = partial(_sessions(request).end, secure=request.url.scheme == "https")
    await to_thread.run_sync(end, request.headers, response)  # it writes to a file
