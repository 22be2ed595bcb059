from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from backend.engine.engine import Generation
from backend.errors import (
    BurbleError,
    Draining,
    InvalidPosition,
    InvalidRequest,
    ModelError,
    ModelUnavailable,
    QueueFull,
    UnknownGeneration,
)
from backend.link import NOBODY, Caller
from backend.models import Delta, End, Prefill
from backend.tests.scripted_engine import (
    LIMIT_S,
    Script,
    Scripted,
    StartEngine,
    content,
    ending,
    events,
    finished,
    positions,
    request,
    text,
    until,
)

pytestmark = pytest.mark.anyio


def never() -> asyncio.Event:
    return asyncio.Event()


# An answer


async def test_an_answer_is_its_tokens_a_finish_and_done(start_engine: StartEngine) -> None:
    async with start_engine() as engine:
        generation = engine.ask("two words", "Hello ", "you")
        await finished(generation)
        assert content(generation.log) == (
            b'data: {"token": "Hello "}\n\n'
            b'data: {"token": "you"}\n\n'
            b'data: {"token": "", "finish_reason": "stop", '
            b'"usage": {"prompt_tokens": 2, "completion_tokens": 2}}\n\n'
            b"data: [DONE]\n\n"
        )


async def test_the_model_may_say_how_it_ended_and_what_it_used(start_engine: StartEngine) -> None:
    async with start_engine() as engine:
        [*_, last] = await finished(engine.ask("a", "x", End("length", 10, 20)))
        assert last["finish_reason"] == "length"
        assert last["usage"] == {"prompt_tokens": 10, "completion_tokens": 20}


async def test_the_progress_of_the_prompt_is_passed_on(start_engine: StartEngine) -> None:
    async with start_engine() as engine:
        found = await finished(engine.ask("a", Prefill(1, 10), Prefill(10, 10), "x"))
        assert found[:2] == [
            {"token": "", "status": "prefill", "done": 1, "total": 10},
            {"token": "", "status": "prefill", "done": 10, "total": 10},
        ]


async def test_an_id_tells_the_engine_and_cannot_be_guessed(start_engine: StartEngine) -> None:
    async with start_engine(key="89abcdef") as engine:
        ids = {engine.ask(str(number)).id for number in range(50)}
        assert len(ids) == 50
        for generation_id in ids:
            assert re.fullmatch("89abcdef[0-9a-f]{32}", generation_id)


# Thinking


def thought(piece: str) -> dict[str, str]:
    return {"token": ".", "thinking": piece}


BEGIN = {"token": "[thinking", "thinking": ""}
CLOSE = {"token": "]\n\n", "thinking": ""}


@pytest.mark.parametrize("count", [1, 2, 3, 5])
async def test_thinking_is_framed_with_a_dot_for_each_piece_and_at_least_three(
    start_engine: StartEngine, count: int
) -> None:
    pieces = [f"piece {number} " for number in range(count)]
    async with start_engine() as engine:
        steps = [Delta(thinking=piece) for piece in pieces]
        found = await finished(engine.ask("a", *steps, "answer"))
    padding = [thought("")] * (3 - count)
    assert found[:-1] == [BEGIN, *map(thought, pieces), *padding, CLOSE, {"token": "answer"}]
    assert text(found) == "[thinking" + "." * max(3, count) + "]\n\nanswer"
    assert found[-1]["usage"]["completion_tokens"] == 1


async def test_thinking_without_an_answer_is_closed_too(start_engine: StartEngine) -> None:
    async with start_engine() as engine:
        found = await finished(engine.ask("a", Delta(thinking="Hm.")))
    assert text(found) == "[thinking...]\n\n"
    assert ending(found) == "stop"


async def test_a_piece_that_ends_the_thinking_and_begins_the_answer_is_both(
    start_engine: StartEngine,
) -> None:
    async with start_engine() as engine:
        found = await finished(engine.ask("a", Delta(text="so ", thinking="Hm."), "it is"))
    assert text(found) == "[thinking...]\n\nso it is"


async def test_a_model_may_think_again_after_some_answer(start_engine: StartEngine) -> None:
    async with start_engine() as engine:
        again = [Delta(thinking=str(number)) for number in range(4)]
        found = await finished(engine.ask("a", Delta(thinking="x"), "one ", *again, "two"))
    assert text(found) == "[thinking...]\n\none [thinking....]\n\ntwo"


# Models that misbehave


@pytest.mark.parametrize("tokens", [1.5, -1, "3", 2**53])
def test_an_end_has_whole_numbers_of_tokens(tokens: Any) -> None:
    for counts in ({"prompt_tokens": tokens}, {"completion_tokens": tokens}):
        with pytest.raises(TypeError, match="whole numbers"):
            End(**counts)


@pytest.mark.parametrize("item", [None, 5, b"bytes", ["list"], {"token": "x"}, Delta(text=5)])  # type: ignore[arg-type]
async def test_a_model_that_yields_something_else_has_failed(
    start_engine: StartEngine, item: Any
) -> None:
    async with start_engine() as engine:
        found = await finished(engine.ask("a", "before ", item, "after"))
        assert text(found) == "before "
        assert ending(found) == "model_error"
        assert engine.journal == ["start a", "end a"]


async def test_a_synchronous_model_that_yields_none_has_failed(start_engine: StartEngine) -> None:
    class Model(Scripted):
        def generate(self, prompt: str) -> Iterator[Any]:  # type: ignore[override]
            yield "before "
            yield None
            yield "after"

    async with start_engine(Model) as engine:
        found = await finished(engine.ask("a"))
        assert (text(found), ending(found)) == ("before ", "model_error")


async def test_what_a_model_raises_is_for_the_log_and_not_for_the_user(
    start_engine: StartEngine, caplog: pytest.LogCaptureFixture
) -> None:
    async with start_engine() as engine:
        generation = engine.ask("a", "before ", RuntimeError("the password is secret"))
        found = await finished(generation)
    assert (text(found), ending(found)) == ("before ", "model_error")
    assert b"secret" not in content(generation.log)
    assert b"[DONE]" not in content(generation.log)
    assert "the password is secret" in caplog.text


async def test_a_model_error_is_shown_as_the_model_wrote_it(start_engine: StartEngine) -> None:
    async with start_engine() as engine:
        found = await finished(engine.ask("a", ModelError("Out of paper.")))
    assert found == [{"error": {"code": "model_error", "message": "Out of paper."}}]


@pytest.mark.parametrize("error", [SystemExit(1), asyncio.CancelledError()])
async def test_a_model_that_raises_what_ends_tasks_has_failed_like_any_other(
    start_engine: StartEngine, error: BaseException
) -> None:
    async with start_engine() as engine:
        generation = engine.ask("a", "before ", error)
        # Well before the watchdog.
        assert ending(await finished(generation)) == "model_error"
        assert text(await finished(engine.ask("b", "still here"))) == "still here"


async def test_a_failure_leaves_its_place_to_the_next(start_engine: StartEngine) -> None:
    async with start_engine(max_running=1) as engine:
        failing = engine.ask("a", RuntimeError())
        following = engine.ask("b", "fine")
        await finished(failing)
        assert text(await finished(following)) == "fine"


async def test_a_model_that_never_waits_starves_nobody(start_engine: StartEngine) -> None:
    class Model(Scripted):
        async def generate(self, prompt: str, *, thinking: bool = False) -> AsyncIterator[Any]:
            while prompt == "endless":
                yield "x"
            async for item in super().generate(prompt):
                yield item

    async with start_engine(Model) as engine:
        endless = engine.ask("endless")
        await until(lambda: endless.tokens > 0)
        assert text(await finished(engine.ask("a", "y" * 10))) == "y" * 10
        assert not endless.log.finished
        engine.engine.stop(endless.id)
        assert ending(events(endless)) == "cancelled"


async def test_a_runaway_ends_by_length_when_memory_is_full_and_its_neighbours_go_on(
    start_engine: StartEngine,
) -> None:
    go_on = asyncio.Event()
    async with start_engine(log_max_mb=0.01) as engine:
        neighbour = engine.ask("neighbour", "begun ", go_on, "ended")
        await until(lambda: neighbour.tokens)
        runaway = engine.ask("runaway", *["0123456789" * 5] * 1000)
        assert ending(await finished(runaway)) == "length"
        assert content(runaway.log).endswith(b"data: [DONE]\n\n")
        assert 5000 < len(text(events(runaway))) < 10 * 1024
        go_on.set()
        found = await finished(neighbour)
        assert (text(found), ending(found)) == ("begun ended", "stop")


# The line


async def test_those_who_wait_run_in_the_order_they_came(start_engine: StartEngine) -> None:
    gates = {name: asyncio.Event() for name in "abcd"}
    async with start_engine(max_running=1) as engine:
        asked = [engine.ask(name, gate) for name, gate in gates.items()]
        await until(lambda: engine.journal)
        for number, (generation, gate) in enumerate(zip(asked, gates.values(), strict=True), 1):
            starts = [line for line in engine.journal if line.startswith("start")]
            assert starts == ["start a", "start b", "start c", "start d"][:number]
            gate.set()
            await finished(generation)
            await until(lambda: len(engine.journal) > 2 * number - 1 + (number < 4))  # noqa: B023


async def test_as_many_run_at_once_as_the_model_takes(start_engine: StartEngine) -> None:
    async with start_engine(max_running=3) as engine:
        for name in "abcde":
            engine.ask(name, never())
        await until(lambda: len(engine.journal) == 3)
        state = engine.engine.state()
        assert (state["running"], state["queued"], state["max_running"]) == (3, 2, 3)


async def test_each_is_told_its_place_and_when_it_moves_up(start_engine: StartEngine) -> None:
    first, second = asyncio.Event(), asyncio.Event()
    async with start_engine(max_running=1) as engine:
        a, b, c = engine.ask("a", first), engine.ask("b", second), engine.ask("c", "x")
        assert (positions(a), positions(b), positions(c)) == ([], [1], [2])
        first.set()
        await until(lambda: positions(c) == [2, 1])
        second.set()
        await finished(c)
        assert positions(c) == [2, 1]
        assert positions(b) == [1]


async def test_who_waits_for_the_model_is_told_that_it_loads_and_no_place(
    start_engine: StartEngine,
) -> None:
    loaded = asyncio.Event()

    class Model(Scripted):
        async def init(self) -> None:  # type: ignore[override]
            await loaded.wait()

    async with start_engine(Model, ready=False, max_running=1) as engine:
        a, b = engine.ask("a", "x"), engine.ask("b", "y")
        assert engine.engine.state()["state"] == "loading"
        assert events(a) == events(b) == [{"token": "", "status": "loading"}]
        loaded.set()
        assert text(await finished(a)) == "x"
        assert text(await finished(b)) == "y"


async def test_a_setting_the_model_does_not_take_is_refused(start_engine: StartEngine) -> None:
    async with start_engine() as engine:
        with pytest.raises(InvalidRequest, match="seed"):
            engine.engine.submit(request("a", seed=1))
        assert engine.engine.state()["queued"] == 0


async def test_a_setting_the_model_does_not_take_is_an_event_once_the_model_is_loaded(
    start_engine: StartEngine,
) -> None:
    loaded = asyncio.Event()

    class Model(Scripted):
        async def init(self) -> None:  # type: ignore[override]
            await loaded.wait()

    async with start_engine(Model, ready=False) as engine:
        generation = engine.engine.submit(request("a", seed=1))
        loaded.set()
        found = await finished(generation)
        assert ending(found) == "invalid_request"
        assert "seed" in found[-1]["error"]["message"]
        assert engine.journal == []


async def test_a_full_line_refuses(start_engine: StartEngine) -> None:
    async with start_engine(max_running=1, max_queued=2) as engine:
        for name in "abc":
            engine.ask(name, never())
        with pytest.raises(QueueFull) as refused:
            engine.ask("d")
        assert refused.value.retry_after
        assert engine.engine.state()["queued"] == 2


async def test_who_will_not_wait_is_refused_while_others_run(start_engine: StartEngine) -> None:
    gate = asyncio.Event()
    async with start_engine(max_running=1) as engine:
        running = engine.ask("a", gate, queue=False)
        with pytest.raises(QueueFull):
            engine.ask("b", queue=False)
        gate.set()
        await finished(running)
        await until(lambda: engine.engine.state()["running"] == 0)
        assert text(await finished(engine.ask("c", "x", queue=False))) == "x"


async def test_whoever_reads_the_end_may_have_the_place_at_once(start_engine: StartEngine) -> None:
    next_: list[Generation] = []
    async with start_engine(max_running=1) as engine:
        generation = engine.ask("a", "x", queue=False)

        def woken() -> None:
            if generation.log.finished:
                next_.append(engine.ask("b", "y", queue=False))

        generation.log.subscribe(woken)
        await finished(generation)
        assert text(await finished(next_[0])) == "y"
        assert engine.engine.state()["running"] == 0


# Stopping


async def test_a_stop_is_final_at_once_and_runs_the_models_finally(
    start_engine: StartEngine,
) -> None:
    async with start_engine() as engine:
        generation = engine.ask("a", "begun", never(), "never said")
        await until(lambda: generation.tokens)
        engine.engine.stop(generation.id)
        assert generation.log.finished  # before the model has let go
        found = events(generation)
        assert (text(found), ending(found)) == ("begun", "cancelled")
        assert found[-1]["usage"]["completion_tokens"] == 1
        assert content(generation.log).endswith(b"data: [DONE]\n\n")
        await until(lambda: engine.journal == ["start a", "end a"])
        engine.engine.stop(generation.id)
        assert events(generation) == found


async def test_a_stop_before_the_models_first_step_frees_the_place(
    start_engine: StartEngine,
) -> None:
    async with start_engine(max_running=1) as engine:
        generation = engine.ask("a", "x")
        engine.engine.stop(generation.id)
        assert ending(events(generation)) == "cancelled"
        assert text(await finished(engine.ask("b", "y"))) == "y"
        assert "start a" not in engine.journal


async def test_a_stop_in_the_line_takes_it_out_and_the_others_move_up(
    start_engine: StartEngine,
) -> None:
    gate = asyncio.Event()
    async with start_engine(max_running=1) as engine:
        engine.ask("a", gate)
        b, c = engine.ask("b", "x"), engine.ask("c", "y")
        engine.engine.stop(b.id)
        assert ending(events(b)) == "cancelled"
        await until(lambda: positions(c) == [2, 1])
        gate.set()
        assert text(await finished(c)) == "y"
        assert "start b" not in engine.journal


async def test_the_place_is_free_only_once_the_model_has_let_go(start_engine: StartEngine) -> None:
    hold = asyncio.Event()
    async with start_engine(max_running=1) as engine:
        a = engine.ask("a", "x", never(), hold=hold)
        await until(lambda: a.tokens)
        b = engine.ask("b", "y")
        engine.engine.stop(a.id)
        assert ending(events(a)) == "cancelled"
        await asyncio.sleep(0.05)
        assert engine.journal == ["start a"]
        assert engine.engine.state()["running"] == 1
        hold.set()
        await finished(b)
        assert engine.journal[:3] == ["start a", "end a", "start b"]


async def test_nothing_is_written_after_a_stop_while_a_thread_goes_on(
    start_engine: StartEngine,
) -> None:
    at_work, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    class Model(Scripted):
        def generate(self, prompt: str) -> Iterator[Any]:  # type: ignore[override]
            try:
                yield "one"
                at_work.set()
                assert go_on.wait(20)
                yield "two"
                yield "three"
            finally:
                ended.set()

    async with start_engine(Model) as engine:
        generation = engine.ask("a")
        await until(lambda: at_work.is_set() and generation.tokens)
        engine.engine.stop(generation.id)
        whole = content(generation.log)
        go_on.set()
        await until(ended.is_set)
        await until(lambda: engine.engine.state()["running"] == 0)
        assert content(generation.log) == whole
        assert text(events(generation)) == "one"


async def test_a_generation_that_is_not_known_cannot_be_stopped(start_engine: StartEngine) -> None:
    async with start_engine() as engine:
        with pytest.raises(UnknownGeneration):
            engine.engine.stop("0" * 40)


# Readers


async def test_without_resumable_the_last_reader_takes_the_generation_along(
    start_engine: StartEngine,
) -> None:
    async with start_engine() as engine:
        generation = engine.ask("a", "x", never())
        engine.engine.reader_came(generation.id)
        engine.engine.reader_left(generation.id)
        assert not generation.log.finished
        engine.engine.reader_left(generation.id)
        assert generation.log.finished
        assert generation.log.size == 0  # nobody can come back for it
        engine.engine.stop(generation.id)  # but its id is still known
        await until(lambda: "end a" in engine.journal or not engine.journal)


async def test_a_stop_in_the_middle_of_a_thought_closes_the_bracket(
    start_engine: StartEngine,
) -> None:
    async with start_engine() as engine:
        generation = engine.ask("a", Delta(thinking="hm "), never(), resumable=True)
        await until(lambda: generation.thoughts)
        engine.engine.stop(generation.id)
        found = events(generation)
        assert "".join(event["token"] for event in found) == "[thinking...]\n\n"
        assert ending(found) == "cancelled"


async def test_a_resumable_generation_goes_on_unread_for_its_grace_time(
    start_engine: StartEngine,
) -> None:
    go_on = asyncio.Event()
    async with start_engine(resume_grace=60) as engine:
        generation = engine.ask("a", go_on, "said to nobody", resumable=True)
        engine.engine.reader_left(generation.id)
        go_on.set()
        found = await finished(generation)
        assert (text(found), ending(found)) == ("said to nobody", "stop")


async def test_a_resumable_generation_ends_after_its_grace_time_and_not_while_it_is_read(
    start_engine: StartEngine,
) -> None:
    async with start_engine(resume_grace=0.1, max_running=2) as engine:
        read = engine.ask("read", never(), resumable=True)
        unread = engine.ask("unread", never(), resumable=True)
        queued = engine.ask("queued", resumable=True)
        for generation in (unread, queued):
            left = time.monotonic()
            engine.engine.reader_left(generation.id)
        for generation in (unread, queued):
            assert ending(await finished(generation)) == "cancelled"
        assert time.monotonic() - left >= 0.1
        await until(lambda: "end unread" in engine.journal)
        assert not read.log.finished


async def test_a_reader_comes_back_after_any_event_and_not_beyond_the_last(
    start_engine: StartEngine,
) -> None:
    async with start_engine() as engine:
        generation = engine.ask("a", "one ", "two", resumable=True)
        await finished(generation)
        log, offset = engine.engine.attach(generation.id, 0)
        assert (log, offset) == (generation.log, 0)
        log, offset = engine.engine.attach(generation.id, 1)
        assert log.read(offset, 1) == b'id: 2\ndata: {"token": "two"}\n\n'
        log, offset = engine.engine.attach(generation.id, 4)
        assert offset == log.size
        with pytest.raises(InvalidPosition):
            engine.engine.attach(generation.id, 5)


async def test_only_a_resumable_generation_can_be_read_again(start_engine: StartEngine) -> None:
    async with start_engine() as engine:
        generation = engine.ask("a", never())
        with pytest.raises(UnknownGeneration):
            engine.engine.attach(generation.id, 0)
        with pytest.raises(UnknownGeneration):
            engine.engine.attach("0" * 40, 0)


async def test_a_finished_generation_is_forgotten_after_its_time(
    start_engine: StartEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start_engine(log_ttl=60) as engine:
        generation = engine.ask("a", "x", resumable=True)
        await finished(generation)
        engine.engine.attach(generation.id, 0)
        later = time.monotonic() + 61
        monkeypatch.setattr("backend.engine.log.time", SimpleNamespace(monotonic=lambda: later))

        def forgotten() -> bool:
            try:
                engine.engine.attach(generation.id, 0)
            except UnknownGeneration:
                return True
            return False

        await until(forgotten)
        with pytest.raises(UnknownGeneration):
            engine.engine.stop(generation.id)


# Clocks


async def test_a_model_that_is_silent_too_long_is_stopped_as_timed_out(
    start_engine: StartEngine,
) -> None:
    async with start_engine(dirty_timeout=0.5, max_running=1) as engine:
        silent = engine.ask("silent", "begun", never())
        queued = engine.ask("queued", "in time")  # waiting in line is no silence
        found = await finished(silent)
        assert (text(found), ending(found)) == ("begun", "timeout")
        assert b"[DONE]" not in content(silent.log)
        assert text(await finished(queued)) == "in time"
        assert engine.journal[:2] == ["start silent", "end silent"]


async def test_a_model_that_says_something_now_and_then_is_not_silent(
    start_engine: StartEngine,
) -> None:
    async with start_engine(dirty_timeout=60) as engine:
        engine.engine._sweeping.cancel()
        for name, item in (("thinks", Delta(thinking="x")), ("reads", Prefill(1, 2))):
            go_on = [asyncio.Event() for _ in range(5)]
            steps = [step for event in go_on for step in (event, item)]
            generation = engine.ask(name, *steps)
            now = generation.since
            for event in go_on:
                last = generation.log.last
                event.set()
                await until(lambda: generation.log.last > last)  # noqa: B023
                now += 50
                engine.engine._check_clocks(generation, now)
            assert ending(await finished(generation)) == "stop"


async def test_a_generation_that_takes_too_long_ends_by_length(start_engine: StartEngine) -> None:
    class Model(Scripted):
        async def generate(self, prompt: str, *, thinking: bool = False) -> AsyncIterator[Any]:
            try:
                yield "x"
                while True:
                    yield "x"
                    await asyncio.sleep(0.01)
            finally:
                self.journal.append("end")

    async with start_engine(Model, max_generation_seconds=0.2) as engine:
        found = await finished(engine.ask("a"))
        assert ending(found) == "length"
        assert found[-1]["usage"]["completion_tokens"] == len(text(found)) > 1
        await until(lambda: engine.journal == ["end"])


async def test_the_clock_of_a_generation_begins_with_its_turn(start_engine: StartEngine) -> None:
    first = asyncio.Event()
    async with start_engine(max_generation_seconds=60, max_running=1) as engine:
        engine.engine._sweeping.cancel()
        engine.ask("a", first)
        queued = engine.ask("b", "x", never())
        engine.engine._check_clocks(queued, time.monotonic() + 1000)  # it waits in line
        released = time.monotonic()
        first.set()
        await until(lambda: queued.tokens)
        assert queued.started >= released
        for passed_s, ended in ((59.99, False), (60.01, True)):
            engine.engine._check_clocks(queued, queued.started + passed_s)
            assert queued.log.finished == ended
        assert ending(events(queued)) == "length"


async def test_an_engine_whose_every_place_is_held_by_what_does_not_let_go_is_stuck(
    start_engine: StartEngine,
) -> None:
    stuck: list[float] = []
    hold = asyncio.Event()
    async with start_engine(max_running=2, dirty_timeout=0.2) as engine:
        engine.engine._on_stuck = lambda: stuck.append(time.monotonic())
        engine.ask("a", "x", never(), hold=hold)
        await until(lambda: engine.engine.state()["running"] == 1 and not engine.engine._live)
        await asyncio.sleep(0.3)
        assert not stuck  # one place is left
        asked = time.monotonic()
        other = engine.ask("b", "x", never(), hold=hold)
        await until(lambda: other.tokens)
        engine.engine.stop(other.id)
        await until(lambda: stuck)
        assert stuck[0] - asked >= 0.2
        hold.set()


# The end of an engine


async def test_a_draining_engine_takes_nothing_new_and_finishes_the_rest(
    start_engine: StartEngine,
) -> None:
    gate = asyncio.Event()
    async with start_engine(max_running=1) as engine:
        running, queued = engine.ask("a", gate, "x"), engine.ask("b", "y")
        draining = asyncio.create_task(engine.engine.drain(20))
        await until(lambda: engine.engine.state()["state"] == "draining")
        with pytest.raises(Draining):
            engine.ask("c")
        assert not draining.done()
        gate.set()
        await draining
        for generation, expected in ((running, "x"), (queued, "y")):
            found = await finished(generation)
            assert (text(found), ending(found)) == (expected, "stop")


async def test_what_a_drain_has_no_time_for_ends_as_shut_down(start_engine: StartEngine) -> None:
    async with start_engine(max_running=1) as engine:
        running, queued = engine.ask("a", "x", never()), engine.ask("b", "y")
        await until(lambda: running.tokens)
        await engine.engine.drain(0.05)
        for generation in (running, queued):
            assert generation.log.finished
            assert ending(events(generation)) == "shutdown"


async def test_an_idle_engine_drains_at_once(start_engine: StartEngine) -> None:
    async with start_engine() as engine:
        await finished(engine.ask("a", "x"))
        async with asyncio.timeout(LIMIT_S):
            await engine.engine.drain(None)


async def test_unloading_waits_for_the_models_finally_and_then_closes_it(
    start_engine: StartEngine,
) -> None:
    hold = asyncio.Event()
    async with start_engine() as engine:
        generation = engine.ask("a", "x", never(), hold=hold)
        await until(lambda: generation.tokens)
        await engine.engine.drain(0)
        unloading = asyncio.create_task(engine.engine.unload())
        await asyncio.sleep(0.05)
        assert engine.journal == ["start a"]
        hold.set()
        await unloading
        assert engine.journal == ["start a", "end a", "close"]


async def test_unloading_does_not_wait_for_a_model_that_will_not_let_go(
    start_engine: StartEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.engine.engine.LETTING_GO_S", 0.05)
    hold = asyncio.Event()
    async with start_engine() as engine:
        generation = engine.ask("a", "x", never(), hold=hold)
        await until(lambda: generation.tokens)
        await engine.engine.drain(0)
        async with asyncio.timeout(LIMIT_S):
            await engine.engine.unload()
        assert engine.journal == ["start a", "close"]
        hold.set()


async def test_an_engine_knows_when_everything_was_read(start_engine: StartEngine) -> None:
    async with start_engine() as engine:
        generation = engine.ask("a", "x", resumable=True)
        await finished(generation)
        reading = asyncio.create_task(engine.engine.everything_read())
        await asyncio.sleep(0.05)
        assert not reading.done()
        generation.log.delivered = True
        async with asyncio.timeout(LIMIT_S):
            await reading


# Loading


class Unlucky(Scripted):
    """Fails to load until the test says otherwise."""

    error: BaseException | None

    def init(self) -> None:
        if self.error:
            raise self.error


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    async def wait(_attempts: object) -> None:
        await asyncio.sleep(0.02)

    monkeypatch.setattr("backend.engine.backoff.LoadAttempts.wait", wait)
    monkeypatch.setattr("backend.engine.backoff.LoadAttempts.succeeded", lambda _: None)


@pytest.mark.parametrize("error", [OSError("no weights"), SystemExit("no weights")])
async def test_a_model_that_does_not_load_is_reported_and_tried_again(
    start_engine: StartEngine, no_waiting: None, error: BaseException
) -> None:
    Unlucky.error = error
    async with start_engine(Unlucky, ready=False) as engine:
        waiting = engine.ask("a", "x")
        found = await finished(waiting)
        assert ending(found) == "model_unavailable"
        assert "no weights" not in str(found[-1])  # that is for those who run the server
        assert engine.engine.state()["state"] == "failed"
        assert engine.engine.state()["reason"] == f"{type(error).__name__}: no weights"
        with pytest.raises(ModelUnavailable) as refused:
            engine.ask("b")
        assert refused.value.retry_after
        Unlucky.error = None
        await engine.ready()
        assert text(await finished(engine.ask("c", "x"))) == "x"


async def test_an_engine_that_drains_while_its_model_fails_stays_draining(
    start_engine: StartEngine, no_waiting: None
) -> None:
    Unlucky.error = OSError("no weights")
    async with start_engine(Unlucky, ready=False) as engine:
        await engine.engine.drain(0)
        await asyncio.sleep(0.1)
        assert engine.engine.state()["state"] == "draining"


async def test_refusals_leave_nothing_behind(start_engine: StartEngine) -> None:
    async with start_engine(max_running=1, max_queued=0, log_ttl=0) as engine:
        running = engine.ask("a", never())
        for _ in range(20):
            with pytest.raises(BurbleError):
                engine.ask("b")
        engine.scripts["c"] = Script("x")
        engine.engine.stop(running.id)
        await until(lambda: engine.engine._logs.used == 0)
        assert not engine.engine._logs._logs


# Whose it is


async def test_nobody_else_reads_or_stops_what_somebody_has_asked(start_engine: Any) -> None:
    async with start_engine() as engine:
        caller: Caller = {**NOBODY, "owner": "anna"}
        mine = engine.ask("mine", "one", asyncio.Event(), resumable=True, caller=caller)
        for stranger in ("", "ben", "Anna"):
            with pytest.raises(UnknownGeneration):
                engine.engine.attach(mine.id, 0, stranger)
            with pytest.raises(UnknownGeneration):
                engine.engine.stop(mine.id, stranger)
        assert not mine.log.finished
        assert engine.engine.attach(mine.id, 0, "anna") == (mine.log, 0)
        engine.engine.stop(mine.id, "anna")
        assert ending(await finished(mine)) == "cancelled"
        with pytest.raises(UnknownGeneration):
            engine.engine.stop(mine.id, "ben")


async def test_a_file_of_keys_that_is_empty_for_a_moment_ends_nothing(
    start_engine: Any, tmp_path: Path
) -> None:
    file = tmp_path / "keys"
    file.write_text(f"anna:{'a' * 64}")
    caller: Caller = {**NOBODY, "owner": "anna", "key": "a" * 64}
    async with start_engine(api_keys_file=file) as engine:
        engine.engine._sweeping.cancel()
        mine = engine.ask("mine", "one", asyncio.Event(), caller=caller)
        for content, finished_by_then in (
            ("", False),
            (f"anna:{'a' * 64}", False),
            ("", False),
            ("", True),
        ):
            file.write_text(content)
            engine.engine._check_keys()
            assert mine.log.finished == finished_by_then


async def test_what_a_key_has_started_ends_with_the_key(start_engine: Any, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"anna:{'a' * 64},ben:{'b' * 64}")
    anna: Caller = {**NOBODY, "owner": "anna", "key": "a" * 64}
    ben: Caller = {**NOBODY, "owner": "ben", "key": "b" * 64}
    async with start_engine(api_keys_file=file, max_running=2) as engine:
        go_on = asyncio.Event()
        annas = engine.ask("annas", "one", go_on, resumable=True, read=False, caller=anna)
        bens = engine.ask("bens", "one", go_on, caller=ben)
        waiting = engine.ask("waiting", "one", caller=anna)
        file.write_text(f"ben:{'b' * 64}")
        assert ending(await finished(annas)) == ending(await finished(waiting)) == "key_revoked"
        await until(lambda: "end annas" in engine.journal)
        go_on.set()
        assert ending(await finished(bens)) == "stop"
