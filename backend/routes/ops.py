"""For those who run it: is it alive, can it answer, and what happens?"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Header, Response

from backend import metrics
from backend.errors import ModelUnavailable
from backend.routes import CLOSED, Engines, TheSettings

router = APIRouter(tags=["operations"])


@router.get("/health")
async def health() -> dict[str, str]:
    """Say that this process answers."""
    return {"status": "ok"}


@router.get("/health/ready", responses={503: {"description": "no model can answer, and why"}})
async def ready(engines: Engines, settings: TheSettings) -> dict[str, Any]:
    """Say whether a model is loaded and taking questions, and, where there are no keys, how each engine is.

    Everybody may ask this. Where not everybody may ask a model, an exception's own words and how busy the engines are
    are nobody's business but the log's and `/metrics`'.
    """
    states = engines.states()
    if not any(state["state"] == "ready" for state in states):
        reasons = [
            f"{state['state']} ({state['reason']})"
            if state["reason"] and not settings.closed
            else state["state"]
            for state in states
        ]
        raise ModelUnavailable(
            "Not ready: " + (", ".join(reasons) or "no engine is there"), retry_after=2
        )
    if settings.closed:
        return {"status": "ready"}
    engines_shown = [
        {
            name: value
            for name, value in state.items()
            if name not in ("pid", "abilities", "log_bytes")
        }
        for state in states
    ]
    return {"status": "ready", "engines": engines_shown}


@router.get(
    "/metrics",
    response_class=Response,
    dependencies=CLOSED["dependencies"],
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
        **CLOSED["responses"],
    },
)
async def prometheus(
    engines: Engines, settings: TheSettings, accept: Annotated[str, Header()] = ""
) -> Response:
    """Say what has happened since the start, over all processes, in Prometheus' format."""
    states = engines.states()
    content, content_type = await asyncio.to_thread(metrics.exposition, settings, states, accept)
    return Response(content, headers={"Content-Type": content_type})
