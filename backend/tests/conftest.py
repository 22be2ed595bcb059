"""Fixtures of the back end's tests: an event loop like the engine's, and settings that nothing outside can change."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.settings import PREFIX, Settings
from backend.tests.clock import Clock
from backend.tests.scripted_engine import StartEngine, engine_starter


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Run the `async` tests (those that are marked `anyio`) on uvloop, as the processes of a stack do."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every BURBLE_ variable out of the environment."""
    for name in list(os.environ):
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)


@pytest.fixture
def runtime_folder() -> Iterator[Path]:
    """A private folder whose path is short enough for the name of a unix socket, which pytest's own need not be."""
    with tempfile.TemporaryDirectory(prefix="burble-") as folder:
        yield Path(folder)


@pytest.fixture
def make_settings(no_environment: None, runtime_folder: Path) -> Callable[..., Settings]:
    """Make a settings table from the defaults and what the test changes, whatever lies in `.env`."""

    def make(**changed: Any) -> Settings:
        folders = {"runtime_dir": runtime_folder, "state_dir": runtime_folder / "state"}
        return Settings(_env_file=None, **{**folders, **changed})

    return make


@pytest.fixture
def start_engine(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> StartEngine:
    """Start an engine with a scripted model: `async with start_engine(**settings) as engine`."""
    return engine_starter(make_settings, monkeypatch)


@pytest.fixture
def clock() -> Clock:
    """The clock that a test hands to what it counts with, and moves."""
    return Clock()
