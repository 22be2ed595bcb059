"""The seam for a model: what a model class looks like, and how one is loaded and asked.

A model is any class with three methods:

    class MyModel:
        def init(self): ...                  # load; may be slow; may be async
        def generate(self, prompt): ...      # a generator or an async generator
        def close(self): ...                 # may be async

`generate` yields `str`, or `Delta`, `Prefill` and at the end `End`. What it is given follows from its signature: a
first parameter named `messages` gets the whole conversation, any other the last user message; `thinking` and the
sampling settings (`temperature`, `top_p`, `max_tokens`, `stop`, `seed`) go to the parameters of these names.

Stopping closes the generator: an async one gets `CancelledError` where it waits, a synchronous one is closed at its
next `yield`. Either way its `finally` runs. A synchronous generator runs in a thread, one at a time; a class that can
do more says so with an attribute `max_running`. One that knows how many tokens it can read and write together says so
with an attribute `context_tokens`.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from backend.errors import InvalidRequest
from backend.link import SAMPLING, Abilities, GenerationRequest
from backend.settings import Settings

MAX_RUNNING_ASYNC = 100
MAX_RUNNING_SYNC = 1

BUILT_IN = {"simulated": "backend.models.simulated:SimulatedModel"}


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of an answer: `text`, or `thinking`, which is shown apart and never part of the next prompt."""

    text: str = ""
    thinking: str = ""


@dataclass(frozen=True, slots=True)
class Prefill:
    """How far the prompt has been read: `done` of `total`, in tokens."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class End:
    """How an answer ended, if the model knows better: `stop` or `length`, and the usage in tokens.

    What is left out is counted by the engine: a yielded piece as one token, a word of the prompt as one token.
    """

    finish_reason: str = "stop"
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


Item = str | Delta | Prefill | End


class LoadedModel:
    """A model that is ready, behind one shape: whatever its class looks like, `stream` is an async iterator."""

    def __init__(self, model: Any, max_running: int | None) -> None:
        self._model = model
        self._asynchronous = inspect.isasyncgenfunction(model.generate)
        default = MAX_RUNNING_ASYNC if self._asynchronous else MAX_RUNNING_SYNC
        self.max_running: int = max_running or getattr(model, "max_running", None) or default
        first, *rest = inspect.signature(model.generate).parameters.values()
        self._wants_messages = first.name == "messages"
        self._keywords = {parameter.name for parameter in rest}
        self._any_keyword = any(parameter.kind is parameter.VAR_KEYWORD for parameter in rest)
        context_tokens = getattr(model, "context_tokens", None)
        self.abilities: Abilities = {
            "sampling": [name for name in SAMPLING if self._accepts(name)],
            "thinking": self._accepts("thinking"),
            "messages": self._wants_messages,
            "context_tokens": None if context_tokens is None else int(context_tokens),
        }
        self._threads = ThreadPoolExecutor(self.max_running, thread_name_prefix="model")

    def check(self, request: GenerationRequest) -> None:
        """Raise `InvalidRequest` for a sampling setting that this model does not take."""
        for name in request["sampling"]:
            if not self._accepts(name):
                message = f"The model does not take {name}."
                raise InvalidRequest(message, errors=[{"field": name, "message": message}])

    def stream(self, request: GenerationRequest) -> AsyncIterator[Item]:
        """Start a generation. Close the iterator (`aclosing`) to stop it: that returns once the model has let go.

        Raises what `check` raises: a generation may have been admitted before the model was there to ask.
        """
        self.check(request)
        keywords = dict(request["sampling"])
        if self._accepts("thinking"):
            keywords["thinking"] = request["thinking"]
        prompt: Any = (
            request["messages"] if self._wants_messages else request["messages"][-1]["content"]
        )

        def generate() -> Any:
            return self._model.generate(prompt, **keywords)

        return generate() if self._asynchronous else self._in_thread(generate)

    async def close(self) -> None:
        """Let the model free what it holds."""
        await _call(self._model.close)
        self._threads.shutdown(wait=False)

    def _accepts(self, name: str) -> bool:
        return self._any_keyword or name in self._keywords

    async def _in_thread(self, generate: Callable[[], Any]) -> AsyncIterator[Item]:
        """Iterate a synchronous generator in a thread of its own, and hand over what it yields in batches."""
        loop = asyncio.get_running_loop()
        no_more = End()
        items: deque[Item] = deque()
        something = asyncio.Event()
        stopped = threading.Event()

        def put(item: Item) -> None:
            items.append(item)
            if (
                len(items) == 1
            ):  # else the loop was woken for an earlier item and has not come to the end of them yet
                loop.call_soon_threadsafe(something.set)

        def run() -> None:
            try:
                with ExitStack() as at_end:
                    generator = generate()
                    if hasattr(generator, "close"):  # any iterable will do
                        at_end.callback(generator.close)
                    for item in generator:
                        if stopped.is_set():
                            return
                        put(item)
            finally:
                put(no_more)

        thread = loop.run_in_executor(self._threads, run)
        try:
            while True:
                await something.wait()
                something.clear()
                while items:
                    item = items.popleft()
                    if item is no_more:
                        await thread  # raises what the model raised
                        return
                    yield item
        finally:
            stopped.set()
            await asyncio.wait([thread])


async def load_model(settings: Settings) -> LoadedModel:
    """Import, create and initialise the model that `BURBLE_MODEL` names; off the event loop, for it may be slow.

    A class that asks for `settings` in its constructor gets the settings table. Raises whatever the model raises, and
    `ImportError`, `AttributeError`, `TypeError` or `ValueError` for a name or a class that is not a model.
    """
    path = BUILT_IN.get(settings.model, settings.model)
    if ":" not in path:
        raise ValueError(
            f"BURBLE_MODEL must be {', '.join(BUILT_IN)} or package.module:ClassName, not {path!r}"
        )

    def create() -> Any:
        module, _, name = path.partition(":")
        model_class = getattr(importlib.import_module(module), name)
        missing = [
            method for method in ("init", "generate", "close") if not hasattr(model_class, method)
        ]
        if missing:
            raise TypeError(f"{path} is no model: it has no {' and no '.join(missing)}")
        if inspect.iscoroutinefunction(model_class.generate):
            raise TypeError("generate must be a generator or an async generator: it has to yield")
        if len(inspect.signature(model_class.generate).parameters) < 2:  # the first is self
            raise TypeError("generate must take the prompt, or messages")
        wants_settings = "settings" in inspect.signature(model_class).parameters
        return model_class(settings=settings) if wants_settings else model_class()

    model = await asyncio.to_thread(create)
    await _call(model.init)
    return LoadedModel(model, settings.max_running)


async def _call(method: Callable[[], Any]) -> None:
    """Call a method that may be async; one that is not may block, so it runs in a thread."""
    if inspect.iscoroutinefunction(method):
        await method()
    else:
        await asyncio.to_thread(method)
