"""What one would write without Burble: the same model in a FastAPI `StreamingResponse`, in one process.

It has no resuming, no stopping, no limits and no error events; that is the point of comparing with it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from backend.models.simulated import SimulatedModel
from backend.settings import Settings

app = FastAPI()
model = SimulatedModel(Settings())
model.init()


class ChatRequest(BaseModel):
    """The body of `POST /chat`."""

    prompt: str


@app.post("/chat")
async def chat(request: ChatRequest) -> StreamingResponse:
    async def stream() -> AsyncIterator[str]:
        async for token in model.generate([{"role": "user", "content": request.prompt}]):
            yield f"data: {json.dumps({'token': token})}\n\n"
        yield "data: [DONE]\n\n"

    return StreamingResponse(stream(), media_type="text/event-stream")


@app.get("/health/ready")
async def ready() -> dict[str, str]:
    return {"status": "ok"}
