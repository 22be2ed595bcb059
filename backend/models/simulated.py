"""The simulated model: canned answers at a human pace. It needs nothing, so all else can be tried at once."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator
from typing import Any

from backend.link import Message
from backend.models import Delta, End, Item
from backend.settings import Settings

GREETING = """\
Hello! I'm a simulated AI assistant, and every word of this arrives as it would from a real model: one token at a \
time. Ask me to explain something, ask about streaming, or ask for some code. When you like what you see, put your own \
model in my place."""

EXPLANATION = """\
Gladly. Here is what happens between your question and these words:

1. Your browser posts the conversation to an HTTP worker, a thin process that only passes bytes on.
2. The worker hands it to the engine, which lives beside the model in a process of its own.
3. The engine writes every token to an append-only log the moment the model yields it.
4. Your connection is a cursor on that log. If it breaks, a new one goes on after the last token that you saw.

So a reload, a lost network or a restarted worker costs you nothing: the log is still there."""

STREAMING = """\
Streaming means that you read an answer while it is being written. A model makes one token after the other; waiting \
for the last before showing the first would waste your time.

The transport here is Server-Sent Events: one long HTTP response made of small text events. It passes through ordinary \
proxies, browsers can read it without a library, and each event carries a number. After a broken connection the \
browser names the last number that it received, and the stream goes on right after it."""

CODE = """\
Here is a small function that reads such a stream:

```python
import json

import httpx


def ask(prompt: str) -> str:
    answer = ""
    with httpx.stream("POST", "http://127.0.0.1:8000/chat", json={"prompt": prompt}) as response:
        for line in response.iter_lines():
            if line.startswith("data: {"):
                answer += json.loads(line[6:]).get("token", "")
    return answer


print(ask("hello"))
```

Each `data:` line holds one token; the last one is `[DONE]`."""

OTHERWISE = """\
You said: “{prompt}”. I am only a simulation, so I cannot think about that, but I can show you how an answer arrives. \
Try “hello”, ask me to explain something, ask about streaming, or ask for some code."""

REPLIES = [
    (re.compile(r"\b(hello|hi|hey)\b", re.IGNORECASE), GREETING),
    (re.compile(r"\bexplain\b", re.IGNORECASE), EXPLANATION),
    (re.compile(r"\bstreaming\b", re.IGNORECASE), STREAMING),
    (re.compile(r"\bcode\b", re.IGNORECASE), CODE),
]

THOUGHTS = [
    "The user wrote: {prompt} ",
    "That calls for one of my canned answers. ",
    "I will pick it and say it word by word.",
]

# A token is a word with the white space after it, so that the joined tokens are the text again; only the first may
# be white space alone.
TOKEN = re.compile(r"\S+\s*|\s+")


class SimulatedModel:
    """Answers by keyword, in whole words, with a pause before each token."""

    name = "Simulated model"
    max_running = 2000

    def __init__(self, settings: Settings) -> None:
        self._pause_s = (
            settings.simulated_min_delay_ms / 1000,
            settings.simulated_max_delay_ms / 1000,
        )
        self._reply_file = settings.simulated_reply_file
        self._file_tokens: list[str] | None = None

    def init(self) -> None:
        if self._reply_file:
            self._file_tokens = TOKEN.findall(self._reply_file.read_bytes().decode())

    async def generate(
        self,
        messages: list[Message],
        *,
        thinking: bool = False,
        max_tokens: int | None = None,
        **_sampling: Any,
    ) -> AsyncIterator[Item]:
        """Yield the answer to the last message. It takes every sampling setting, as a real model would."""
        prompt = messages[-1]["content"]
        shortest, longest = self._pause_s
        if thinking:
            for thought in THOUGHTS:
                for word in TOKEN.findall(thought.format(prompt=prompt[:200])):
                    if longest:
                        await asyncio.sleep(random.uniform(shortest, longest))
                    yield Delta(thinking=word)
        tokens = self._tokens(prompt)
        for token in tokens[:max_tokens]:
            if longest:
                await asyncio.sleep(random.uniform(shortest, longest))
            yield token
        if max_tokens is not None and max_tokens < len(tokens):
            yield End("length")

    def close(self) -> None:
        pass

    def _tokens(self, prompt: str) -> list[str]:
        if self._file_tokens is not None:
            return self._file_tokens
        for pattern, reply in REPLIES:
            if pattern.search(prompt):
                return TOKEN.findall(reply)
        return TOKEN.findall(OTHERWISE.replace("{prompt}", prompt[:200]))
