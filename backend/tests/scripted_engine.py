"""An engine in the test's own event loop, with a model that performs what the test wrote down for each prompt."""

from __future__ import annotations

import asyncio
import sys
import types
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import pytest

from backend import sse
from backend.engine.engine import Engine, Generation
from backend.engine.log import GenerationLog
from backend.link import NOBODY, Caller, GenerationRequest
from backend.runtime import private_folder
from backend.settings import Settings

LIMIT_S = 20
ALL = 2**40


class Script:
    """What one generation does: each step is awaited when it is an event, raised when it is an exception, called when
    it can be called, and else yielded.

    `hold` keeps the generation in its `finally`.
    """

    def __init__(self, *steps: Any, hold: asyncio.Event | None = None) -> None:
        self.steps = steps
        self.hold = hold


class Scripted:
    """The model: the prompt is the name of its script."""

    max_running = 100
    scripts: ClassVar[dict[str, Script]] = {}
    journal: ClassVar[list[str]] = []

    def init(self) -> None:
        pass

    async def generate(self, prompt: str, *, thinking: bool = False) -> AsyncIterator[Any]:
        script = self.scripts[prompt]
        self.journal.append(f"start {prompt}")
        try:
            for step in script.steps:
                if isinstance(step, asyncio.Event):
                    await step.wait()
                elif isinstance(step, BaseException):
                    raise step
                elif callable(step):
                    step()
                else:
                    yield step
        finally:
            if script.hold:
                await script.hold.wait()
            self.journal.append(f"end {prompt}")

    async def close(self) -> None:
        self.journal.append("close")


class ScriptedEngine:
    """A running engine and what a test does with it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.scripts = Scripted.scripts
        self.journal = Scripted.journal

    async def ready(self) -> ScriptedEngine:
        await until(lambda: self.engine.state()["state"] == "ready")
        return self

    def ask(
        self,
        name: str,
        *steps: Any,
        hold: asyncio.Event | None = None,
        resumable: bool = False,
        queue: bool = True,
        read: bool = True,
        caller: Caller = NOBODY,
    ) -> Generation:
        """Submit a generation that performs these steps, and read it unless the test says otherwise."""
        self.scripts[name] = Script(*steps, hold=hold)
        generation = self.engine.submit(
            {**request(name, resumable=resumable, queue=queue), "caller": caller}
        )
        if read:
            self.engine.reader_came(generation.id)
        return generation


def request(
    prompt: str, *, resumable: bool = False, queue: bool = True, **sampling: Any
) -> GenerationRequest:
    return {
        "model": None,
        "messages": [{"role": "user", "content": prompt}],
        "thinking": False,
        "resumable": resumable,
        "sampling": sampling,
        "queue": queue,
        "caller": NOBODY,
    }


async def until(condition: Callable[[], object]) -> None:
    """Wait until the condition holds."""
    async with asyncio.timeout(LIMIT_S):
        while not condition():
            await asyncio.sleep(0.002)


async def finished(generation: Generation) -> list[dict[str, Any]]:
    """Wait for the terminal record and return all events."""
    await until(lambda: generation.log.finished)
    return events(generation)


def events(generation: Generation) -> list[dict[str, Any]]:
    return list(sse.decode(content(generation.log)))


def content(log: GenerationLog) -> bytes:
    return bytes(log.read(0, ALL))


def text(found: list[dict[str, Any]]) -> str:
    return "".join(event.get("token", "") for event in found)


def ending(found: list[dict[str, Any]]) -> str:
    """How a generation ended: its finish_reason, or the code of its error."""
    last = found[-1]
    return str(last["error"]["code"] if "error" in last else last["finish_reason"])


def positions(generation: Generation) -> list[int]:
    """The places in line that a generation's readers were told."""
    return [event["position"] for event in events(generation) if event.get("status") == "queued"]


StartEngine = Callable[..., Any]


def engine_starter(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> StartEngine:
    """Return what starts an engine: `async with start(model_class, **settings) as scripted_engine`."""
    module = types.ModuleType("scripted_under_test")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr("backend.engine.engine.SWEEP_S", 0.01)
    Scripted.scripts.clear()
    Scripted.journal.clear()

    @asynccontextmanager
    async def start(
        model: type = Scripted, *, ready: bool = True, key: str = "0123abcd", **changed: Any
    ) -> AsyncIterator[ScriptedEngine]:
        module.__dict__["Model"] = model
        settings = make_settings(model="scripted_under_test:Model", **changed)
        private_folder(settings.runtime_path)
        engine = Engine(settings, settings.models[0], key, on_change=lambda: None)
        engine.start()
        scripted = ScriptedEngine(engine)
        if ready:
            await scripted.ready()
        try:
            yield scripted
        finally:
            for generation in list(engine._live.values()):
                engine.stop(generation.id, generation.log.owner)
            await engine.unload()
            engine._sweeping.cancel()

    return start
