"""Models that misbehave: every answer has exactly one end all the same, and the next question is answered."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from backend import sse
from backend.errors import MAX_TEXT, EngineLost, ModelError, from_event
from backend.models import AHEAD, MAX_PIECE, Delta, End, LoadedModel, ModelBroken, Prefill
from backend.tests.scripted_engine import (
    Scripted,
    StartEngine,
    content,
    ending,
    finished,
    request,
    text,
    until,
)

pytestmark = pytest.mark.anyio

SECRET = "the reader's own words"


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise ValueError("no words for it")


class Speechless(ModelError):
    def __str__(self) -> str:
        raise ValueError("no words for it")


class OfItsOwn(BaseException):
    pass


RAISED: list[BaseException] = [
    Exception(),
    SystemExit(3),
    KeyboardInterrupt(),
    OfItsOwn(),
    MemoryError(),
    GeneratorExit(),
    StopIteration(),
    StopAsyncIteration(),
    asyncio.CancelledError(),
    RecursionError(),
    Unspeakable(),
    ExceptionGroup("several", [Exception()]),
]


def name_of(value: object) -> str:
    return type(value).__name__


class InThread(Scripted):
    """The same, in threads; what is raised is raised by the generator, or already by the call that makes it."""

    def generate(self, prompt: str) -> Iterator[Any]:  # type: ignore[override]
        steps = self.scripts[prompt].steps
        if isinstance(steps[0], BaseException):
            raise steps[0]
        return self._pieces(steps)

    def _pieces(self, steps: Any) -> Iterator[Any]:
        for step in steps:
            if isinstance(step, BaseException):
                raise step
            yield step


# What is raised


@pytest.mark.parametrize("error", RAISED, ids=name_of)
@pytest.mark.parametrize("model", [Scripted, InThread])
async def test_whatever_a_model_raises_the_answer_ends_and_the_next_one_comes(
    start_engine: StartEngine, model: type, error: BaseException
) -> None:
    async with start_engine(model, max_running=1) as engine:
        for name, before in (("at once", []), ("later", ["before "])):
            found = await finished(engine.ask(name, *before, error))
            assert (text(found), ending(found)) == ("".join(before), "model_error")
        assert text(await finished(engine.ask("next", "still here"))) == "still here"


@pytest.mark.parametrize("error", RAISED, ids=name_of)
@pytest.mark.parametrize("asynchronous", [True, False], ids=["async", "thread"])
async def test_whatever_init_raises_is_a_reason_and_it_is_tried_again(
    start_engine: StartEngine,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    asynchronous: bool,
) -> None:
    tries = itertools.count()

    def init() -> None:
        if not next(tries):
            raise error

    class InLoop(Scripted):
        async def init(self) -> None:  # type: ignore[override]
            init()

    class InAThread(Scripted):
        def init(self) -> None:
            init()

    async def at_once(_: object) -> None:
        pass

    monkeypatch.setattr("backend.engine.engine.LoadAttempts.wait", at_once)
    reasons: list[str] = []
    model = InLoop if asynchronous else InAThread
    async with start_engine(model, ready=False) as engine:
        engine.engine._on_change = lambda: reasons.append(engine.engine.state()["reason"])
        await engine.ready()
        assert any(reasons)
        assert text(await finished(engine.ask("a", "loaded after all"))) == "loaded after all"


@pytest.mark.parametrize("error", [Speechless(), ModelError("x" * 10_000_000)], ids=name_of)
async def test_what_a_model_tells_its_reader_is_a_sentence_and_no_book(
    start_engine: StartEngine, error: ModelError
) -> None:
    async with start_engine() as engine:
        found = await finished(engine.ask("a", error))
        assert ending(found) == "model_error"
        assert 0 < len(str(from_event(found[-1]["error"]))) <= MAX_TEXT


async def test_a_broken_model_ends_all_that_is_there_and_its_worker_leaves(
    start_engine: StartEngine,
) -> None:
    left: list[bool] = []
    async with start_engine(max_running=2) as engine:
        engine.engine._on_stuck = lambda: left.append(True)
        running = engine.ask("running", "begun", asyncio.Event())
        await until(lambda: running.tokens)
        broken = engine.ask("broken", ModelBroken("The GPU has failed."))
        waiting = [engine.ask(name, "never") for name in ("first", "second")]
        assert ending(await finished(broken)) == "model_error"
        for generation in (running, *waiting):
            assert ending(await finished(generation)) == EngineLost.code
        assert not {"start first", "start second"} & set(engine.journal)
        assert all(generation.task is None for generation in waiting)
        assert left == [True]


# What is yielded


class Text(str):
    """A text that is more than one."""

    def encode(self, *_: Any) -> bytes:
        raise ValueError


@pytest.mark.parametrize(
    "pieces",
    [
        [Text("subclass")],
        ["\ud800"],
        ["\udfff a \ud83d"],
        ["\ud83d", "\ude00"],
        ["\0\x01\x1b[2J\x7f"],
        ["\r\n\n", "\n\n", "\r\r"],
        ["data: [DONE]\n\n", "data: {}", ": comment\n\n", "id: 7\n"],
        ["\u2028\u2029\u0085\ufeff"],
        ["", "", Delta(), "a", Delta(text="", thinking="")],
        [Delta(text="\ud800", thinking="\udfff\r\n\n")],
    ],
    ids=map(str, range(10)),
)
@pytest.mark.parametrize("model", [Scripted, InThread])
async def test_strange_texts_are_texts(
    start_engine: StartEngine, model: type, pieces: list[Any]
) -> None:
    async with start_engine(model) as engine:
        generation = engine.ask("a", *pieces)
        found = await finished(generation)
        raw = content(generation.log).decode()  # it is UTF-8
        assert all(
            line.startswith("data: {") or line == "data: [DONE]" for line in raw.split("\n") if line
        )
        assert raw.endswith("\n\ndata: [DONE]\n\n")
        assert [event["finish_reason"] for event in found if "finish_reason" in event] == ["stop"]
        said = [each for each in pieces if isinstance(each, str)]
        if said:
            assert text(found) == "".join(str(sse.well_formed(each + "")) for each in said)


@pytest.mark.parametrize(
    "make",
    [
        lambda: None,
        lambda: SECRET.encode(),
        lambda: [SECRET],
        lambda: {"token": SECRET},
        lambda: float("nan"),
        lambda: Delta(text=SECRET.encode()),  # type: ignore[arg-type]
        lambda: Delta(thinking=[SECRET]),  # type: ignore[arg-type]
        lambda: Prefill(float("nan"), 2),  # type: ignore[arg-type]
        lambda: Prefill(1, "2"),  # type: ignore[arg-type]
        lambda: End(None),  # type: ignore[arg-type]
        lambda: End("stop", SECRET),  # type: ignore[arg-type]
        lambda: object(),
    ],
    ids=map(str, range(12)),
)
async def test_what_is_no_piece_of_an_answer_is_a_failure_and_not_in_the_log(
    start_engine: StartEngine, caplog: pytest.LogCaptureFixture, make: Any
) -> None:
    class Model(Scripted):
        async def generate(self, prompt: str) -> AsyncIterator[Any]:  # type: ignore[override]
            yield "before "
            yield make()

    async with start_engine(Model) as engine:
        found = await finished(engine.ask("a"))
        assert (text(found), ending(found)) == ("before ", "model_error")
    assert SECRET not in caplog.text


@pytest.mark.parametrize("model", [Scripted, InThread])
@pytest.mark.parametrize("kind", [str, lambda text: Delta(thinking=text)], ids=["text", "thinking"])
async def test_megabytes_at_once_come_in_events_of_a_bounded_size(
    start_engine: StartEngine, model: type, kind: Any
) -> None:
    much = "0123456789 é\u2028" * 100_000
    async with start_engine(model) as engine:
        generation = engine.ask("a", "small ", kind(much))
        found = await finished(generation)
        key = "thinking" if "thinking" in found[2] else "token"
        assert "".join(event.get(key, "") for event in found[1:]) == much
        sizes = map(len, content(generation.log).split(b"\n\n"))
        assert max(sizes) < 6 * MAX_PIECE + 100
        assert ending(found) == "stop"


async def test_a_thread_is_never_far_ahead_of_who_reads() -> None:
    made = [0]
    closed: list[bool] = []

    class Model:
        def generate(self, prompt: str) -> Iterator[str]:
            try:
                while True:
                    made[0] += 1
                    yield f"{made[0]} "
            finally:
                closed.append(True)

    items = LoadedModel(Model(), None).stream(request("x"))
    read = []
    for turn in range(5):
        async for item in items:
            read.append(item)
            if len(read) == 3 * AHEAD * turn + 1:
                break
        before = 0
        while made[0] != before:  # until it stands still
            before = made[0]
            await asyncio.sleep(0.05)
        assert made[0] <= len(read) + 2 * AHEAD
    await items.aclose()  # type: ignore[attr-defined]
    assert closed == [True]
    assert read == [f"{number} " for number in range(1, len(read) + 1)]


@pytest.mark.parametrize("model", [Scripted, InThread])
async def test_a_model_that_says_nothing_for_ever_without_waiting_times_out(
    start_engine: StartEngine, caplog: pytest.LogCaptureFixture, model: type
) -> None:
    class Nothing(Scripted):
        async def generate(self, prompt: str) -> AsyncIterator[Any]:  # type: ignore[override]
            while prompt == "nothing":
                yield ""
            yield prompt

    class NothingInThread(Scripted):
        def generate(self, prompt: str) -> Iterator[Any]:  # type: ignore[override]
            while prompt == "nothing":
                yield ""
            yield prompt

    kind = Nothing if model is Scripted else NothingInThread
    async with start_engine(kind, dirty_timeout=0.6, max_running=1) as engine:
        silent = engine.ask("nothing")
        assert ending(await finished(silent)) == "timeout"
        engine.engine._sweeping.cancel()  # a thread may take its time to begin
        assert text(await finished(engine.ask("something"))) == "something"
    assert f"Generation {silent.id} timed out" in caplog.text


# Nobody reads


async def test_what_nobody_reads_gives_way_to_those_who_wait(
    start_engine: StartEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.engine.engine.CROWDED_GRACE_S", 0.2)
    async with start_engine(max_running=2, resume_grace=1000) as engine:
        unread = engine.ask("unread", "x", asyncio.Event(), resumable=True, read=False)
        read = engine.ask("read", "x", asyncio.Event(), resumable=True)
        await asyncio.sleep(0.4)
        assert not unread.log.finished  # nobody wants its place
        waiting = engine.ask("waiting", "its turn")
        assert text(await finished(waiting)) == "its turn"
        assert ending(await finished(unread)) == "cancelled"
        assert not read.log.finished
