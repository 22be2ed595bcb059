"""Carries items from a thread to the event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from backend.models import End, Item


class Outbox:
    """What a thread has made and a coroutine of `loop` takes. The loop is woken once for all that lies there."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._items: deque[Item | Exception] = deque()
        self._something = asyncio.Event()

    def put(self, item: Item | Exception) -> None:
        """Add an item; in any thread."""
        self._items.append(item)
        if len(self._items) > 1:
            return  # the loop was woken for an earlier one, and has not come to the end of them yet
        try:
            self._loop.call_soon_threadsafe(self._something.set)
        except RuntimeError:
            pass  # the loop is closed, so nobody is left to read it

    async def items(self) -> AsyncIterator[Item]:
        """Yield the items up to `End`, or raise the error that came in its place."""
        while True:
            await self._something.wait()
            self._something.clear()
            while self._items:
                item = self._items.popleft()
                if isinstance(item, Exception):
                    raise item
                yield item
                if isinstance(item, End):
                    return
