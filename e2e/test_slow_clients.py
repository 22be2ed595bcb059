"""Clients that are slow on purpose: hundreds of them do not stop a user, cost little, and are dropped in the end."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable

import pytest

from e2e.client import Connection, asynchronous, eventually, script
from e2e.stack import Stack

pytestmark = pytest.mark.long

EACH = 200
HEAD = b"POST /chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
# What each of them begins with, and then goes on with, bit by bit.
KINDS = {
    "silent": (b"", b""),
    "empty lines": (b"", b"\r\n"),
    "slow header": (HEAD, b"X-A: b\r\n"),
    "slow body": (HEAD + b"Content-Length: 100000\r\n\r\n", b"x"),
    "slow chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
}
WRITE_TIMEOUT_S = 30  # all of them have to be there before the first is dropped


class Slow:
    """Connections that send a little now and then, until the server has enough of them."""

    def __init__(self, connections: list[Connection], pieces: list[bytes]) -> None:
        self._of = list(zip(connections, pieces, strict=True))

    async def keep_on(self) -> None:
        while True:
            for connection, piece in self._of:
                try:
                    await connection.send_raw(piece)
                except ConnectionError:
                    pass  # dropped
            await asyncio.sleep(0.5)  # else there would be too many headers for one request


async def first_token_s(stack: Stack, count: int) -> float:
    """Return the median time that a user waits for the first token, on new connections."""
    times = []
    for _ in range(count):
        connection = await Connection.open(stack)
        begun = time.perf_counter()
        body = {"prompt": script("user", ["say", "x"])}
        answer = await connection.ask("POST", "/chat", body)
        await answer.until(lambda answer: answer.text)
        times.append(time.perf_counter() - begun)
        assert (await answer.rest()).finish_reason == "stop"
        connection.close()
    return statistics.median(times)


@asynchronous
async def test_slow_clients_stop_nobody_and_are_dropped(start_stack: Callable[..., Stack]) -> None:
    stack = start_stack(write_timeout=WRITE_TIMEOUT_S)
    alone = await first_token_s(stack, 40)
    workers = stack.http_workers()
    files = sum(worker.num_fds() for worker in workers)
    memory = sum(worker.memory_info().rss for worker in workers)
    connections, pieces = [], []
    for begin, piece in KINDS.values():
        for _ in range(EACH):
            connection = await Connection.open(stack)
            await connection.send_raw(begin)
            connections.append(connection)
            pieces.append(piece)
    slow = asyncio.create_task(Slow(connections, pieces).keep_on())
    held = await eventually(
        lambda: sum(worker.num_fds() for worker in workers) - files >= EACH * len(KINDS) - 5,
        "all of them to be held",
    )
    assert held
    beside = await first_token_s(stack, 40)
    grown = sum(worker.memory_info().rss for worker in workers) - memory
    print(f"first token: {alone * 1000:.1f} ms, beside slow clients {beside * 1000:.1f} ms")
    print(f"memory: {grown / len(connections) / 1024:.1f} KiB each")
    assert beside < 4 * alone + 2  # the machine may have become busier
    assert grown < len(connections) * 64 * 1024
    # Each has its time for a whole request, however busy it looks.
    await asyncio.wait_for(
        asyncio.gather(*(end_of(connection) for connection in connections)), 4 * WRITE_TIMEOUT_S
    )
    await eventually(
        lambda: sum(worker.num_fds() for worker in workers) <= files + 3, "all to be let go"
    )
    slow.cancel()


async def end_of(connection: Connection) -> None:
    """Wait until the server has ended a connection without an answer."""
    try:
        while await connection.receive():
            pass
    except ConnectionError:
        pass
    assert not connection.buffer
