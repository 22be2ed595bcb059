"""The seam for a model: what a model class looks like, and how one is loaded and asked.

A model is any class with a method `generate`; two more are called where it has them:

    class MyModel:
        def init(self): ...                  # load; may be slow; may be async
        def generate(self, prompt): ...      # a generator or an async generator
        def close(self): ...                 # may be async

`generate` yields `str`, or `Delta`, `Prefill` and at the end `End`. What it is given follows from its signature: a
first parameter named `messages` gets the whole conversation, any other the last user message; `thinking` and the
sampling settings (`temperature`, `top_p`, `max_tokens`, `stop`, `seed`) go to the parameters of these names.

Stopping closes the generator: an async one gets `CancelledError` where it waits, a synchronous one is closed at its
next `yield`. Either way its `finally` runs. An empty `str` is passed on to nobody, so a synchronous generator that
waits for something can yield one now and then to learn that it was stopped. A synchronous generator runs in a thread,
one at a time; a class that can do more says so with an attribute `max_running`.

What else a class knows of itself, it may say in attributes, at the latest when `init` returns: `name` (what people call
the model), `context_tokens` (how many it can read and write together), `can_think = False` where `generate` takes
`thinking` but this model has no use for it, and `one_at_a_time = True` where no setting may let more than one run.

`docs/your-model.md` shows all of this by examples.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import os
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from typing import Any

from backend.errors import InvalidRequest
from backend.link import SAMPLING, Abilities, GenerationRequest
from backend.models import model_class
from backend.settings import Settings

LOGGER = logging.getLogger("gunicorn.error.models")

MAX_RUNNING_ASYNC = 100
MAX_RUNNING_SYNC = 1

TURN_S = 0.005  # that an async generator may go on without waiting, before the others have a turn
HELD_S = 0.5  # that one may hold the event loop, before the log says that it must not

# Characters of one event, so that none is too large for a window, a log or a browser; longer pieces are cut.
MAX_PIECE = 16384
AHEAD = 1000  # items that a synchronous generator may be ahead of the event loop

MAX_COUNT = 2**53 - 1  # beyond it JavaScript reads another number

BUILT_IN = {
    "simulated": "backend.models.simulated:SimulatedModel",
    "openai": "backend.models.openai_compatible:OpenAIModel",
    "transformers": "backend.models.local:TransformersModel",
}


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of an answer: `text`, or `thinking`, which is shown apart and never part of the next prompt."""

    text: str = ""
    thinking: str = ""


@dataclass(frozen=True, slots=True)
class Prefill:
    """How far the prompt has been read: `done` of `total`, in tokens. Raises `TypeError` for what is no count."""

    done: int
    total: int

    def __post_init__(self) -> None:
        if not (End.is_count(self.done) and End.is_count(self.total)):
            raise TypeError("Prefill() takes whole numbers of tokens, such as 3")


@dataclass(frozen=True, slots=True)
class End:
    """How an answer ended, if the model knows better: `stop` or `length`, and the usage in tokens.

    What is left out is counted by the engine: a yielded piece as one token, a word of the prompt as one token. Raises
    `TypeError` for usage that is no count.
    """

    finish_reason: str = "stop"
    prompt_tokens: int | None = None
    completion_tokens: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.finish_reason, str):
            raise TypeError("End() takes the reason as a text: stop, or length")
        for tokens in (self.prompt_tokens, self.completion_tokens):
            if tokens is not None and not self.is_count(tokens):
                raise TypeError("End() takes whole numbers of tokens, such as 3")

    @staticmethod
    def is_count(value: object) -> bool:
        """Say whether this is a number of tokens that every client can read."""
        return isinstance(value, int) and 0 <= value <= MAX_COUNT


Item = str | Delta | Prefill | End


class WrongItem(TypeError):
    """A model yielded what is no item. It is not quoted, for it may be a piece of the answer."""

    def __init__(self, item: object) -> None:
        kind = type(item).__qualname__
        if isinstance(item, Delta):
            kind = f"a Delta of {type(item.text).__qualname__}, {type(item.thinking).__qualname__}"
        self.loggable = f"generate() yielded {kind}, not str, Delta, Prefill or End"
        super().__init__(self.loggable)


class ModelBroken(Exception):
    """Raise it in a model that can answer nothing any more, as when its GPU has failed: its process is replaced.

    Like any other exception it is the end of the answer, and its text is for the log.
    """


class LoadedModel:
    """A model that is ready, behind one shape: whatever its class looks like, `stream` is an async iterator.

    `trusted` is one that is known never to hold the event loop.
    """

    def __init__(self, model: Any, max_running: int | None, *, trusted: bool = False) -> None:
        self._model = model
        self._trusted = trusted
        self._warned = False
        self._asynchronous = inspect.isasyncgenfunction(model.generate)
        default = MAX_RUNNING_ASYNC if self._asynchronous else MAX_RUNNING_SYNC
        if getattr(model, "one_at_a_time", False):
            max_running = 1
        self.max_running: int = max_running or getattr(model, "max_running", None) or default
        first, *rest = inspect.signature(model.generate).parameters.values()
        self._wants_messages = first.name == "messages"
        self._keywords = {parameter.name for parameter in rest}
        self._any_keyword = any(parameter.kind is parameter.VAR_KEYWORD for parameter in rest)
        context_tokens = getattr(model, "context_tokens", None)
        name = getattr(model, "name", None)
        self.abilities: Abilities = {
            "name": None if name is None else str(name),
            "sampling": [name for name in SAMPLING if self._accepts(name)],
            "thinking": self._accepts("thinking") and bool(getattr(model, "can_think", True)),
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

        if not self._asynchronous:
            return self._in_thread(generate)
        items: AsyncGenerator[Item] = generate()
        return items if self._trusted else self._in_turns(items)

    async def close(self) -> None:
        """Let the model free what it holds."""
        await _call(self._model, "close")
        self._threads.shutdown(wait=False)

    def _accepts(self, name: str) -> bool:
        return self._any_keyword or name in self._keywords

    async def _in_turns(self, items: AsyncGenerator[Item]) -> AsyncIterator[Item]:
        """Iterate an asynchronous generator that may compute, or wait without `await`, where it must not.

        Between two items the loop has its turn, so what it yields is sent and a stop is heard all the same.
        """
        async with aclosing(items):
            since, turned = time.monotonic(), _next_turn()
            async for item in items:
                if item.__class__ is str and 0 < len(item) <= MAX_PIECE:
                    yield item
                else:
                    for piece in _pieces(item):
                        yield piece
                now = time.monotonic()
                if not turned:
                    if now - since < TURN_S:
                        continue
                    if now - since > HELD_S and not self._warned:
                        self._warn(now - since)
                    await asyncio.sleep(0)
                since, turned = time.monotonic(), _next_turn()

    def _warn(self, held_s: float) -> None:
        self._warned = True
        kind = type(self._model)
        LOGGER.warning(
            "%s.%s.generate held the event loop for %.1f s, and with it every other chat: make it a plain `def`, "
            "which runs in a thread, or await what it waits for",
            kind.__module__,
            kind.__qualname__,
            held_s,
        )

    async def _in_thread(self, generate: Callable[[], Any]) -> AsyncIterator[Item]:
        """Iterate a synchronous generator in a thread of its own, and hand over what it yields in batches."""
        loop = asyncio.get_running_loop()
        no_more = End()
        items: deque[Item] = deque()
        something = asyncio.Event()
        stopped = threading.Event()

        room = threading.Event()

        def put(item: Item) -> None:
            items.append(item)
            ahead = len(items)
            if ahead == 1:
                # Else the loop was woken for an earlier item and has not come to the end of them yet.
                loop.call_soon_threadsafe(something.set)
            elif ahead >= AHEAD:
                room.clear()
                if len(items) >= AHEAD and not stopped.is_set():
                    room.wait()

        def run() -> None:
            process = os.getpid()
            try:
                with ExitStack() as at_end:
                    answer = generate()
                    if hasattr(answer, "close"):  # any iterable will do
                        at_end.callback(answer.close)
                    for item in _iterable(answer):
                        if stopped.is_set():
                            return
                        if item.__class__ is str and 0 < len(item) <= MAX_PIECE:
                            put(item)
                        else:
                            for piece in _pieces(item):
                                put(piece)
            except StopIteration as error:  # no future can hold one
                raise RuntimeError("generate() raised StopIteration") from error
            finally:
                if os.getpid() != process:
                    os._exit(0)  # the model has forked, and this is the child: nobody waits for it
                put(no_more)

        # In this task's context: what the model's code logs and traces there is about this generation.
        thread = loop.run_in_executor(self._threads, contextvars.copy_context().run, run)
        ended = False
        try:
            while not ended:
                await something.wait()
                something.clear()
                while items:
                    item = items.popleft()
                    if item is no_more:
                        ended = True
                        await thread  # raises what the model raised
                    else:
                        yield item
                room.set()
        finally:
            stopped.set()
            room.set()
            await asyncio.wait([thread])
            if not ended and (error := thread.exception()):
                LOGGER.error("A model that was stopped failed while it let go", exc_info=error)


async def load_model(model_id: str, settings: Settings) -> LoadedModel:
    """Import, create and initialise a model that `BURBLE_MODEL` names; off the event loop, for it may be slow.

    A class that asks for `settings` in its constructor gets the settings table. Raises whatever the model raises, and
    `ImportError`, `AttributeError` or `TypeError` for a name or a class that is not a model.
    """
    built_in = BUILT_IN.get(model_id.partition("/")[0])
    settings = settings.for_model(model_id)

    def create() -> Any:
        found = model_class.find(built_in or model_id)
        wants_settings = "settings" in inspect.signature(found).parameters
        return found(settings=settings) if wants_settings else found()

    model = await _in_a_thread(create)
    await _call(model, "init")
    return LoadedModel(model, settings.max_running, trusted=built_in is not None)


async def _call(model: Any, name: str) -> None:
    """Call a method, if there is one. It may be async; one that is not may block, so it runs in a thread."""
    method = getattr(model, name, None)
    if inspect.iscoroutinefunction(method):
        await method()
    elif method is not None:
        await _in_a_thread(method)


async def _in_a_thread(function: Callable[[], Any]) -> Any:
    def call() -> Any:
        try:
            return function()
        except StopIteration as error:  # no future can hold one
            raise RuntimeError("StopIteration was raised") from error

    return await asyncio.to_thread(call)


def _next_turn() -> list[bool]:
    """Return a list that is empty until the loop has done what is waiting for it now."""
    turned: list[bool] = []  # an `asyncio.Event` costs more, and this is made for every token
    asyncio.get_running_loop().call_soon(turned.append, True)
    return turned


def _pieces(item: Any) -> Iterator[Any]:
    """Yield in pieces what is too long for one event; nothing of an empty text; anything else as it is."""
    if isinstance(item, str):
        for start in range(0, len(item), MAX_PIECE):
            yield item[start : start + MAX_PIECE]
    elif isinstance(item, Delta) and isinstance(item.text, str) and isinstance(item.thinking, str):
        if max(len(item.text), len(item.thinking)) <= MAX_PIECE:
            yield item
            return
        for thinking in _pieces(item.thinking):
            yield Delta(thinking=thinking)
        yield from _pieces(item.text)
    else:
        yield item


def _iterable(answer: Any) -> Iterable[Item]:
    """Return what a synchronous `generate` returned, if it can be gone through; a text is an answer in one piece."""
    if isinstance(answer, str):
        return [answer]
    if isinstance(answer, Iterable) and not isinstance(answer, Mapping | bytes):
        return answer
    raise TypeError(
        f"generate() returned {type(answer).__name__}: it must yield, or return what can be iterated"
    )
