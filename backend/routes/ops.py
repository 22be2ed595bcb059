"""For those who run it: is it alive, and can it answer?"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from backend.errors import ModelUnavailable
from backend.routes import Engines

router = APIRouter(tags=["operations"])


@router.get("/health")
async def health() -> dict[str, str]:
    """Say that this process answers."""
    return {"status": "ok"}


@router.get("/health/ready", responses={503: {"description": "no model can answer, and why"}})
async def ready(engines: Engines) -> dict[str, Any]:
    """Say whether a model is loaded and taking questions, and how busy each engine is."""
    states = engines.states()
    if not any(state["state"] == "ready" for state in states):
        reasons = [
            f"{state['state']} ({state['reason']})" if state["reason"] else state["state"]
            for state in states
        ]
        raise ModelUnavailable(
            "Not ready: " + (", ".join(reasons) or "no engine is there"), retry_after=2
        )
    engines_shown = [
        {name: value for name, value in state.items() if name not in ("pid", "abilities")}
        for state in states
    ]
    return {"status": "ready", "engines": engines_shown}
