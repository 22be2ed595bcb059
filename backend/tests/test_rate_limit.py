from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from backend.engine.server import EngineServer
from backend.engine_client import EngineClient, Stream
from backend.errors import (
    CountsUnavailable,
    InvalidRequest,
    ModelError,
    RateLimited,
    TokensUsedUp,
    TooManyGenerations,
)
from backend.leases import Settlement
from backend.link import NOBODY
from backend.rate_limit import MOMENTS_S, RateLimits
from backend.settings import Settings
from backend.shared_counts import FILE, SharedCounts, open_storage
from backend.tests.clock import Clock
from backend.tests.scripted_engine import Script, ScriptedEngine, StartEngine, request, until
from backend.tests.test_engine_client import FakeEngine, client_of

pytestmark = pytest.mark.anyio

ITEM = re.compile(r'"([a-z]+)"((?:;[a-z]+=(?:[0-9]+|"[a-z-]+"))*)')


def parsed(field: str) -> dict[str, dict[str, int | str]]:
    """Read a list of strings with parameters (RFC 9651, section 3.1)."""
    found = {}
    for item in field.split(", "):
        match = ITEM.fullmatch(item)
        assert match, item
        parameters = (part.split("=") for part in match[2].split(";")[1:])
        found[match[1]] = {
            name: value.strip('"') if value.startswith('"') else int(value)
            for name, value in parameters
        }
    return found


@pytest.fixture
def counts(runtime_folder: Path, clock: Clock) -> Any:
    counts = SharedCounts(runtime_folder / "state", clock)
    yield counts
    counts.close()


MakeLimits = Callable[..., RateLimits]


@pytest.fixture
def make_limits(make_settings: Callable[..., Settings], counts: SharedCounts) -> MakeLimits:
    """Make the limits of one HTTP worker; several of them share the counts."""

    def make(**limits: int) -> RateLimits:
        settings = make_settings(**{f"limit_{name}": value for name, value in limits.items()})
        return RateLimits(settings, counts)

    return make


def end(counts: SharedCounts, lease: str, account: str, tokens: int) -> None:
    """Do what an engine does at the end of a generation."""
    settlement = Settlement(counts)
    settlement.ended(lease, account, tokens)
    settlement.flush(5)


async def refusal(limits: RateLimits, account: str = "key:ann") -> RateLimited:
    with pytest.raises(RateLimited) as raised:
        await limits.admit(account)
    return raised.value


# What is allowed, and what is told


async def test_questions_a_minute_and_when_to_come_back(
    make_limits: MakeLimits, clock: Clock
) -> None:
    limits = make_limits(requests_per_minute=2)
    lease, headers = await limits.admit("key:ann")
    assert lease == ""
    assert headers == {
        "RateLimit-Policy": '"minute";q=2;w=60',
        "RateLimit": '"minute";r=1;t=60',
    }
    clock.now += 20.5
    _, headers = await limits.admit("key:ann")
    assert headers["RateLimit"] == '"minute";r=0;t=40'
    error = await refusal(limits)
    assert (error.code, error.status, error.retry_after) == ("rate_limited", 429, 40)
    assert error.headers == headers
    clock.now += 39
    assert (await refusal(limits)).retry_after == 1
    clock.now += 1
    await limits.admit("key:ann")
    assert (await refusal(limits)).retry_after == 20


async def test_accounts_do_not_share(make_limits: MakeLimits) -> None:
    limits = make_limits(requests_per_minute=1, concurrent_generations=1, tokens_per_day=1000)
    for account in ("key:ann", "key:bob", "address:192.0.2.1", "address:2001:db8::/64"):
        await limits.admit(account)
        await refusal(limits, account)


async def test_places_are_free_again_when_a_generation_has_ended(
    make_limits: MakeLimits, counts: SharedCounts
) -> None:
    limits = make_limits(concurrent_generations=2)
    first, headers = await limits.admit("key:ann")
    assert headers == {
        "RateLimit-Policy": '"concurrent";q=2;qu="concurrent-requests"',
        "RateLimit": '"concurrent";r=1',
    }
    await limits.admit("key:ann")
    error = await refusal(limits)
    assert isinstance(error, TooManyGenerations)
    assert error.retry_after == 2
    assert error.headers["RateLimit"] == '"concurrent";r=0'
    end(counts, first, "key:ann", 0)
    await limits.admit("key:ann")


async def test_a_place_that_is_just_about_to_be_free_is_waited_for(
    make_limits: MakeLimits, counts: SharedCounts
) -> None:
    limits = make_limits(concurrent_generations=1)
    lease, _ = await limits.admit("key:ann")
    next_one = asyncio.create_task(limits.admit("key:ann"))
    # On a busy machine an engine may take its time to write it.
    await asyncio.sleep(sum(MOMENTS_S) - 0.2)
    end(counts, lease, "key:ann", 0)
    await next_one


async def test_tokens_of_a_day(make_limits: MakeLimits, counts: SharedCounts, clock: Clock) -> None:
    limits = make_limits(tokens_per_day=100)
    lease, headers = await limits.admit("key:ann")
    assert headers == {
        "RateLimit-Policy": '"tokens";q=100;w=86400;qu="tokens"',
        "RateLimit": '"tokens";r=100;t=86400',
    }
    end(counts, lease, "key:ann", 60)
    clock.now += 1000.5
    lease, headers = await limits.admit("key:ann")
    assert headers["RateLimit"] == '"tokens";r=40;t=85400'
    end(counts, lease, "key:ann", 60)
    error = await refusal(limits)
    assert isinstance(error, TokensUsedUp)
    assert error.retry_after == 85400
    assert error.headers["RateLimit"] == '"tokens";r=0;t=85400'
    clock.now += 85399
    await refusal(limits)
    clock.now += 1
    await limits.admit("key:ann")


async def test_who_has_used_up_several_is_told_the_one_that_lasts(
    make_limits: MakeLimits, counts: SharedCounts
) -> None:
    limits = make_limits(requests_per_minute=1, concurrent_generations=1, tokens_per_day=5)
    lease, headers = await limits.admit("key:ann")
    assert parsed(headers["RateLimit-Policy"]) == {
        "minute": {"q": 1, "w": 60},
        "concurrent": {"q": 1, "qu": "concurrent-requests"},
        "tokens": {"q": 5, "w": 86400, "qu": "tokens"},
    }
    assert parsed(headers["RateLimit"]) == {
        "minute": {"r": 0, "t": 60},
        "concurrent": {"r": 0},
        "tokens": {"r": 5, "t": 86400},
    }
    assert (await refusal(limits)).code == "rate_limited"
    end(counts, lease, "key:ann", 9)
    assert (await refusal(limits)).code == "tokens_used_up"


async def test_what_is_refused_counts_for_nothing(make_limits: MakeLimits, clock: Clock) -> None:
    limits = make_limits(requests_per_minute=2, concurrent_generations=1)
    await limits.admit("key:ann")
    for _ in range(3):
        error = await refusal(limits)
        assert error.code == "too_many_generations"
        assert parsed(error.headers["RateLimit"])["minute"]["r"] == 1


async def test_a_clock_that_jumps_back_locks_nobody_out(
    make_limits: MakeLimits, clock: Clock
) -> None:
    limits = make_limits(requests_per_minute=1)
    await limits.admit("key:ann")
    clock.now -= 3600
    assert (await refusal(limits)).retry_after == 60


async def test_what_cannot_be_counted_does_not_pass(
    make_limits: MakeLimits, runtime_folder: Path
) -> None:
    limits = make_limits(requests_per_minute=1)
    (runtime_folder / "state").mkdir(0o700)
    (runtime_folder / "state" / FILE).write_bytes(b"not a database" * 1000)
    with pytest.raises(CountsUnavailable) as raised:
        await limits.admit("key:ann")
    assert (raised.value.status, raised.value.retry_after) == (503, 5)


# With an engine


@pytest.fixture
def serve(
    start_engine: StartEngine, make_settings: Callable[..., Settings], runtime_folder: Path
) -> Any:
    """Start a real engine, the client of it, and the limits in front of that."""

    @asynccontextmanager
    async def serve(**settings: Any) -> AsyncIterator[tuple[ScriptedEngine, Callable[..., Any]]]:
        async with start_engine(**settings) as engine:
            server = EngineServer(engine.engine, runtime_folder)
            engine.engine._on_change = server.announce
            await server.start()
            client = EngineClient(runtime_folder, 60)
            await client.open()
            await until(client.states)
            limits = RateLimits(make_settings(**settings), open_storage(make_settings()))

            async def ask(name: str, *steps: Any, **asked: Any) -> Stream:
                engine.scripts[name] = Script(*steps)
                caller = {**NOBODY, "account": "key:ann"}
                wanted: Any = {**request(name, **asked), "caller": caller}
                return (await limits.start(client, wanted)).stream

            try:
                yield engine, ask
            finally:
                await client.close()
                await server.close()
                await limits.close()

    return serve


async def ends(stream: Stream) -> None:
    while await stream.read():
        pass


def used(make_settings: Callable[..., Settings]) -> int:
    counts = open_storage(make_settings())
    try:
        return counts.get("tokens/key:ann")
    finally:
        counts.close()


async def test_every_end_gives_the_place_back_and_is_charged(
    serve: Any, make_settings: Callable[..., Settings]
) -> None:
    never = asyncio.Event()
    async with serve(limit_concurrent_generations=1, limit_tokens_per_day=1000) as (engine, ask):
        await ends(await ask("two words", "one ", "two "))
        await until(lambda: used(make_settings) == 4)
        await ends(await ask("fails", "one ", ModelError("no")))
        await until(lambda: used(make_settings) == 6)
        stream = await ask("stopped", "one ", never)
        await until(lambda: "start stopped" in engine.journal)
        with pytest.raises(TooManyGenerations):
            await ask("one too many")
        engine.engine.stop(stream.id)
        await until(lambda: used(make_settings) == 8)
        stream = await ask("left alone", "one ", never)
        await stream.read()
        stream.close()
        await until(lambda: used(make_settings) == 11)
        assert "start one too many" not in engine.journal


async def test_a_start_that_fails_gives_the_place_back_before_that_is_told(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Settlement._written

    def slowly(settlement: Settlement, changes: list[Any]) -> bool:
        time.sleep(2 * sum(MOMENTS_S))
        return write(settlement, changes)

    monkeypatch.setattr(Settlement, "_written", slowly)
    async with serve(limit_concurrent_generations=1) as (_, ask):
        for _ in range(2):
            with pytest.raises(InvalidRequest):
                await ask("a", temperature=1.0)
        await ends(await ask("a", "fine"))


async def test_an_engine_that_dies_before_it_has_taken_a_place_over_keeps_none(
    make_limits: MakeLimits, runtime_folder: Path
) -> None:
    dead = await asyncio.create_subprocess_exec("true")
    await dead.wait()
    asked: Any = {**request("a"), "caller": {**NOBODY, "account": "key:ann"}}
    limits = make_limits(concurrent_generations=1)
    for key, pid in (("aaaaaaaa", dead.pid), ("bbbbbbbb", os.getppid())):
        async with (
            FakeEngine(runtime_folder, key, pid=pid) as engine,
            client_of(runtime_folder, engines=1) as client,
        ):

            def accept(stream: int, _: Any, engine: FakeEngine = engine) -> None:
                engine.open(stream)

            engine.on_start = accept
            (await limits.start(client, asked)).stream.close()
        await limits.close()
        limits = make_limits(concurrent_generations=1)
    await refusal(limits)  # the second one lives


async def test_without_limits_nothing_is_counted(serve: Any, runtime_folder: Path) -> None:
    async with serve() as (_, ask):
        await ends(await ask("a", "fine"))
    assert not (runtime_folder / "state").exists()
