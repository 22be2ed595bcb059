"""A bad network: whatever it does to the connections, each reader sees all of a stream once, in order, with one end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Container
from copy import deepcopy
from typing import Any

import psutil
import pytest

from e2e.client import Answer, Connection, asynchronous, eventually, script, words
from e2e.conftest import OpenChat
from e2e.faults import Fault, FaultyRelay, drawn, in_a_thread
from e2e.history import DONE, History, Reader, Seen, violations
from e2e.stack import Stack

AT_ONCE = 70  # streams
PAUSES_S = (0.001, 0.005, 0.02)  # after each token

Position = Callable[[Reader], int | None]


def honest(reader: Reader) -> int | None:
    """What a good client resumes after."""
    return reader.position


class Visit:
    """What the readers of one stream do, over a bad network, drawn from a seed."""

    def __init__(
        self,
        stack: Stack,
        seed: int,
        *,
        position: Position = honest,
        kills: bool = False,
    ) -> None:
        rng = random.Random(seed)
        self._stack = stack
        self._seed = seed
        self._position = position
        self._count = rng.randint(20, 150)
        self._pause_s = rng.choice(PAUSES_S)
        # After how many events of the first reader the others come, the stream is stopped, a worker is killed.
        self._joins = [rng.randrange(self._count) for _ in range(rng.choice([0, 0, 1, 3]))]
        self._from_start = [rng.random() < 0.5 for _ in self._joins]
        self._stop_at = rng.randrange(self._count) if rng.random() < 0.3 else None
        self._kill_at = rng.randrange(self._count) if kills else None
        self._news = asyncio.Condition()
        self._over = False
        self.asked: list[
            str
        ] = []  # the names of all streams that it asked for, the last one with success

    async def through(self, relay: FaultyRelay) -> History:
        first = Reader()
        generation_id, answer = await self._ask(relay)
        history = History(self.asked[-1], self._count, [first])
        async with asyncio.TaskGroup() as others:
            for at, from_start in zip(self._joins, self._from_start, strict=True):
                others.create_task(self._join(relay, generation_id, history, at, from_start))
            if self._stop_at is not None:
                others.create_task(self._stop(relay, generation_id, history, self._stop_at))
            if self._kill_at is not None:
                others.create_task(self._kill_a_worker(first, self._kill_at))
            await self._read(relay, generation_id, first, answer)
            async with self._news:
                self._over = True
                self._news.notify_all()
        return history

    async def _ask(self, relay: FaultyRelay) -> tuple[str, Answer]:
        """Ask until there is the head of an answer: what was asked before may run or not, and nobody can say its id."""
        while True:
            name = f"é🙂{self._seed}.{len(self.asked)}"
            self.asked.append(name)
            prompt = script(name, ["type", words(name, self._count), self._pause_s])
            connection = await Connection.open(relay)
            try:
                answer = await connection.ask(
                    "POST", "/chat", {"prompt": prompt, "resumable": True}
                )
            except ConnectionError:
                connection.close()
                continue
            assert answer.status == 200
            return answer.id, answer

    async def _read(
        self, relay: FaultyRelay, generation_id: str, reader: Reader, answer: Answer | None = None
    ) -> None:
        """Read to the end, and come back whenever the connection ends before."""
        while True:
            if not answer:
                after = self._position(reader)
                headers = {} if after is None else {"Last-Event-ID": str(after)}
                answer = await _ask_again(relay, "GET", f"/chat/{generation_id}", headers)
            if answer.status != 200:
                assert answer.status == 204, answer.status
                return
            taken = 0
            more = True
            while more:
                try:
                    more = await answer.pull()
                except ConnectionError:
                    more = False
                events = [*answer.events, DONE] if answer.done else answer.events
                news = list(map(Seen, answer.ids[taken:], events[taken:]))
                taken += len(news)
                reader.seen += news
                async with self._news:
                    self._news.notify_all()
            answer.connection.close()
            if answer.done or answer.error:
                return
            answer = None

    async def _until(self, reader: Reader, count: int) -> None:
        async with self._news:
            await self._news.wait_for(lambda: self._over or len(reader.seen) >= count)

    async def _join(
        self, relay: FaultyRelay, generation_id: str, history: History, at: int, from_start: bool
    ) -> None:
        first = history.readers[0]
        await self._until(first, at)
        tokens = [seen for seen in first.seen if seen.event != DONE and seen.event["token"]]
        reader = Reader(0 if from_start else min(at, len(tokens)))
        history.readers.append(reader)
        await self._read(relay, generation_id, reader)

    async def _stop(
        self, relay: FaultyRelay, generation_id: str, history: History, at: int
    ) -> None:
        await self._until(history.readers[0], at)
        history.stopped = True
        answer = await _ask_again(relay, "DELETE", f"/chat/{generation_id}", {})
        assert answer.status == 204
        answer.connection.close()

    async def _kill_a_worker(self, first: Reader, at: int) -> None:
        await self._until(first, at)
        try:
            random.Random(self._seed).choice(self._stack.http_workers()).kill()
        except (psutil.NoSuchProcess, IndexError):
            pass  # another schedule's was faster


async def _ask_again(relay: FaultyRelay, method: str, path: str, headers: dict[str, str]) -> Answer:
    """Ask what may be asked twice until there is the head of an answer."""
    while True:
        connection = await Connection.open(relay)
        try:
            return await connection.ask(method, path, headers=headers)
        except ConnectionError:
            connection.close()


async def run(stack: Stack, seeds: range, killing: Container[int] = ()) -> None:
    """Let all of these schedules run, many at once, and check the history of each."""
    places = asyncio.Semaphore(AT_ONCE)
    failures: list[str] = []
    asked: list[str] = []

    async def one(seed: int) -> None:
        async with places, FaultyRelay(stack.port, drawn(seed)) as relay:
            visit = Visit(stack, seed, kills=seed in killing)
            try:
                history = await visit.through(relay)
            except Exception as error:
                failures.append(f"seed {seed}: {error!r}")
                return
            failures.extend(f"seed {seed}: {what}" for what in violations(history))
            asked.extend(visit.asked)

    await asyncio.gather(*map(one, seeds))
    assert failures == []
    await eventually(lambda: _ended(stack), "the end of all that was begun")
    begun = [line.removeprefix("start ") for line in stack.journal() if line.startswith("start ")]
    twice = {name for name in asked if begun.count(name) > 1}
    assert twice == set(), "what was asked once ran more than once"


def _ended(stack: Stack) -> bool:
    kinds = [line.partition(" ")[0] for line in stack.journal()]
    return kinds.count("start") == kinds.count("end")


@asynchronous
async def test_every_reader_sees_all_once_whatever_the_network_does(stack: Stack) -> None:
    await run(stack, range(6))


@pytest.mark.long
@asynchronous
async def test_two_hundred_schedules_of_a_bad_network(start_stack: Callable[..., Stack]) -> None:
    await run(start_stack(), range(200), killing=range(0, 200, 25))


# The page

# Reads streams with the page's own client, and returns what it was told of each. Only a question without an answer, or
# with one that ends before its id, is asked again, by another name, as whoever reads the page would.
FOLLOW = """async ([base, streams]) => {
    const { followAnswer } = await import(`${base}js/sse.js`);
    return Promise.all(streams.map(async ({ name, count }) => {
        for (let attempt = 0; ; attempt += 1) {
            const asked = `${name}.${attempt}`;
            const words = Array.from({ length: count }, (_, index) => `${asked}-${index} `).join("");
            const prompt = JSON.stringify({ name: asked, steps: [["type", words, 0.005]] });
            const seen = [];
            const outcome = await followAnswer({
                url: `${base}chat`,
                body: { prompt, resumable: true },
                signal: new AbortController().signal,
                times: { base: 20 },
                onEvent: (event, id) => seen.push([Number(id), event]),
            });
            const lost = ["unreachable", "gone"].includes(outcome.state) && seen.length === 0;
            if (!lost) return { asked, seen, outcome };
        }
    }));
}"""


# By plain http a browser takes what was cut off in its head for a whole file, and a module so cut off for good.
LOAD_ALL = """async () => {
    const { files } = await (await fetch("files.json")).json();
    const modules = Object.keys(files).filter((name) => /^js\\/.*\\.js$/.test(name));
    await Promise.all(modules.map((name) => import(new URL(name, document.baseURI))));
}"""


@pytest.mark.long
@pytest.mark.parametrize("seed", range(14))
def test_the_page_shows_all_once_whatever_the_network_does(
    open_chat: OpenChat, stack: Stack, seed: int
) -> None:
    relay = FaultyRelay(stack.port, drawn(seed), armed=False)
    with in_a_thread(relay):
        chat = open_chat(f"http://127.0.0.1:{relay.port}")
        chat.send("hello")
        chat.wait_answer("hello ")
        chat.wait_finished()
        chat.page.evaluate(LOAD_ALL)
        relay.arm()
        asked = [{"name": f"page{seed}.{number}", "count": 40 + seed} for number in range(3)]
        followed = chat.page.evaluate(FOLLOW, [chat.url, asked])
        for stream in followed:
            assert stream["outcome"] == {"state": "finished"}
            reader = Reader(0, [Seen(position, event) for position, event in stream["seen"]])
            reader.seen.append(Seen(reader.position + 1, DONE))
            assert violations(History(stream["asked"], 40 + seed, [reader])) == []
        # And with all that is around the client. What nobody answered is asked again by a button.
        name = f"shown{seed}"
        chat.send(script(name, ["type", words(name, 60), 0.01]))
        chat.wait_finished()
        while chat.answer_text() == "":
            chat.button("Retry").click()
            chat.wait_finished()
        chat.wait_answer(words(name, 60))


# The checker is worth something


def good(count: int = 3, after: int = 0) -> Reader:
    events: list[Any] = [{"token": f"s-{index} "} for index in range(count)]
    end = {
        "token": "",
        "finish_reason": "stop",
        "usage": {"prompt_tokens": 1, "completion_tokens": count},
    }
    seen = [Seen(position, event) for position, event in enumerate([*events, end, DONE], 1)]
    return Reader(after, seen[after:])


def test_a_good_history_has_nothing_wrong() -> None:
    assert violations(History("s", 3, [good(), good(after=2), good(after=3)])) == []


def without_positions(reader: Reader) -> None:
    """As a client sees it that joins what it is sent, and has come back once from the beginning."""
    events = [seen.event for seen in reader.seen]
    reader.seen[:] = [Seen(at, event) for at, event in enumerate(events[:2] + events, 1)]


def dropped(reader: Reader) -> None:
    del reader.seen[1]


def dropped_and_numbered_anew(reader: Reader) -> None:
    del reader.seen[1]
    reader.seen[:] = [Seen(at, seen.event) for at, seen in enumerate(reader.seen, 1)]


def doubled(reader: Reader) -> None:
    reader.seen.insert(1, reader.seen[1])


def swapped(reader: Reader) -> None:
    reader.seen[0], reader.seen[1] = reader.seen[1], reader.seen[0]


def swapped_but_for_their_numbers(reader: Reader) -> None:
    one, other = reader.seen[:2]
    reader.seen[:2] = [Seen(1, other.event), Seen(2, one.event)]


def of_another_stream(reader: Reader) -> None:
    reader.seen[1] = Seen(2, {"token": "t-1 "})


def an_error_in_the_middle(reader: Reader) -> None:
    reader.seen[1] = Seen(2, {"error": {"code": "engine_lost", "message": ""}})


def no_done(reader: Reader) -> None:
    reader.seen.pop()


def no_terminal_event(reader: Reader) -> None:
    del reader.seen[-2:]


def no_finish_reason(reader: Reader) -> None:
    reader.seen[-2:] = [Seen(4, DONE)]


def two_dones(reader: Reader) -> None:
    reader.seen.append(Seen(6, DONE))


def two_finish_reasons(reader: Reader) -> None:
    reader.seen[-1:] = [Seen(5, reader.seen[-2].event), Seen(6, DONE)]


def something_after_the_end(reader: Reader) -> None:
    reader.seen.append(Seen(6, {"token": "s-3 "}))


def cut_short(reader: Reader) -> None:
    reader.seen[:] = good(2).seen


def cancelled_by_nobody(reader: Reader) -> None:
    reader.seen[-2].event["finish_reason"] = "cancelled"


@pytest.mark.parametrize(
    "spoil",
    [
        without_positions, dropped, dropped_and_numbered_anew, doubled, swapped, swapped_but_for_their_numbers,
        of_another_stream, an_error_in_the_middle, no_done, no_terminal_event, no_finish_reason, two_dones,
        two_finish_reasons, something_after_the_end, cut_short, cancelled_by_nobody,
    ],
)  # fmt: skip
def test_a_spoilt_history_is_found(spoil: Callable[[Reader], None]) -> None:
    spoilt = deepcopy(good())
    spoil(spoilt)
    assert violations(History("s", 3, [good(), spoilt]))


def test_readers_that_see_different_ends_are_found() -> None:
    one, other = deepcopy(good(2)), deepcopy(good(3))
    for reader in one, other:
        cancelled_by_nobody(reader)
        assert violations(History("s", 3, [reader], stopped=True)) == []
    assert violations(History("s", 3, [one, other], stopped=True))


QUICK_SEED = 23  # draws a long stream without a pause and without a stop


def from_the_beginning(reader: Reader) -> int | None:
    return None


def from_the_beginning_once_more(reader: Reader) -> int | None:
    return max(0, reader.position - 1)


def with_a_gap(reader: Reader) -> int | None:
    return reader.position + 1


@pytest.mark.parametrize(
    "position", [honest, from_the_beginning, from_the_beginning_once_more, with_a_gap]
)
def test_a_client_that_does_not_mind_positions_is_found(stack: Stack, position: Position) -> None:
    def cut_the_first_answer(number: int, direction: str) -> list[Fault]:
        return [Fault(1500, "cut")] if (number, direction) == (0, "answer") else []

    @asynchronous
    async def visit() -> None:
        async with FaultyRelay(stack.port, cut_the_first_answer) as relay:
            history = await Visit(stack, QUICK_SEED, position=position).through(relay)
        assert (violations(history) == []) == (position is honest)

    visit()
