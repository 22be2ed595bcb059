"""The other engines of the stack, as a place to run what waits in this one's line.

HTTP workers send a generation to an engine that has room. But one that had to wait must not go on waiting when another
engine falls idle meanwhile: then its engine borrows the other's model, and keeps the log, the id and the readers.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from backend import sse
from backend.engine_client import EngineClient
from backend.errors import QueueFull, from_event
from backend.link import GenerationRequest
from backend.models import Delta, End, Item, Prefill


class PlaceTaken(Exception):
    """No other engine has a place any more."""


class Peers:
    """Looks like a loaded model to the engine; `on_news` is called when a place may have become free.

    Only engines of the same `model_id` will do.
    """

    def __init__(
        self,
        folder: Path,
        model_id: str,
        own_key: str,
        keep_alive_s: float,
        on_news: Callable[[], None],
    ) -> None:
        self._model_id = model_id
        self._client = EngineClient(folder, keep_alive_s, own_key)
        self._on_news = on_news
        self._watching: asyncio.Task[None]

    async def open(self) -> None:
        """Look out for other engines from now on."""
        await self._client.open()
        self._watching = asyncio.create_task(self._watch())

    def has_place(self) -> bool:
        return self._client.has_place(self._model_id)

    async def stream(self, request: GenerationRequest) -> AsyncIterator[Item]:
        """Generate on another engine. Raises `PlaceTaken` before the first item when somebody else was faster."""
        asked: GenerationRequest = {
            **request,
            "model": self._model_id,
            "resumable": False,
            "lent": True,
            "caller": {**request["caller"], "lease": ""},  # it is counted here
        }
        try:
            stream = await self._client.lend(asked)
        except QueueFull as error:
            raise PlaceTaken from error
        try:
            while data := await stream.read():
                for event in sse.decode(data):
                    if item := to_item(event):
                        yield item
        finally:
            stream.close()

    async def _watch(self) -> None:
        while True:
            await self._client.news()
            self._on_news()


def to_item(event: dict[str, object]) -> Item | None:
    """Turn an event back into what the model yielded; None for one that the engine made. Raises what it reports."""
    match event:
        case {"error": dict(error)}:
            raise from_event(error)
        case {
            "finish_reason": str(reason),
            "usage": {"prompt_tokens": int(prompt), "completion_tokens": int(completion)},
        }:
            return End(reason, prompt, completion)
        case {"status": "prefill", "done": int(done), "total": int(total)}:
            return Prefill(done, total)
        case {"thinking": str(thinking)}:
            return Delta(thinking=thinking) if thinking else None
        case {"token": str(token)}:
            return token or None
    return None
