"""The load generator: many streams from one process, which measures what arrives and when.

While streams run it does nothing but keep each read and its time; counting, timing and checking come afterwards,
over the very bytes that arrived. So a read costs it about 10 µs, the kernel's part included, and every run also proves
that no word was lost or garbled.

Run as `python -m bench.load PORT SESSION --reply FILE …`: it prints one `Report` as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import re
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import uvloop

from bench import proc

BODY = b'{"prompt": "hello"}'
REQUEST = (
    b"POST /chat HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
)
LAST_CHUNK = b"0\r\n\r\n"
EVENT_END = b"\n\n"
FIRST_TOKEN = re.compile(rb'"token":\s*"(?!")')


@dataclass(slots=True)
class Report:
    """What one run measured. The window is the time in which all streams were open; a run may have none."""

    streams: int
    failures: dict[str, int]  # reason → streams that it befell
    lost_tokens: int  # of streams that were read to their end
    first_token_ms: list[float]  # from connecting to the first event with a word, sorted
    tokens_per_s: float  # from the first token of any stream to the last of all
    load_cpu_share: float  # of one core, by this process, while measuring
    window_s: float = 0.0
    window_tokens: int = 0
    # p50, p99 and longest time between two reads that completed a token
    window_gaps_ms: tuple[float, float, float] = (0.0, 0.0, 0.0)
    silent_streams: int = 0  # streams that got nothing in the window
    server_cpu_s: float = 0.0  # by all of the server's processes in the window
    server_anonymous_bytes: int = 0  # at the window's end
    other_cpu_share: float = 0.0  # of one core, by all other processes of the machine in the window


@dataclass(slots=True)
class Window:
    """What was read from the clocks at the two ends of the steady state, in seconds."""

    start: float
    end: float
    server_cpu_s: float
    load_cpu_s: float
    machine_cpu_s: float
    server_anonymous_bytes: int


class Stream(asyncio.Protocol):
    """One request and all that came back: `reads[i]` arrived at `times[i]`, in seconds."""

    __slots__ = (
        "_on_begin",
        "_on_end",
        "begun",
        "error",
        "opened",
        "over",
        "reads",
        "times",
        "transport",
    )

    def __init__(self, on_begin: Callable[[], None], on_end: Callable[[], None]) -> None:
        self._on_begin = on_begin
        self._on_end = on_end
        self.reads: list[bytes] = []
        self.times: list[float] = []
        self.transport: asyncio.Transport | None = None
        self.opened = time.perf_counter()
        self.begun = False
        self.over = False
        self.error = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:
        self.times.append(time.perf_counter())
        self.reads.append(data)
        if not self.begun:
            self.begun = True
            self._on_begin()
        # A very short read may hold only a part of the last chunk.
        if data.endswith(LAST_CHUNK) or (
            len(data) < len(LAST_CHUNK)
            and b"".join(self.reads[-len(LAST_CHUNK) :]).endswith(LAST_CHUNK)
        ):
            self.finish("")

    def connection_lost(self, exc: Exception | None) -> None:
        self.finish("cut")

    def finish(self, error: str) -> None:
        """End the stream, once; the first reason stays."""
        if self.over:
            return
        self.over = True
        self.error = error
        if self.transport:
            self.transport.close()
        self._on_end()


class Streams:
    """Opens streams and says when all have begun and when all are over."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.all: list[Stream] = []
        self._waiting_to_begin = 0
        self._waiting_to_end = 0
        self.begun = asyncio.Event()
        self.over = asyncio.Event()

    async def open(self, count: int, per_second: float) -> None:
        """Open `count` streams, evenly spread; all at once when `per_second` is 0."""
        self._waiting_to_begin = self._waiting_to_end = count
        start = time.perf_counter()
        connecting = []
        for number in range(count):
            if per_second and (early := start + number / per_second - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            stream = Stream(self._one_began, self._one_ended)
            self.all.append(stream)
            connecting.append(asyncio.create_task(self._connect(stream)))
        await asyncio.gather(*connecting)

    def close(self, reason: str) -> None:
        """End every stream that is still running."""
        for stream in self.all:
            stream.finish(reason)

    async def _connect(self, stream: Stream) -> None:
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: stream, "127.0.0.1", self._port
            )
        except OSError as error:
            stream.finish(type(error).__name__)

    def _one_began(self) -> None:
        self._waiting_to_begin -= 1
        if not self._waiting_to_begin:
            self.begun.set()

    def _one_ended(self) -> None:
        self._waiting_to_end -= 1
        if not self._waiting_to_end:
            self.over.set()
            self.begun.set()


def dechunk(data: bytes) -> bytes:
    """Join the chunks of a chunked body (RFC 9112, section 7.1); what is incomplete at the end is left out."""
    parts = []
    position = 0
    while (line_end := data.find(b"\r\n", position)) >= 0:
        start = line_end + 2
        end = start + int(data[position:line_end], 16)
        if end == start or end > len(data):
            break
        parts.append(data[start:end])
        position = end + 2
    return b"".join(parts)


def answer_words(body: bytes) -> list[str] | str:
    """Return the words of an event stream's whole events, or what kind of failure it carries."""
    words = []
    for event in body.split(EVENT_END)[:-1]:
        for line in event.split(b"\n"):
            name, _, value = line.partition(b": ")
            if name != b"data" or value == b"[DONE]":
                continue
            data = json.loads(value)
            if "error" in data:
                return str(data["error"]["code"])
            if data["token"] and "thinking" not in data:
                words.append(data["token"])
    return words


def events_by_read(reads: list[bytes]) -> list[int]:
    """Return how many events each read completed.

    The framing of chunks puts no two line feeds in a row, so those that are there end an event, in one read or in two.
    """
    counts = []
    carry = b""
    for data in reads:
        joined = carry + data
        counts.append(joined.count(EVENT_END))
        carry = b"\n" if joined.endswith(b"\n") and not joined.endswith(EVENT_END) else b""
    return counts


def _read_that_completes(reads: list[bytes], head_length: int, body_length: int) -> int:
    """Return the index of the read with which the first `body_length` bytes of the body were there."""
    raw = b""
    for index, data in enumerate(reads):
        raw += data
        if len(dechunk(raw[head_length:])) >= body_length:
            return index
    raise AssertionError("the body is longer than what was read: a fault of the load generator")


class Verdict:
    """Checks streams against the reply and gathers what they tell."""

    def __init__(self, reply: str) -> None:
        self._expected = reply.split(" ")
        self._expected_text = reply
        # Streams of one server have the same body, or a prefix of it: each is parsed once.
        self._parsed: dict[bytes, tuple[int, int, str]] = {}
        self.failures: Counter[str] = Counter()
        self.lost_tokens = 0
        self.tokens = 0
        self.first_token_ms: list[float] = []

    def check(self, stream: Stream, to_the_end: bool) -> None:
        raw = b"".join(stream.reads)
        head, _, rest = raw.partition(b"\r\n\r\n")
        status = head[9:12].decode()
        if raw and status != "200":
            self.failures[f"status {status}"] += 1
            self.lost_tokens += len(self._expected) if to_the_end else 0
            return
        body = dechunk(rest)
        if body not in self._parsed:
            self._parsed[body] = self._parse(body)
        words, events, problem = self._parsed[body]
        if problem == "" and sum(events_by_read(stream.reads)) < events:
            raise AssertionError("events were miscounted: a fault of the load generator")
        self.tokens += words
        if problem or stream.error:
            self.failures[problem or stream.error] += 1
        if to_the_end:
            self.lost_tokens += len(self._expected) - words
            if (
                not problem
                and not stream.error
                and not (words == len(self._expected) and b"[DONE]" in body)
            ):
                self.failures["incomplete"] += 1
        if first := FIRST_TOKEN.search(body):
            first_end = body.index(EVENT_END, first.end()) + len(EVENT_END)
            arrived = stream.times[_read_that_completes(stream.reads, len(head) + 4, first_end)]
            self.first_token_ms.append((arrived - stream.opened) * 1000)

    def _parse(self, body: bytes) -> tuple[int, int, str]:
        """Return the number of right words, the number of events, and what is wrong."""
        words = answer_words(body)
        if isinstance(words, str):
            return 0, 0, words
        if not self._expected_text.startswith("".join(words)):
            right = sum(
                1 for got, word in zip(words, self._expected, strict=False) if got.strip() == word
            )
            return right, 0, "garbled"
        return len(words), body.count(EVENT_END), ""


def percentile(ordered: list[float], share: float) -> float:
    """Return the value below which `share` of the sorted values lie (nearest rank)."""
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else float("nan")


def _own_cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def measure_window(session: int, seconds: float) -> Window:
    """Let the streams run for a while, between two readings of the clocks."""
    before, own, machine = (
        proc.cpu_seconds(session),
        _own_cpu_seconds(),
        proc.machine_busy_seconds(),
    )
    start = time.perf_counter()
    await asyncio.sleep(seconds)
    end = time.perf_counter()
    after = proc.cpu_seconds(session)
    load_cpu_s = _own_cpu_seconds() - own
    machine_cpu_s = proc.machine_busy_seconds() - machine
    if before.keys() != after.keys():
        raise RuntimeError("the server's processes changed while they were measured")
    memory = proc.anonymous_bytes(session)
    return Window(
        start, end, sum(after.values()) - sum(before.values()), load_cpu_s, machine_cpu_s, memory
    )


def report_window(report: Report, streams: list[Stream], window: Window) -> None:
    """Fill in what arrived between the window's ends."""
    gaps = []
    for stream in streams:
        previous: float | None = None
        heard = False
        for arrived, events in zip(stream.times, events_by_read(stream.reads), strict=True):
            if not events:
                continue
            if window.start <= arrived < window.end:
                heard = True
                report.window_tokens += events
                if previous is not None:
                    gaps.append((arrived - previous) * 1000)
            previous = arrived
        report.silent_streams += not heard
    gaps.sort()
    report.window_s = window.end - window.start
    report.window_gaps_ms = (percentile(gaps, 0.5), percentile(gaps, 0.99), percentile(gaps, 1))
    report.load_cpu_share = window.load_cpu_s / report.window_s
    report.server_cpu_s = window.server_cpu_s
    report.server_anonymous_bytes = window.server_anonymous_bytes
    others = window.machine_cpu_s - window.server_cpu_s - window.load_cpu_s
    report.other_cpu_share = max(others, 0.0) / report.window_s


async def run(options: argparse.Namespace, reply: str) -> Report:
    """Run the streams as the options say and report on them."""
    verdict = Verdict(reply)
    window: Window | None = None
    started, own_cpu_s = time.perf_counter(), _own_cpu_seconds()
    deadline = started + options.timeout
    batches = []
    for _ in range(options.repeat):
        streams = Streams(options.port)
        batches.append(streams)
        try:
            async with asyncio.timeout(deadline - time.perf_counter()):
                await streams.open(options.streams, options.open_per_second)
                await streams.begun.wait()
                if options.window:
                    await asyncio.sleep(options.settle)
                    window = await measure_window(options.session, options.window)
                if options.to_the_end:
                    await streams.over.wait()
        except TimeoutError:
            streams.close("unfinished")
        streams.close("" if not options.to_the_end else "unfinished")
    wall_s, own_cpu_s = time.perf_counter() - started, _own_cpu_seconds() - own_cpu_s
    all_streams = [stream for streams in batches for stream in streams.all]
    for stream in all_streams:
        verdict.check(stream, options.to_the_end)
    last = batches[-1].all
    span_s = max((stream.times[-1] for stream in last if stream.times), default=0.0) - min(
        (stream.times[0] for stream in last if stream.times), default=0.0
    )
    report = Report(
        streams=len(all_streams),
        failures=dict(verdict.failures),
        lost_tokens=verdict.lost_tokens,
        first_token_ms=sorted(verdict.first_token_ms),
        tokens_per_s=verdict.tokens / len(batches) / span_s if span_s else 0.0,
        load_cpu_share=own_cpu_s / wall_s,
    )
    if window:
        report_window(report, last, window)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument(
        "session", type=int, help="the server's session, whose processes are measured"
    )
    parser.add_argument(
        "--reply", type=Path, required=True, help="the text that each stream must deliver"
    )
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--open-per-second", type=float, default=0.0, help="0: all at once")
    parser.add_argument(
        "--repeat", type=int, default=1, help="do it again so many times, one after the other"
    )
    parser.add_argument(
        "--settle", type=float, default=1.0, help="seconds between the last opening and the window"
    )
    parser.add_argument(
        "--window", type=float, default=0.0, help="seconds that are measured; 0: none"
    )
    parser.add_argument("--to-the-end", action="store_true", help="read every stream to its end")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds for the whole run")
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # Nothing here makes cycles in number, and a collection would look like a gap in every stream.
    gc.disable()
    json.dump(
        asdict(uvloop.run(run(options, options.reply.read_text(encoding="utf-8")))), sys.stdout
    )


if __name__ == "__main__":
    main()
