"""The HTTP API, a few lines over the engine client's `start`, `attach` and `stop`."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from backend.engine_client import EngineClient
from backend.link import Abilities
from backend.settings import Settings


async def _engines(request: Request) -> EngineClient:
    engines: EngineClient = request.app.state.engines
    return engines


async def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


# Both are coroutines: FastAPI would call a plain function in a thread of its pool, for each request.
Engines = Annotated[EngineClient, Depends(_engines)]
TheSettings = Annotated[Settings, Depends(_settings)]


def abilities(engines: EngineClient) -> dict[str, Abilities]:
    """Return what each model that is loaded can do, by its id."""
    return {state["model"]: state["abilities"] for state in engines.states() if state["abilities"]}
