"""A stream of another server's, by OpenAI's own client, which finds the server and the key in the environment.

OPENAI_API_KEY=… BURBLE_MODEL=examples.openai_stream:Assistant uv run just dev
"""

import os
from collections.abc import AsyncIterator
from typing import Any

from openai import APIConnectionError, AsyncOpenAI

from backend.errors import ModelError

MODEL = os.environ.get("OPENAI_MODEL", "gpt-4o-mini")


class Assistant:
    name = MODEL

    def init(self) -> None:
        self.client = AsyncOpenAI()  # OPENAI_API_KEY, OPENAI_BASE_URL

    async def generate(self, messages: Any, *, temperature: float = 1.0) -> AsyncIterator[str]:
        try:
            stream = await self.client.chat.completions.create(
                model=MODEL, messages=messages, temperature=temperature, stream=True
            )
        except APIConnectionError as error:
            raise ModelError("The assistant cannot be reached. Please try again later.") from error
        async with stream:  # Stop leaves this block, and so ends the request there as well
            async for chunk in stream:
                if chunk.choices and chunk.choices[0].delta.content:
                    yield chunk.choices[0].delta.content

    async def close(self) -> None:
        await self.client.close()
