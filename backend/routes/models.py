"""What there is to ask."""

from __future__ import annotations

from fastapi import APIRouter

from backend.link import Abilities
from backend.routes import Engines, TheSettings
from backend.schemas import ServedModel, ServedModels

router = APIRouter(tags=["chat"])


@router.get("/models")
async def models(engines: Engines, settings: TheSettings) -> ServedModels:
    """List the models that can be asked, and what each takes. Today a server has one."""
    # `get`: after a deployment, an engine of the version before may still be there.
    told: list[Abilities | None] = [
        state.get("abilities") for state in engines.states() if state["model"] == settings.model
    ]
    abilities = next(filter(None, told), None)
    return ServedModels(
        models=[
            ServedModel(
                id=settings.model,
                takes=abilities and abilities["sampling"],
                thinking=abilities and abilities["thinking"],
                system=abilities and abilities["messages"],
                max_prompt_chars=settings.max_prompt_chars,
                context_tokens=abilities and abilities["context_tokens"],
            )
        ]
    )
