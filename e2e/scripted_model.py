"""A model that does what the prompt says, so that a test decides what happens when.

The prompt is JSON: `{"name": "a", "steps": [["say", "Hello "], ["wait", "gate"], …]}`. Any other text is said back
word by word. The steps:

    ["say", text]            yield it as one token
    ["words", count]         yield count tokens "NAME-0 ", "NAME-1 " …
    ["type", text, seconds]  yield it word by word, with so long a pause after each
    ["think", text]          yield it as thinking
    ["prefill", done, total]
    ["sleep", seconds]
    ["wait", gate]           until the file gate-NAME exists in the folder, or every-gate
    ["fail", text]           raise RuntimeError
    ["tell", text]           raise ModelError, whose text the user sees
    ["raise", code, text]    raise another error with a text that the user sees
    ["yield", value]         yield it as it is, whatever it is
    ["asked"]                yield as JSON, in one line of code, how it was asked
    ["block", seconds]       block the event loop itself

Each generation writes "start NAME" and, in its `finally`, "end NAME" to the file `journal` in the folder that
SCRIPT_FOLDER names. Loading waits for the gate `load` where a file `hold-load` exists, fails where `fail-load`
exists, and kills its process where `crash-load` does.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from backend.errors import ModelError, by_code
from backend.link import Message
from backend.models import Delta, Prefill


def script(name: str, *steps: list[Any]) -> str:
    """Return the prompt for these steps."""
    return json.dumps({"name": name, "steps": steps})


class ScriptedModel:
    """Performs scripts; any number at once unless BURBLE_MAX_RUNNING says otherwise."""

    max_running = 2000
    who = ""  # begins each line of the journal

    def __init__(self) -> None:
        self._folder = Path(os.environ["SCRIPT_FOLDER"])

    async def init(self) -> None:
        self._note(f"load {os.getpid()}")
        if (self._folder / "crash-load").exists():
            os._exit(9)
        if (self._folder / "hold-load").exists():
            await self._gate("load")
        if (self._folder / "fail-load").exists():
            raise OSError("the weights are not there")

    async def generate(
        self,
        messages: list[Message],
        *,
        thinking: bool = False,
        temperature: float | None = None,
        top_p: float | None = None,
        max_tokens: int | None = None,
    ) -> AsyncIterator[Any]:
        asked = {
            "messages": len(messages),
            "system": messages[0]["content"] if messages[0]["role"] == "system" else None,
            "thinking": thinking,
            "temperature": temperature,
            "top_p": top_p,
            "max_tokens": max_tokens,
        }
        prompt = messages[-1]["content"]
        try:
            script = json.loads(prompt)
        except ValueError:
            script = {"name": "echo", "steps": [["say", word + " "] for word in prompt.split()]}
        name = script["name"]
        self._note(f"start {name}")
        try:
            for action, *arguments in script["steps"]:
                if action == "asked":
                    yield f"`{json.dumps(asked)}`"
                async for item in self._perform(name, action, *arguments):
                    yield item
        finally:
            self._note(f"end {name}")

    def close(self) -> None:
        self._note(f"close {os.getpid()}")

    async def _perform(self, name: str, action: str, *arguments: Any) -> AsyncIterator[Any]:
        match action, *arguments:
            case "say", text:
                yield text
            case "words", count:
                for index in range(count):
                    yield f"{name}-{index} "
                    await asyncio.sleep(0.001)
            case "type", text, seconds:
                for word in re.findall(r"\S+\s*|\s+", text):
                    yield word
                    await asyncio.sleep(seconds)
            case "think", text:
                yield Delta(thinking=text)
            case "prefill", done, total:
                yield Prefill(done, total)
            case "sleep", seconds:
                await asyncio.sleep(seconds)
            case "wait", gate:
                await self._gate(gate)
            case "fail", text:
                raise RuntimeError(text)
            case "tell", text:
                raise ModelError(text)
            case "raise", code, text:
                raise by_code(code)(text)
            case "yield", value:
                yield value
            case "block", seconds:
                time.sleep(seconds)

    async def _gate(self, name: str) -> None:
        gate, every_gate = self._folder / f"gate-{name}", self._folder / "every-gate"
        while not (os.path.exists(gate) or os.path.exists(every_gate)):  # noqa: PTH110, it is often asked
            await asyncio.sleep(0.005)

    def _note(self, line: str) -> None:
        with (self._folder / "journal").open("a") as journal:
            journal.write(self.who + line + "\n")


class OtherModel(ScriptedModel):
    """A second one, to serve beside the first: one at a time, and without thinking. Its lines begin with `other`."""

    max_running = 1
    who = "other "
    name = "The other model"
    context_tokens = 8192
    can_think = False
