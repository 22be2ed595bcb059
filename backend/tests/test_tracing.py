from __future__ import annotations

import asyncio
import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from backend import tracing
from backend.app import create_app
from backend.errors import ModelError
from backend.link import NOBODY
from backend.settings import Settings
from backend.tests.scripted_engine import (
    ScriptedEngine,
    StartEngine,
    events,
    finished,
    request,
    until,
)

pytestmark = pytest.mark.anyio

MODEL = "chat scripted_under_test:Model"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(scope="module")
def exporter() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    exporter.tracing = tracing.Tracing(exporter)  # type: ignore[attr-defined]
    yield exporter
    exporter.tracing.close()  # type: ignore[attr-defined]


@pytest.fixture
def spans(exporter: Any) -> Callable[[], dict[str, Any]]:
    """Make spans from now on; return what returns those that have ended, by their names."""

    def ended() -> dict[str, Any]:
        exporter.tracing._provider.force_flush()
        return {span.name: span for span in exporter.get_finished_spans()}

    ended()
    exporter.clear()
    return ended


@pytest.fixture
def traced(exporter: Any) -> Callable[[ScriptedEngine], ScriptedEngine]:
    def trace(engine: ScriptedEngine) -> ScriptedEngine:
        engine.engine._observation.tracing = exporter.tracing
        return engine

    return trace


async def test_a_generation_is_a_child_of_the_request_and_its_model_a_child_of_it(
    start_engine: StartEngine, spans: Any, traced: Any
) -> None:
    async with start_engine() as started:
        engine = traced(started)
        engine.scripts["a"] = type("", (), {"steps": ("one ",), "hold": None})()
        asked = request("a")
        asked["caller"] = {**NOBODY, "traceparent": TRACEPARENT, "request_id": "1234"}
        generation = engine.engine.submit(asked)
        await finished(generation)
        await until(lambda: len(spans()) == 3)
    found = spans()
    assert found["generation"].parent.span_id == int(TRACEPARENT.split("-")[2], 16)
    assert found["generation"].attributes["burble.request.id"] == "1234"
    for name in ("queue", MODEL):
        assert found[name].parent.span_id == found["generation"].context.span_id
        assert found[name].context.trace_id == int(TRACEPARENT.split("-")[1], 16)
    assert [event.name for event in found[MODEL].events] == ["first_token"]


async def test_one_that_is_stopped_in_the_queue_has_no_model_s_span(
    start_engine: StartEngine, spans: Any, traced: Any
) -> None:
    gate = asyncio.Event()
    async with start_engine(max_running=1) as engine:
        first = engine.ask("a", gate)
        traced(engine)
        engine.engine.stop(engine.ask("b").id)
        gate.set()
        await finished(first)
    found = spans()
    assert set(found) == {"generation", "queue"}
    assert found["generation"].attributes["gen_ai.response.finish_reasons"] == ("cancelled",)


async def test_a_model_s_span_lasts_until_it_has_let_go(
    start_engine: StartEngine, spans: Any, traced: Any
) -> None:
    hold = asyncio.Event()
    async with start_engine() as started:
        engine = traced(started)
        generation = engine.ask("a", "one ", asyncio.Event(), hold=hold)
        await until(lambda: events(generation))
        engine.engine.stop(generation.id)
        assert set(spans()) == {"generation", "queue"}
        hold.set()
        await until(lambda: MODEL in spans())


async def test_what_failed_is_told_by_its_code_and_not_by_its_words(
    start_engine: StartEngine, spans: Any, traced: Any
) -> None:
    async with start_engine() as started:
        await finished(traced(started).ask("a", ModelError("Out of paper.")))
        await until(lambda: MODEL in spans())
    for span in (spans()[MODEL], spans()["generation"]):
        assert span.attributes["error.type"] == "model_error"
        assert not span.status.is_ok
        assert "paper" not in span.to_json()


def test_what_cannot_be_sent_is_refused_with_a_sentence_that_says_what_to_install(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    find_spec = importlib.util.find_spec

    def without(name: str, package: str | None = None) -> Any:
        return None if name.startswith("opentelemetry") else find_spec(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    tracing.check(make_settings())
    with pytest.raises(ValueError, match="uv run --extra tracing just up"):
        create_app(make_settings(otlp_endpoint="http://localhost:4318"))


@pytest.mark.long
def test_nothing_is_imported_where_no_traces_are_wanted() -> None:
    code = (
        "import sys; import backend.engine.process; from backend.app import create_app; create_app();"
        "print([name for name in sys.modules if name.startswith('opentelemetry.sdk')])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"
