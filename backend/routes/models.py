"""What there is to ask."""

from __future__ import annotations

from fastapi import APIRouter

from backend.link import Abilities
from backend.routes import Engines, TheSettings, abilities
from backend.schemas import ServedModel, ServedModels

router = APIRouter(tags=["chat"])


@router.get("/models")
async def models(engines: Engines, settings: TheSettings) -> ServedModels:
    """List the models that can be asked, the first of them for whoever names none, and what each takes."""
    told = abilities(engines)
    return ServedModels(
        models=[
            _served(model.id, told.get(model.id), settings.max_prompt_chars)
            for model in settings.models
        ]
    )


def _served(model_id: str, told: Abilities | None, max_prompt_chars: int) -> ServedModel:
    return ServedModel(
        id=model_id,
        name=(told and told["name"]) or model_id,
        takes=told and told["sampling"],
        thinking=told and told["thinking"],
        system=told and told["messages"],
        max_prompt_chars=max_prompt_chars,
        context_tokens=told and told["context_tokens"],
    )
