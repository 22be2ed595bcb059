"""The HTTP API, a few lines over the engine client's `start`, `attach` and `stop`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from backend.engine_client import EngineClient
from backend.link import NOBODY, Abilities, Caller
from backend.rate_limit import RateLimits
from backend.settings import Settings


def problem(description: str) -> dict[str, Any]:
    """Describe an answer that refuses, for the API's page."""
    return {"description": description, "content": {"application/problem+json": {}}}


async def _engines(request: Request) -> EngineClient:
    engines: EngineClient = request.app.state.engines
    return engines


async def _limits(request: Request) -> RateLimits:
    limits: RateLimits = request.app.state.limits
    return limits


async def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


async def _caller(request: Request) -> Caller:
    caller: Caller = getattr(request.state, "caller", NOBODY)
    return caller


# They are coroutines: FastAPI would call a plain function in a thread of its pool, for each request.
Engines = Annotated[EngineClient, Depends(_engines)]
Limits = Annotated[RateLimits, Depends(_limits)]
TheSettings = Annotated[Settings, Depends(_settings)]
TheCaller = Annotated[Caller, Depends(_caller)]


# Whoever comes in has come through `backend/access.py`; here it is only said, for the API's page and its clients.
bearer = HTTPBearer(
    auto_error=False,
    description="an API key, where the server wants one; the page has a cookie for it",
)
CLOSED: dict[str, Any] = {
    "dependencies": [Depends(bearer)],
    "responses": {
        401: problem("no API key, or a wrong one, where the server wants one"),
        429: problem("too many questions, or wrong keys; try again after `Retry-After` seconds"),
    },
}


def abilities(engines: EngineClient) -> dict[str, Abilities]:
    """Return what each model that is loaded can do, by its id."""
    return {state["model"]: state["abilities"] for state in engines.states() if state["abilities"]}
