"""Several models in one stack: each in processes of its own, so that neither waits, dies or fails with another."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from gunicorn.dirty import get_dirty_client
from gunicorn.dirty.client import close_dirty_client

from e2e.client import asynchronous, chat
from e2e.scripted_model import script
from e2e.stack import MODEL, ROOT, Stack, alive, http_client, wait_for

OTHER = "e2e.scripted_model:OtherModel"


def models(stack: Stack) -> dict[str, Any]:
    """What is served, by id, in order."""
    served = http_client.get(stack.url + "/models").json()["models"]
    return {model["id"]: model for model in served}


def everything_loaded(stack: Stack) -> bool:
    return all(model["takes"] is not None for model in models(stack).values())


def answer(stack: Stack, **body: Any) -> Any:
    """What the stack answers at once: a text, or the code of what is wrong."""
    told = http_client.post(stack.url + "/chat/sync", json=body).json()
    return told.get("response", told.get("code"))


def processes_of(stack: Stack) -> dict[str, list[psutil.Process]]:
    """Each model's living processes, as the models' journal tells them."""
    found: dict[str, list[psutil.Process]] = {MODEL: [], OTHER: []}
    living = {process.pid: process for process in stack.engines()}
    for line in stack.journal():
        *who, what, pid = line.split()
        if what == "load" and int(pid) in living:
            found[OTHER if who else MODEL].append(living[int(pid)])
    return found


@pytest.fixture(scope="module")
def two() -> Iterator[Stack]:
    stack = Stack(model=f"{MODEL}*2,{OTHER}").start()
    wait_for(lambda: sum(map(len, processes_of(stack).values())) == 3, "three engines")
    stack.wait_for_each_worker(lambda: everything_loaded(stack), "both models")
    yield stack
    stack.stop()


def test_each_model_has_its_own_processes_and_as_many_as_it_was_given(two: Stack) -> None:
    found = processes_of(two)
    assert [len(found[MODEL]), len(found[OTHER])] == [2, 1]
    assert len({process.pid for each in found.values() for process in each}) == 3


def test_they_are_listed_in_order_with_what_each_can_do(two: Stack) -> None:
    listed = models(two)
    assert list(listed) == [MODEL, OTHER]
    assert (listed[MODEL]["name"], listed[MODEL]["thinking"]) == (MODEL, True)
    assert listed[MODEL]["context_tokens"] is None
    assert (listed[OTHER]["name"], listed[OTHER]["thinking"]) == ("The other model", False)
    assert listed[OTHER]["context_tokens"] == 8192


def test_a_question_goes_to_the_model_that_it_names_and_else_to_the_first(two: Stack) -> None:
    for name, body in {"x": {"model": OTHER}, "y": {"model": MODEL}, "z": {}}.items():
        assert answer(two, prompt=script(name, ["say", "here"]), **body) == "here"
    assert "other start x" in two.journal()
    assert "start y" in two.journal()
    assert "start z" in two.journal()
    assert answer(two, prompt="a", model="simulated") == "unknown_model"


@asynchronous
async def test_nobody_waits_for_another_model(two: Stack) -> None:
    first = await chat(two, script("first", ["say", "a"], ["wait", "first"]), model=OTHER)
    await first.until(lambda a: a.text)
    second = await chat(two, script("second", ["say", "b"]), model=OTHER)
    await second.until(lambda a: a.positions)  # the only place is taken
    assert await asyncio.to_thread(answer, two, prompt="here", model=MODEL) == "here "
    two.open_gate("first")
    await first.rest()
    await second.rest()
    assert (first.text, second.text) == ("a", "b")


def test_gunicorns_own_client_reaches_each(two: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    path = re.findall(r"Dirty arbiter listening on (.+)", two.log())[-1]
    monkeypatch.setenv("GUNICORN_DIRTY_SOCKET", path)
    try:
        for app, name in {"ChatApp": "p", "ChatApp2": "q"}.items():
            app = f"backend.engine.chat_app:{app}"
            prompt = script(name, ["say", "here"])
            assert list(get_dirty_client().stream(app, "generate", prompt)) == ["here"]
    finally:
        close_dirty_client()
    assert {"start p", "other start q"} <= set(two.journal())


@pytest.mark.long
def test_a_model_dies_alone_and_comes_back(start_stack: Callable[..., Stack]) -> None:
    stack = start_stack(model=f"{MODEL},{OTHER}")
    wait_for(lambda: everything_loaded(stack), "both models")
    (other,) = processes_of(stack)[OTHER]
    (first,) = processes_of(stack)[MODEL]
    other.kill()
    wait_for(lambda: other not in stack.engines(), "its end")
    assert answer(stack, prompt="here") == "here "
    wait_for(lambda: processes_of(stack)[OTHER], "another one")
    assert answer(stack, prompt=script("a", ["say", "back"]), model=OTHER) == "back"
    (replacement,) = processes_of(stack)[OTHER]
    assert replacement.pid != other.pid
    assert processes_of(stack)[MODEL] == [first]


@pytest.mark.long
def test_a_model_that_does_not_load_is_refused_alone(start_stack: Callable[..., Stack]) -> None:
    stack = start_stack(model=f"{MODEL},no_such_module:Model")
    wait_for(lambda: "no_such_module:Model could not be loaded" in stack.log(), "the failure")
    for _ in range(5):
        assert answer(stack, prompt="here") == "here "
        assert answer(stack, prompt="a", model="no_such_module:Model") == "model_unavailable"
    listed = models(stack)
    assert listed[MODEL]["takes"] is not None
    assert listed["no_such_module:Model"]["takes"] is None


@pytest.mark.long
def test_a_reload_takes_up_another_list(start_stack: Callable[..., Stack], tmp_path: Path) -> None:
    """Who names no model is answered all the time, first by the old one and then by the new."""
    for name in ("backend", "frontend"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "gunicorn_conf.py", tmp_path)
    (tmp_path / ".env").write_text(f"BURBLE_MODEL={MODEL}\n")
    stack = start_stack(root=tmp_path, model=None)
    (first,) = stack.engines()
    workers = stack.http_workers()

    (stack.script / "hold-load").touch()
    (tmp_path / ".env").write_text(f"BURBLE_MODEL={OTHER},simulated*2\n")
    stack.hup()
    wait_for(lambda: len(stack.engines()) == 4, "the new engines beside the old one")
    wait_for(lambda: list(models(stack)) == [OTHER, "simulated"], "the new list")
    for _ in range(5):
        assert answer(stack, prompt="here") == "here "
    assert not any("start" in line and line.startswith("other") for line in stack.journal())

    stack.open_gate("load")
    wait_for(lambda: first not in stack.engines(), "the old engine to leave")
    wait_for(lambda: not any(map(alive, workers)), "the old HTTP workers to leave")
    assert answer(stack, prompt=script("a", ["say", "new"])) == "new"
    assert "other start a" in stack.journal()
    assert len(stack.engines()) == 3
    assert answer(stack, prompt="hi", model="simulated").startswith("Hello!")

    (tmp_path / ".env").write_text(f"BURBLE_MODEL={OTHER}\n")
    stack.hup()
    wait_for(lambda: len(stack.engines()) == 1, "one engine alone")
    wait_for(lambda: list(models(stack)) == [OTHER], "the list to be that")
    assert answer(stack, prompt=script("b", ["say", "still"])) == "still"
