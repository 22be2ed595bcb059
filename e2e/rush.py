"""A rush: thousands of requests at once from one process, and when each of them was answered.

It is bare sockets and one epoll, for whatever the client costs is time that the server does not have: about 20 µs a
request, the kernel's part included.
"""

from __future__ import annotations

import re
import resource
import select
import socket
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field

CONNECT_BATCH = 256  # connections on their way at once, well below any listener's backlog
LOOK_EVERY = 64  # requests sent between two looks at what has come
TIMEOUT_S = 120
LAST_CHUNK = b"\r\n0\r\n\r\n"
HEAD_END = b"\r\n\r\n"
LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)


@dataclass
class Rush:
    """What came of a rush: the status of each request (0: none, the connection was closed), and the time it took."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: dict[int, list[float]] = field(
        default_factory=dict
    )  # by status, from sent to the head
    admitted: list[socket.socket] = field(default_factory=list)  # those whose answer goes on
    begun: list[bytes] = field(default_factory=list)  # what each of these has said so far
    heads: dict[int, bytes] = field(default_factory=dict)  # one whole answer of each status
    took_s: float = 0.0

    def percentile_ms(self, status: int, share: float) -> float:
        """Return the time within which this share of the answers with a status came."""
        times = sorted(self.seconds.get(status, [0.0]))
        return times[min(len(times) - 1, int(share * len(times)))] * 1000

    def summary(self) -> str:
        times = ", ".join(
            f"{status}: {count:,}, median {self.median_ms(status):.0f} ms, "
            f"p99 {self.percentile_ms(status, 0.99):.0f} ms"
            for status, count in sorted(self.statuses.items())
        )
        return f"{times}; {self.took_s:.2f} s in all"

    def median_ms(self, status: int) -> float:
        return statistics.median(self.seconds.get(status, [0.0])) * 1000


def raise_file_limit() -> None:
    """Let this process have as many sockets open as it may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def connect(port: int, count: int) -> list[socket.socket]:
    """Open connections, a batch at a time."""
    connections: list[socket.socket] = []
    while len(connections) < count:
        batch = []
        for _ in range(min(CONNECT_BATCH, count - len(connections))):
            batch.append(_begin_to_connect(port))
        waiting = {sock.fileno() for sock in batch}
        poll = select.epoll()
        for number in waiting:
            poll.register(number, select.EPOLLOUT)
        while waiting:
            for number, _ in poll.poll(TIMEOUT_S):
                poll.unregister(number)
                waiting.discard(number)
        poll.close()
        connections += batch
    return connections


def rush(
    port: int, request: bytes, count: int, connections: list[socket.socket] | None = None
) -> Rush:
    """Send the request `count` times, as fast as one process can, and wait for the head of every answer.

    On connections that are open already; without them each is opened for its request, and its time begins with that.
    An answer that is refused has come when it is whole; of one that streams the beginning counts, and the connection
    stays open.
    """
    result = Rush()
    poll = select.epoll()
    sockets: dict[int, socket.socket] = {}
    sent_at: dict[int, float] = {}
    received: dict[int, bytes] = {}

    def look(timeout_s: float) -> None:
        for number, event in poll.poll(timeout_s, 4096):
            sock = sockets[number]
            if event == select.EPOLLOUT:  # it is connected
                sock.send(request)
                poll.modify(number, select.EPOLLIN)
                continue
            try:
                data = sock.recv(65536)
            except OSError:
                data = b""
            received[number] = whole = received.get(number, b"") + data
            if data and not _is_answer(whole):
                continue
            status = int(whole[9:12]) if _is_answer(whole) else 0
            result.statuses[status] += 1
            result.seconds.setdefault(status, []).append(time.perf_counter() - sent_at[number])
            result.heads.setdefault(status, whole)
            poll.unregister(number)
            del sockets[number]
            if status == 200:
                result.admitted.append(sock)
                result.begun.append(whole)
            elif connections is None:
                sock.close()

    began = time.perf_counter()
    for index in range(count):
        sock = connections[index] if connections else _begin_to_connect(port)
        number = sock.fileno()
        sockets[number] = sock
        sent_at[number] = time.perf_counter()
        if connections:
            sock.send(request)
        poll.register(number, select.EPOLLIN if connections else select.EPOLLOUT)
        if index % LOOK_EVERY == 0:
            look(0)
    while sockets and time.perf_counter() - began < TIMEOUT_S:
        look(1)
    result.took_s = time.perf_counter() - began
    result.statuses[-1] += len(sockets)  # never answered
    result.statuses += Counter()
    poll.close()
    return result


def read_to_the_end(found: Rush) -> list[bytes]:
    """Return all that those who were admitted have been sent, when the last of them has his answer."""
    answers = []
    for sock, begun in zip(found.admitted, found.begun, strict=True):
        sock.settimeout(TIMEOUT_S)
        answer = begun
        while not answer.endswith(LAST_CHUNK):
            data = sock.recv(65536)
            if not data:
                break
            answer += data
        sock.close()
        answers.append(answer)
    return answers


def _begin_to_connect(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.connect_ex(("127.0.0.1", port))
    return sock


def _is_answer(received: bytes) -> bool:
    """Whether the head is there, and the body where it says its length."""
    head, end, body = received.partition(HEAD_END)
    if not end:
        return False
    length = LENGTH.search(head + b"\r\n")
    return length is None or len(body) >= int(length[1])
