"""Fixtures of the whole: stacks that a test starts as it needs them, and one that many tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from e2e.stack import Stack


@pytest.fixture
def start_stack() -> Iterator[Callable[..., Stack]]:
    """Start a stack with the scripted model, or another `model`, and any settings; it ends with the test."""
    stacks: list[Stack] = []

    def start(
        *, ready: bool = True, before: Callable[[Stack], object] | None = None, **settings: Any
    ) -> Stack:
        stack = Stack(**settings)
        stacks.append(stack)
        if before:
            before(stack)
        return stack.start(ready)

    yield start
    for stack in stacks:
        stack.stop()


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """One stack with the scripted model for all tests of a module that leave it as they found it."""
    stack = Stack().start()
    yield stack
    stack.stop()


@pytest.fixture(scope="module")
def simulated_stack() -> Iterator[Stack]:
    """One stack with the simulated model, at a hurried pace."""
    stack = Stack(model="simulated", simulated_min_delay_ms=2, simulated_max_delay_ms=6).start()
    yield stack
    stack.stop()
