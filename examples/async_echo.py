"""An async generator, for what waits for something else: 100 chats at once, on one event loop. It must never block.

BURBLE_MODEL=examples.async_echo:AsyncEcho uv run just dev
"""

import asyncio
from collections.abc import AsyncIterator

from backend.link import Message


class AsyncEcho:
    name = "Echo with a memory"

    async def generate(self, messages: list[Message]) -> AsyncIterator[str]:
        """Because its parameter is called `messages`, it gets the whole conversation."""
        questions = [message["content"] for message in messages if message["role"] == "user"]
        for number, question in enumerate(questions, 1):
            yield f"\n{number}. "
            for word in question.split():
                await asyncio.sleep(0.1)  # a real model waits for its server here
                yield word + " "
