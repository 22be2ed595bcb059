"""A bad network between clients and a stack: it cuts, slices, delays and resets, the same again for the same seed."""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Literal, NamedTuple

Direction = Literal["request", "answer"]


class Fault(NamedTuple):
    """What befalls one direction of a connection after so many bytes of it.

    `slice`: the next `amount` bytes go one by one. `delay`: nothing goes for `amount` ms. `cut`: both sides see the
    connection end (FIN). `reset`: both see it break (RST).
    """

    after_bytes: int
    kind: Literal["slice", "delay", "cut", "reset"]
    amount: int = 0


Plan = Callable[[int, Direction], list[Fault]]  # by the number of the connection, from 0


def drawn(seed: int, bad_connections: int = 12) -> Plan:
    """Return the plan of a seed; connections after so many bad ones are good, so that all comes to an end."""

    def plan(number: int, direction: Direction) -> list[Fault]:
        rng = random.Random(f"{seed}/{number}/{direction}")
        if number >= bad_connections:
            return []
        # An answer is some thousand bytes, a request some hundred.
        reach = rng.choice([500, 2000, 5000]) if direction == "answer" else 500
        faults = []
        for _ in range(rng.choice([1, 2, 3] if direction == "answer" else [0, 0, 1])):
            at = rng.randrange(reach)
            match rng.choice(["slice", "slice", "delay", "delay", "cut", "reset"]):
                case "slice":
                    faults.append(Fault(at, "slice", rng.randint(10, 300)))
                case "delay":
                    faults.append(Fault(at, "delay", rng.randint(1, 60)))
                case "cut":
                    faults.append(Fault(at, "cut"))
                case "reset":
                    faults.append(Fault(at, "reset"))
        return sorted(faults)

    return plan


class FaultyRelay:
    """Passes bytes between any number of clients and a port by a plan.

    While it is not `armed` it does no harm, and its connections do not count.
    """

    def __init__(self, port: int, plan: Plan, *, armed: bool = True) -> None:
        self.armed = armed
        self.port = 0
        self.tls: ssl.SSLContext | None = None
        self._target = port
        self._plan = plan
        self._count = 0
        self._server: asyncio.Server
        self._loop: asyncio.AbstractEventLoop
        self._serving: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    def arm(self) -> None:
        """Begin to do harm, in whatever thread: what is connected is cut, and what comes is by the plan."""

        async def begin() -> None:
            self.armed = True
            for writer in self._serving.values():
                writer.transport.abort()

        asyncio.run_coroutine_threadsafe(begin(), self._loop).result()

    async def __aenter__(self) -> FaultyRelay:
        self._loop = asyncio.get_running_loop()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._serving.values():
            writer.transport.abort()
        await asyncio.gather(*self._serving)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving[task] = writer
        task.add_done_callback(self._serving.pop)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        plan: list[list[Fault]] = [[], []]
        if self.armed:
            plan = [self._plan(self._count, "request"), self._plan(self._count, "answer")]
            self._count += 1
        ends = [writer]
        ways: list[asyncio.Task[None]] = []
        try:
            upstream_reader, upstream_writer = await asyncio.open_connection(
                "127.0.0.1", self._target
            )
            ends.append(upstream_writer)
            ways = [
                asyncio.create_task(_pump(reader, upstream_writer, plan[0], ends)),
                asyncio.create_task(_pump(upstream_reader, writer, plan[1], ends)),
            ]
            # Whichever side ends, by itself or by a fault: no client of ours closes only one direction.
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for end in ends:
                end.close()
                with suppress(ConnectionError):
                    await end.wait_closed()


async def _pump(
    source: asyncio.StreamReader,
    sink: asyncio.StreamWriter,
    faults: list[Fault],
    ends: list[asyncio.StreamWriter],
) -> None:
    """Pass bytes on to the end, or to the fault that ends the connection."""
    passed = 0

    async def forward(limit: int, at_once: int = 65536) -> bool:
        nonlocal passed
        while passed < limit:
            data = await source.read(min(at_once, limit - passed))
            if not data:
                return False
            sink.write(data)
            await sink.drain()
            passed += len(data)
        return True

    try:
        for fault in faults:
            if not await forward(fault.after_bytes):
                return
            match fault.kind:
                case "slice":
                    if not await forward(passed + fault.amount, at_once=1):
                        return
                case "delay":
                    await asyncio.sleep(fault.amount / 1000)
                case "cut":
                    return
                case "reset":
                    for end in ends:
                        sock: socket.socket = end.get_extra_info("socket")
                        sock.setsockopt(
                            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                        )
                        end.transport.abort()
                    return
        await forward(2**60)
    except ConnectionError:
        pass  # one side has broken it; the other one hears of it


@contextmanager
def in_a_thread(relay: FaultyRelay) -> Iterator[FaultyRelay]:
    """Let a relay run beside a test that has no event loop of its own to spare."""
    up, down = threading.Event(), asyncio.Event()

    async def run() -> None:
        async with relay:
            up.set()
            await down.wait()

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    try:
        assert up.wait(30)
        yield relay
    finally:
        loop.call_soon_threadsafe(down.set)
        thread.join()
        loop.close()
