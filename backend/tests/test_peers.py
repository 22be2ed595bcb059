from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from backend import sse
from backend.engine.engine import Engine
from backend.engine.peers import Peers, to_item
from backend.engine.server import EngineServer
from backend.errors import ModelError, ModelTimeout, UpstreamBusy
from backend.link import NOBODY
from backend.models import Delta, End, Prefill
from backend.settings import Settings
from backend.tests.scripted_engine import (
    Script,
    ScriptedEngine,
    StartEngine,
    ending,
    events,
    finished,
    positions,
    request,
    text,
    until,
)

pytestmark = pytest.mark.anyio

OWN, OTHER = "0123abcd", "4567cdef"


@pytest.fixture
def start_two(
    start_engine: StartEngine,
    runtime_folder: Path,
    make_settings: Callable[..., Settings],
) -> Any:
    """Start two engines of one place each; the first may lend to the second."""

    @asynccontextmanager
    async def start() -> AsyncIterator[tuple[ScriptedEngine, Engine]]:
        async with start_engine(key=OWN, max_running=1) as own:
            settings = make_settings(model="scripted_under_test:Model", max_running=1)
            other = Engine(settings, settings.models[0], OTHER, on_change=lambda: server.announce())
            server = EngineServer(other, runtime_folder)
            await server.start()
            other.start()
            peers = Peers(runtime_folder, settings.model, OWN, 60, own.engine.admit)
            await peers.open()
            own.engine._peers = peers
            await until(peers.has_place)
            try:
                yield own, other
            finally:
                await other.drain(0)
                await other.unload()
                other._sweeping.cancel()
                await server.close()
                peers._watching.cancel()
                await peers._client.close()

    return start


async def test_what_is_lent_is_counted_where_it_came_from(start_two: Any) -> None:
    async with start_two() as (own, other):
        hold = asyncio.Event()
        held = own.ask("held", hold)
        own.scripts["lent"] = Script("x ", hold)
        asked = request("lent")
        asked["caller"] = {**NOBODY, "account": "key:ann", "lease": "0123", "owner": "ann"}
        lent = own.engine.submit(asked)
        own.engine.reader_came(lent.id)
        await until(lambda: other._live)
        (borrowed,) = other._live.values()
        assert borrowed.request["caller"]["lease"] == ""
        assert borrowed.log.owner == "ann"
        hold.set()
        await finished(held)
        assert ending(await finished(lent)) == "stop"


@pytest.mark.parametrize(
    ("frame", "item"),
    [
        (sse.token("x "), "x "),
        (sse.thinking("Hm."), Delta(thinking="Hm.")),
        (sse.prefill(1, 10), Prefill(1, 10)),
        (sse.finish("length", 3, 4), End("length", 3, 4)),
        # What the engine makes, and will make again:
        (sse.thinking_begin(), None),
        (sse.thinking(""), None),
        (sse.thinking_end(), None),
        (sse.queued(1), None),
        (sse.loading(), None),
    ],
)
async def test_an_event_is_turned_back_into_what_the_model_yielded(frame: bytes, item: Any) -> None:
    [event] = sse.decode(frame)
    assert to_item(event) == item


async def test_a_failure_is_raised_again() -> None:
    for error in (ModelError("Out of paper."), ModelTimeout(), UpstreamBusy(retry_after=7)):
        [event] = sse.decode(sse.failure(error))
        with pytest.raises(type(error), match=str(error)) as raised:
            to_item(event)
        assert raised.value.retry_after == error.retry_after


async def test_what_would_have_to_wait_runs_in_an_idle_engine_and_reads_the_same(
    start_two: Any,
) -> None:
    steps = [Prefill(1, 2), Delta(thinking="Hm."), "one ", "two \u2028 😀", End("length", 5, 6)]
    async with start_two() as (own, other):
        busy = own.ask("busy", asyncio.Event())
        lent = own.ask("lent", *steps, resumable=True)
        found = await finished(lent)
        assert lent.id.startswith(OWN)
        assert other.state()["running"] == 0
        own.engine.stop(busy.id)
        await until(lambda: own.engine.state()["running"] == 0)
        home = own.ask("home", *steps, resumable=True)
        # But for the line, which it was in for a moment.
        assert [event for event in found if event.get("status") != "queued"] == await finished(home)


async def test_a_stop_reaches_a_generation_that_runs_elsewhere(start_two: Any) -> None:
    async with start_two() as (own, other):
        own.ask("busy", asyncio.Event())
        lent = own.ask("lent", "begun", asyncio.Event())
        await until(lambda: lent.tokens)
        own.engine.stop(lent.id)
        assert (text(events(lent)), ending(events(lent))) == ("begun", "cancelled")
        await until(lambda: "end lent" in own.journal)
        await until(lambda: other.state()["running"] == 0)


async def test_a_stop_while_a_generation_is_being_lent_harms_no_other(start_two: Any) -> None:
    async with start_two() as (own, other):
        own.ask("busy", asyncio.Event())
        for number in range(20):  # at whatever moment between asking and being answered
            lent = own.ask(f"lent {number}", asyncio.Event())
            for _ in range(number % 5):
                await asyncio.sleep(0)
            own.engine.stop(lent.id)
            await until(lambda: own.engine._peers and own.engine._peers.has_place())
        await until(lambda: other.state()["running"] == 0)
        assert text(await finished(own.ask("last", "fine"))) == "fine"
        assert own.engine._peers
        assert list(own.engine._peers._client._connections) == [OTHER]


async def test_who_finds_no_place_anywhere_waits_and_moves_up_wherever_one_is_free(
    start_two: Any,
) -> None:
    elsewhere = asyncio.Event()
    async with start_two() as (own, _):
        own.ask("here", asyncio.Event())
        there = own.ask("there", elsewhere)
        await until(lambda: "start there" in own.journal)
        waiting = own.ask("waiting", "my turn")
        await until(lambda: positions(waiting) == [1])
        elsewhere.set()
        await finished(there)
        assert text(await finished(waiting)) == "my turn"


async def test_a_failure_elsewhere_is_a_failure_here(start_two: Any) -> None:
    async with start_two() as (own, _):
        own.ask("busy", asyncio.Event())
        found = await finished(own.ask("lent", "begun", ModelError("Out of paper.")))
        assert found[-1] == {"error": {"code": "model_error", "message": "Out of paper."}}


async def test_an_engine_does_not_lend_to_itself(start_two: Any) -> None:
    async with start_two() as (own, _):
        assert own.engine._peers
        assert [state["model"] for state in own.engine._peers._client.states()] == [
            "scripted_under_test:Model"
        ]
        assert list(own.engine._peers._client._connections) == [OTHER]
