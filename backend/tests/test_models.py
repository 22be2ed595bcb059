from __future__ import annotations

import asyncio
import queue
import re
import sys
import threading
import time
import types
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from backend import link
from backend.errors import InvalidRequest
from backend.link import NOBODY, Abilities, GenerationRequest
from backend.models import (
    MAX_RUNNING_ASYNC,
    MAX_RUNNING_SYNC,
    TURN_S,
    Delta,
    LoadedModel,
    load_model,
)
from backend.settings import Settings

pytestmark = pytest.mark.anyio

MakeSettings = Callable[..., Settings]

MESSAGES = [
    {"role": "user", "content": "first"},
    {"role": "assistant", "content": "answer"},
    {"role": "user", "content": "last"},
]
SAMPLING = {"temperature": 0.5, "top_p": 0.9, "max_tokens": 7, "stop": ["x"], "seed": 1}
MODEL = "model_under_test:Model"
WAIT_S = 10


class Base:
    def init(self) -> None:
        pass

    def close(self) -> None:
        pass


def request(thinking: bool = False, **sampling: Any) -> GenerationRequest:
    return {
        "model": None,
        "messages": MESSAGES,  # type: ignore[typeddict-item]
        "thinking": thinking,
        "resumable": False,
        "sampling": sampling,
        "queue": True,
        "caller": NOBODY,
    }


async def ask(model: LoadedModel, *, thinking: bool = False, **sampling: Any) -> list[Any]:
    question = request(thinking, **sampling)
    model.check(question)
    return [item async for item in model.stream(question)]


def loaded(model: Any, max_running: int | None = None) -> LoadedModel:
    return LoadedModel(model, max_running)


async def in_thread(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, WAIT_S)


# What generate is given


async def test_a_first_parameter_of_another_name_gets_the_last_user_message() -> None:
    class Synchronous(Base):
        def generate(self, prompt: Any) -> Iterator[Any]:
            yield prompt

    class Asynchronous(Base):
        async def generate(self, question: Any) -> AsyncIterator[Any]:
            yield question

    assert await ask(loaded(Synchronous())) == ["last"]
    assert await ask(loaded(Asynchronous())) == ["last"]


async def test_a_first_parameter_named_messages_gets_the_whole_conversation() -> None:
    class Synchronous(Base):
        def generate(self, messages: Any) -> Iterator[Any]:
            yield messages

    class Asynchronous(Base):
        async def generate(self, messages: Any) -> AsyncIterator[Any]:
            yield messages

    assert await ask(loaded(Synchronous())) == [MESSAGES]
    assert await ask(loaded(Asynchronous())) == [MESSAGES]


async def test_thinking_and_sampling_go_to_the_parameters_of_their_names() -> None:
    class Model(Base):
        def generate(
            self, prompt: str, thinking: bool, *, seed: int | None = None, temperature: float = 1.0
        ) -> Iterator[Any]:
            yield thinking, seed, temperature

    model = loaded(Model())
    assert await ask(model) == [(False, None, 1.0)]
    assert await ask(model, thinking=True, seed=3) == [(True, 3, 1.0)]
    assert await ask(model, temperature=0.5) == [(False, None, 0.5)]


async def test_any_keyword_takes_everything() -> None:
    class Model(Base):
        async def generate(self, prompt: str, **settings: Any) -> AsyncIterator[Any]:
            yield settings

    assert await ask(loaded(Model()), thinking=True, **SAMPLING) == [{"thinking": True, **SAMPLING}]
    assert await ask(loaded(Model())) == [{"thinking": False}]  # only what the client set


async def test_a_sampling_setting_that_the_model_does_not_take_is_refused_by_name() -> None:
    class Model(Base):
        def generate(self, prompt: str, seed: int = 0) -> Iterator[Any]:
            yield seed

    model = loaded(Model())
    assert await ask(model, seed=5) == [5]
    with pytest.raises(InvalidRequest, match="temperature") as refused:
        model.check(request(seed=5, temperature=0.5))
    assert [error["field"] for error in refused.value.errors] == ["temperature"]


async def test_a_model_tells_what_it_takes() -> None:
    class Plain(Base):
        def generate(self, prompt: str) -> Iterator[Any]:
            yield prompt

    class Some(Base):
        name = "Some model"
        context_tokens = 8192

        async def generate(
            self, messages: Any, seed: int, *, thinking: bool, temperature: float
        ) -> AsyncIterator[Any]:
            yield messages

    class Every(Base):
        def generate(self, prompt: str, **settings: Any) -> Iterator[Any]:
            yield prompt

    class Unthinking(Some):
        can_think = False

    nothing: Abilities = {
        "name": None,
        "sampling": [],
        "thinking": False,
        "messages": False,
        "context_tokens": None,
    }
    some: Abilities = {
        "name": "Some model",
        "sampling": ["temperature", "seed"],
        "thinking": True,
        "messages": True,
        "context_tokens": 8192,
    }
    assert loaded(Plain()).abilities == nothing
    assert loaded(Some()).abilities == some
    assert loaded(Every()).abilities == {
        **nothing,
        "sampling": list(link.SAMPLING),
        "thinking": True,
    }
    assert loaded(Unthinking()).abilities == {**some, "thinking": False}


async def test_a_model_that_knows_no_thinking_is_asked_all_the_same() -> None:
    class Model(Base):
        def generate(self, prompt: str) -> Iterator[Any]:
            yield prompt

    assert await ask(loaded(Model()), thinking=True) == ["last"]


# What generate yields


async def test_everything_that_is_yielded_comes_out_in_order() -> None:
    items = ["a", Delta(thinking="b"), "", None, 5, "c"]

    class Synchronous(Base):
        def generate(self, prompt: str) -> Iterator[Any]:
            yield from items

    class Asynchronous(Base):
        async def generate(self, prompt: str) -> AsyncIterator[Any]:
            for item in items:
                yield item

    # An empty text says nothing, and would count as a token.
    expected = [item for item in items if item != ""]
    assert await ask(loaded(Synchronous())) == expected
    assert await ask(loaded(Asynchronous())) == expected


async def test_what_can_be_iterated_will_do_and_a_text_is_an_answer_in_one_piece() -> None:
    class Listing(Base):
        def generate(self, prompt: str) -> list[str]:
            return ["all ", "at once"]

    class Text(Base):
        def generate(self, prompt: str) -> str:
            return "all at once"

    assert await ask(loaded(Listing())) == ["all ", "at once"]
    assert await ask(loaded(Text())) == ["all at once"]


async def test_what_cannot_be_iterated_is_named() -> None:
    async def answer(prompt: str) -> str:
        return prompt

    async def pieces(prompt: str) -> AsyncIterator[str]:
        yield prompt

    class Nothing(Base):
        def generate(self, prompt: str) -> None:
            pass

    class Coroutine(Base):
        def generate(self, prompt: str) -> Any:
            return answer(prompt)  # its warning, that nobody awaited it, would be an error here

    class Hidden(Base):
        def generate(self, prompt: str) -> Any:
            return pieces(prompt)

    class Whole(Base):
        def generate(self, prompt: str) -> Any:
            return {"text": prompt}

    for model, returned in (
        (Nothing(), "None"),
        (Coroutine(), "coroutine"),
        (Hidden(), "async_"),
        (Whole(), "dict"),
    ):
        with pytest.raises(TypeError, match=rf"returned .*{returned}.* must yield"):
            await ask(loaded(model))


async def test_100_000_items_from_a_thread_arrive_complete_and_in_order() -> None:
    class Model(Base):
        def generate(self, prompt: str) -> Iterator[Any]:
            yield from range(1, 100_001)

    # Now and then the reader is away, so that the thread meets it at every stage.
    seen: list[int] = []
    items: AsyncIterator[Any] = loaded(Model()).stream(request())
    async for item in items:
        seen.append(item)
        if item % 997 == 0:
            await asyncio.sleep(0)
    assert seen == list(range(1, 100_001))


async def test_each_item_from_a_thread_is_there_before_the_next_is_made() -> None:
    go_on = threading.Event()

    class Model(Base):
        def generate(self, prompt: str) -> Iterator[Any]:
            yield "one"
            assert go_on.wait(WAIT_S)
            yield "two"

    items = loaded(Model()).stream(request())
    assert await anext(items) == "one"
    go_on.set()
    assert [item async for item in items] == ["two"]


async def test_a_synchronous_generator_does_not_stand_in_the_way_of_the_loop() -> None:
    started, go_on = threading.Event(), threading.Event()

    class Model(Base):
        def generate(self, prompt: str) -> Iterator[Any]:
            started.set()
            assert go_on.wait(WAIT_S)
            yield "done"

    answer = asyncio.create_task(ask(loaded(Model())))
    await in_thread(started)  # the loop still turns
    assert not answer.done()
    go_on.set()
    assert await answer == ["done"]


class Blocking(Base):
    """An async generator that does what it must not: it waits without awaiting."""

    def __init__(self, pause_s: float) -> None:
        self.pause_s = pause_s
        self.journal: list[str] = []

    async def generate(self, prompt: str) -> AsyncIterator[Any]:
        try:
            for number in range(20):
                time.sleep(self.pause_s)
                yield number
        finally:
            self.journal.append("finally")


async def test_an_async_generator_that_blocks_leaves_the_loop_its_turns() -> None:
    model = Blocking(2 * TURN_S)
    first: asyncio.Task[list[Any]] = asyncio.create_task(ask(loaded(model)))
    second: asyncio.Task[list[Any]] = asyncio.create_task(ask(loaded(Blocking(0))))
    assert await second == list(range(20))
    assert not first.done()
    first.cancel()  # heard although the generator never waits
    with pytest.raises(asyncio.CancelledError):
        await first
    assert model.journal == ["finally"]


async def test_an_async_generator_that_blocks_long_is_named_in_the_log_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.models.HELD_S", 2 * TURN_S)
    model = loaded(Blocking(3 * TURN_S))
    await asyncio.gather(ask(model), ask(model))
    (warning,) = caplog.records
    said = rf"{re.escape(__name__)}\.Blocking\.generate held the event loop for \d+\.\d s"
    assert re.search(said, warning.getMessage())


async def test_an_async_generator_that_waits_is_not_accused(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Model(Base):
        async def generate(self, prompt: str) -> AsyncIterator[Any]:
            for number in range(3):
                await asyncio.sleep(0.3)
                yield number

    monkeypatch.setattr("backend.models.HELD_S", 0.2)
    assert await ask(loaded(Model())) == list(range(3))
    assert not caplog.records


async def test_an_exception_passes_after_what_was_yielded_before_it() -> None:
    class Synchronous(Base):
        def generate(self, prompt: str) -> Iterator[Any]:
            yield "before"
            raise KeyError("boom")

    class Asynchronous(Base):
        async def generate(self, prompt: str) -> AsyncIterator[Any]:
            yield "before"
            raise KeyError("boom")

    class Immediately(Base):
        def generate(self, prompt: str) -> Any:
            raise KeyError("boom")

    for model, expected in (
        (Synchronous(), ["before"]),
        (Asynchronous(), ["before"]),
        (Immediately(), []),
    ):
        seen: list[Any] = []

        async def collect(model: Any = model, seen: list[Any] = seen) -> None:
            async for item in loaded(model).stream(request()):
                seen.append(item)

        with pytest.raises(KeyError, match="boom"):
            await collect()
        assert seen == expected


# Stopping


async def test_closing_closes_a_synchronous_generator_at_its_next_yield_and_waits_for_it() -> None:
    waiting, go_on = threading.Event(), threading.Event()
    journal: list[str] = []

    class Model(Base):
        def generate(self, prompt: str) -> Iterator[Any]:
            try:
                yield "one"
                waiting.set()
                assert go_on.wait(WAIT_S)
                journal.append("next yield")
                yield "two"
                journal.append("beyond")
            finally:
                journal.append("finally")

    items: Any = loaded(Model()).stream(request())
    assert await anext(items) == "one"
    await in_thread(waiting)
    closing = asyncio.create_task(items.aclose())
    await asyncio.sleep(0.05)
    assert not closing.done()
    assert journal == []
    go_on.set()
    await closing
    assert journal == ["next yield", "finally"]


async def test_a_synchronous_generator_that_waits_can_ask_whether_it_was_stopped() -> None:
    waiting = threading.Event()
    journal: list[str] = []

    class Model(Base):
        def generate(self, prompt: str) -> Iterator[Any]:
            results: queue.Queue[str] = queue.Queue()  # nothing ever comes
            try:
                yield "one"
                waiting.set()
                while True:
                    try:
                        yield results.get(timeout=0.01)
                    except queue.Empty:
                        yield ""
            finally:
                journal.append("finally")

    items: Any = loaded(Model()).stream(request())
    assert await anext(items) == "one"
    await in_thread(waiting)
    await items.aclose()
    assert journal == ["finally"]


async def test_what_a_stopped_generator_raises_in_a_thread_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Model(Base):
        def generate(self, prompt: str) -> Iterator[Any]:
            try:
                while True:
                    yield "on and on"
            finally:
                raise OSError("the device is gone")

    items: Any = loaded(Model()).stream(request())
    assert await anext(items) == "on and on"
    await items.aclose()
    (record,) = caplog.records
    assert record.exc_info
    assert str(record.exc_info[1]) == "the device is gone"


async def test_a_place_for_a_thread_is_free_again_after_a_stop() -> None:
    class Model(Base):
        def generate(self, prompt: str) -> Iterator[Any]:
            while True:
                yield "on and on"

    model = loaded(Model())  # one at a time
    for _ in range(3):
        async with aclosing(model.stream(request())) as items:  # type: ignore[type-var]
            assert await anext(items) == "on and on"


async def test_cancelling_reaches_an_asynchronous_generator_where_it_waits() -> None:
    waiting = asyncio.Event()
    journal: list[str] = []

    class Model(Base):
        async def generate(self, prompt: str) -> AsyncIterator[Any]:
            try:
                yield "one"
                waiting.set()
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                journal.append("cancelled")
                raise
            finally:
                journal.append("finally")

    asking = asyncio.create_task(ask(loaded(Model())))
    await waiting.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert journal == ["cancelled", "finally"]


# How many at once


async def test_synchronous_generators_run_one_at_a_time_unless_the_class_says_otherwise() -> None:
    class One(Base):
        running = 0

        def generate(self, prompt: str) -> Iterator[Any]:
            One.running += 1
            yield One.running
            One.running -= 1

    class Three(Base):
        max_running = 3
        together = threading.Barrier(3, timeout=WAIT_S)

        def generate(self, prompt: str) -> Iterator[Any]:
            self.together.wait()
            yield "together"

    one = loaded(One())
    assert one.max_running == MAX_RUNNING_SYNC == 1
    assert await asyncio.gather(*(ask(one) for _ in range(5))) == [[1]] * 5
    three = loaded(Three())
    assert three.max_running == 3
    assert await asyncio.gather(*(ask(three) for _ in range(3))) == [["together"]] * 3


async def test_the_setting_for_how_many_run_wins_over_the_class() -> None:
    class Plain(Base):
        async def generate(self, prompt: str) -> AsyncIterator[Any]:
            yield prompt

    class Says(Plain):
        max_running = 5

    assert loaded(Plain()).max_running == MAX_RUNNING_ASYNC
    assert loaded(Says()).max_running == 5
    assert loaded(Says(), 2).max_running == 2
    assert loaded(Plain(), 9).max_running == 9


# Loading


class Recorder:
    """What the model under test did, and in which thread."""

    calls: list[tuple[str, bool]] = []  # noqa: RUF012 (cleared by the fixture)

    def note(self, name: str) -> None:
        self.calls.append((name, threading.current_thread() is threading.main_thread()))


Load = Callable[..., Any]


@pytest.fixture
def load(make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Load a class as `BURBLE_MODEL` would."""
    Recorder.calls.clear()
    module = types.ModuleType("model_under_test")
    monkeypatch.setitem(sys.modules, module.__name__, module)

    async def load(model_class: Any, **changed: Any) -> LoadedModel:
        module.__dict__["Model"] = model_class
        return await load_model(MODEL, make_settings(model=MODEL, **changed))

    return load


async def test_a_slow_constructor_and_init_run_off_the_loop_and_close_too(load: Load) -> None:
    class Model(Recorder):
        def __init__(self) -> None:
            self.note("__init__")

        def init(self) -> None:
            self.note("init")

        def generate(self, prompt: str) -> Iterator[Any]:
            yield prompt

        def close(self) -> None:
            self.note("close")

    model = await load(Model)
    assert await ask(model) == ["last"]
    await model.close()
    assert Recorder.calls == [("__init__", False), ("init", False), ("close", False)]


async def test_init_and_close_may_be_asynchronous_and_then_run_on_the_loop(load: Load) -> None:
    class Model(Recorder):
        async def init(self) -> None:
            self.note("init")

        async def generate(self, prompt: str) -> AsyncIterator[Any]:
            yield prompt

        async def close(self) -> None:
            self.note("close")

    model = await load(Model)
    await model.close()
    assert Recorder.calls == [("init", True), ("close", True)]


async def test_a_constructor_that_asks_for_the_settings_gets_them(load: Load) -> None:
    class Model(Base):
        def __init__(self, settings: Settings) -> None:
            self.queued = settings.max_queued

        def generate(self, prompt: str) -> Iterator[Any]:
            yield self.queued

    assert await ask(await load(Model, max_queued=11)) == [11]


async def test_the_setting_for_how_many_run_reaches_the_model(load: Load) -> None:
    class Model(Base):
        def generate(self, prompt: str) -> Iterator[Any]:
            yield prompt

    assert (await load(Model)).max_running == 1
    assert (await load(Model, max_running=4)).max_running == 4

    class Single(Model):
        one_at_a_time = True

    assert (await load(Single, max_running=4)).max_running == 1


async def test_init_and_close_may_be_left_out(load: Load) -> None:
    class Smallest:
        def generate(self, prompt: str) -> Iterator[Any]:
            yield prompt

    model = await load(Smallest)
    assert await ask(model) == ["last"]
    await model.close()


async def test_a_class_without_generate_is_told_so(load: Load) -> None:
    with pytest.raises(TypeError, match=r"model_under_test:Model is no model: it has no generate$"):
        await load(Base)


async def test_only_a_class_is_a_model(load: Load) -> None:
    with pytest.raises(TypeError, match=r"model_under_test:Model is no class$"):
        await load(Base())


async def test_generate_must_be_callable_with_what_it_is_given(load: Load) -> None:
    class Nothing(Base):
        def generate(self) -> Iterator[Any]:
            yield ""

    class Foreign(Base):
        def generate(self, prompt: str, beams: int) -> Iterator[Any]:
            yield beams

    class Sometimes(Base):
        def generate(self, prompt: str, *, seed: int) -> Iterator[Any]:
            yield seed

    class Fine(Base):
        def generate(
            self, prompt: str, thinking: bool, beams: int = 4, **more: Any
        ) -> Iterator[Any]:
            yield thinking

    for model_class, sentence in (
        (Nothing, "must take the prompt, or messages"),
        (Foreign, "must have a default for beams: nothing but"),
        (Sometimes, "must have a default for seed: most requests"),
    ):
        with pytest.raises(TypeError, match=sentence):
            await load(model_class)
    assert await ask(await load(Fine), thinking=True) == [True]


async def test_a_coroutine_function_is_no_generator_and_the_error_says_so(load: Load) -> None:
    class Model(Base):
        async def generate(self, prompt: str) -> str:
            return prompt

    with pytest.raises(TypeError, match=r"generator.*yield"):
        await load(Model)


async def test_what_init_raises_passes(load: Load) -> None:
    class Model(Base):
        def init(self) -> None:
            raise OSError("the weights are not there")

        def generate(self, prompt: str) -> Iterator[Any]:
            yield prompt

    with pytest.raises(OSError, match="the weights are not there"):
        await load(Model)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "no_such_module:Model",
            r"no no_such_module\.py in {folder}, where README\.md lies, and no package",
        ),
        ("no_such.module:Model", r"no no_such/module\.py in {folder}"),
        ("needy:Model", "needy needs no_such_library, which is not installed: `uv add`"),
        ("needy.py:Model", "needy.py is a file's name; .* needy:ClassName"),
        ("./somewhere/needy.py:Model", "imports it, somewhere.needy:ClassName"),
        (
            "backend.models.simulated:Simulated",
            "backend.models.simulated has no Simulated; it has SimulatedModel",
        ),
        ("backend.link:Model", "no Model, nor any class with a method generate"),
    ],
)
async def test_a_name_that_is_no_model_says_what_is_wrong(
    make_settings: MakeSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    sentence: str,
) -> None:
    (tmp_path / "needy.py").write_text("import no_such_library\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    pattern = sentence.replace("{folder}", re.escape(str(tmp_path)))
    with pytest.raises((ImportError, AttributeError), match=pattern):
        await load_model(name, make_settings())


async def test_the_simulated_model_is_there_by_its_short_name(make_settings: MakeSettings) -> None:
    settings = make_settings(simulated_min_delay_ms=0, simulated_max_delay_ms=0)
    model = await load_model("simulated", settings)
    assert model.max_running == 2000
    assert "".join(await ask(model)).startswith("You said: “last”.")
