"""Logs that cannot be written: nothing of the chat may depend on whether somebody takes them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e.client import Answer, asynchronous, chat, eventually, script
from e2e.stack import Stack


def full_device(stack: Stack) -> None:
    stack.log_path = Path("/dev/full")


def reader_that_stands_still(stack: Stack) -> None:
    """Let the log go into a pipe that nobody reads, and that is full once the stack is ready."""
    fifo = stack.folder / "fifo"
    os.mkfifo(fifo)
    both_ends = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)  # and so it has a reader

    def fill() -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(both_ends, b"x" * 4096)

    stack.log_path = fifo
    stack.on_ready = fill


def reader_that_left(stack: Stack) -> None:
    fifo = stack.folder / "fifo"
    os.mkfifo(fifo)
    reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    stack.log_path = fifo
    stack.on_ready = lambda: os.close(reading)


def closed(stack: Stack) -> None:
    stack.closed_output = True


@pytest.mark.long
@pytest.mark.parametrize("spoil", [full_device, reader_that_stands_still, reader_that_left, closed])
@asynchronous
async def test_streams_go_on_and_nobody_dies_when_the_log_cannot_be_written(
    start_stack: Callable[..., Stack], spoil: Callable[[Stack], None]
) -> None:
    stack = start_stack(before=spoil, log_level="debug")
    processes = {process.pid for process in stack.processes()}
    running = await chat(stack, script("running", ["say", "begun "], ["wait", "go"], ["say", "x"]))
    await running.until(lambda answer: answer.text)
    for turn in range(60):  # each with its traceback in the log: more than a pipe holds
        failed = await (await chat(stack, script(f"{turn}", ["fail", "x" * 2000]))).rest()
        assert failed.error == "model_error"
    stack.open_gate("go")
    assert (await running.rest()).text == "begun x"
    assert {process.pid for process in stack.processes()} == processes
    (engine,) = stack.engines()
    engine.kill()  # which its arbiter would like to report
    await eventually(lambda: [each for each in stack.engines() if each != engine], "a new engine")

    async def answered() -> Answer:
        return await (await chat(stack, "good morning")).rest()

    assert (await answered()).text == "good morning "
    old = stack.engines()
    stack.hup()
    await eventually(lambda: [each for each in stack.engines() if each not in old], "a reload")
    assert (await answered()).text == "good morning "
    stack.interrupt()
    await eventually(lambda: stack.returncode is not None, "its end")
