from __future__ import annotations

import time

import pytest

from backend.engine.log import GenerationLog, LogFull, LogStore

BIG = 1_000_000


def text(log: GenerationLog) -> bytes:
    return bytes(log.read(0, BIG))


def test_events_get_the_positions_1_2_3_and_each_is_found_by_its_own() -> None:
    log = LogStore(BIG, 60).open("a", numbered=False)
    frames = [b"data: %d\n\n" % number * (number + 1) for number in range(10)]
    for position, frame in enumerate(frames, 1):
        log.append(frame)
        assert log.last == position
    for position in range(11):
        assert log.read(log.offset_after(position), BIG) == b"".join(frames[position:])
    assert log.offset_after(10) == log.size


def test_a_position_beyond_the_end_is_an_error() -> None:
    log = LogStore(BIG, 60).open("a", numbered=False)
    log.append(b"x")
    with pytest.raises(IndexError):
        log.offset_after(2)


def test_a_numbered_log_puts_the_position_before_each_event() -> None:
    log = LogStore(BIG, 60).open("a", numbered=True)
    log.append(b"data: a\n\n")
    log.append(b"data: b\n\n")
    log.finish(b"data: end\n\n", b"data: [DONE]\n\n")
    assert text(log) == (
        b"id: 1\ndata: a\n\nid: 2\ndata: b\n\nid: 3\ndata: end\n\nid: 4\ndata: [DONE]\n\n"
    )
    assert log.read(log.offset_after(2), BIG).startswith(b"id: 3\n")


@pytest.mark.parametrize("numbered", [False, True])
@pytest.mark.parametrize("limit", [1, 9, 10, 11, 20, 33, 64, 300, BIG])
def test_a_limit_cuts_between_events_and_lets_one_pass_at_least(limit: int, numbered: bool) -> None:
    log = LogStore(BIG, 60).open("a", numbered)
    for number in range(20):
        log.append(b"data: %b\n\n" % (b"x" * (number * 7 % 40)))
    log.finish(b"data: end\n\n")
    ends = [log.offset_after(position) for position in range(log.last + 1)]
    offset, parts = 0, []
    while chunk := log.read(offset, limit):
        beyond = next((end for end in ends if end > offset + len(chunk)), float("inf"))
        assert beyond > offset + limit  # it took what there was room for
        assert len(chunk) <= limit or ends.index(offset + len(chunk)) == ends.index(offset) + 1
        parts.append(bytes(chunk))
        offset += len(chunk)
        assert offset in ends
    assert b"".join(parts) == text(log)
    assert offset == log.size


@pytest.mark.parametrize("limit", [0, -1, -100])
def test_no_room_reads_nothing(limit: int) -> None:
    log = LogStore(BIG, 60).open("a", numbered=False)
    log.append(b"data: x\n\n")
    assert log.read(0, limit) == b""


def test_a_reader_that_has_everything_gets_nothing_until_there_is_more() -> None:
    log = LogStore(BIG, 60).open("a", numbered=False)
    assert log.read(0, BIG) == b""
    log.append(b"one")
    assert log.read(3, BIG) == b""
    log.append(b"two")
    assert log.read(3, BIG) == b"two"


def test_readers_are_woken_by_each_event_and_by_the_end_until_they_leave() -> None:
    log = LogStore(BIG, 60).open("a", numbered=False)
    seen: list[tuple[str, int, bool]] = []

    def one() -> None:
        seen.append(("one", log.last, log.finished))

    def two() -> None:
        seen.append(("two", log.last, log.finished))

    log.subscribe(one)
    log.subscribe(two)
    log.append(b"x")  # delivered after it was appended
    assert seen == [("one", 1, False), ("two", 1, False)]
    log.unsubscribe(one)
    log.finish(b"end", b"done")
    assert seen[2:] == [("two", 3, True)]


def test_there_is_one_terminal_record_and_nothing_after_it() -> None:
    store = LogStore(BIG, 60)
    log = store.open("a", numbered=True)
    log.append(b"data: a\n\n")
    assert not log.finished
    log.finish(b"data: end\n\n")
    whole, used = text(log), store.used
    wakes: list[None] = []
    log.subscribe(lambda: wakes.append(None))
    log.append(b"data: late\n\n")
    log.finish(b"data: another end\n\n")
    assert log.finished
    assert text(log) == whole
    assert (store.used, wakes) == (used, [])


def test_the_oldest_finished_log_goes_first_when_room_is_short() -> None:
    store = LogStore(1000, 60)
    for name in ("a", "b", "c"):
        store.open(name, numbered=False).append(b"x" * 192)  # 200 with its index
    for name in ("b", "a"):
        log = store.get(name)
        assert log
        log.finish()
        store.close(name)
    growing = store.get("c")
    assert growing
    growing.append(b"x" * 392)
    assert store.get("a")
    assert store.get("b")
    growing.append(b"x" * 92)
    assert store.get("b") is None
    assert store.get("a")
    growing.append(b"x" * 192)
    assert store.get("a") is None
    assert store.get("c")


def test_a_log_is_refused_only_when_no_finished_one_can_go() -> None:
    store = LogStore(1000, 60)
    finished = store.open("finished", numbered=False)
    finished.append(b"x" * 492)
    finished.finish()
    store.close("finished")
    neighbour = store.open("neighbour", numbered=False)
    neighbour.append(b"x" * 392)
    growing = store.open("growing", numbered=False)
    growing.append(b"x" * 192)  # in the place of the finished one
    assert store.get("finished") is None
    growing.append(b"x" * 392)
    assert store.used == 1000
    with pytest.raises(LogFull):
        growing.append(b"")
    assert (growing.last, growing.size) == (2, 584)
    growing.finish(b"the end always finds room")
    assert text(growing).endswith(b"room")


def test_a_reader_in_the_middle_of_a_forgotten_log_can_read_on() -> None:
    store = LogStore(1000, 60)
    log = store.open("a", numbered=False)
    log.append(b"first ")
    log.append(b"second")
    log.finish()
    store.close("a")
    store.forget("a")
    assert log.read(6, BIG) == b"second"


def test_finished_logs_are_forgotten_by_age_and_unfinished_ones_never(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    store = LogStore(BIG, ttl_s=10)
    store.open("running", numbered=True)
    for name in ("old", "young"):
        store.open(name, numbered=True).finish(b"end")
        store.close(name)
        now += 6
    store.expire()
    assert store.get("old") is None
    assert store.get("young")
    now += 3.9
    store.expire()
    assert store.get("young")
    now += 0.2
    store.expire()
    assert store.get("young") is None
    assert store.get("running")


@pytest.mark.parametrize("numbered", [False, True])
def test_the_account_returns_to_nothing_when_every_log_is_gone(numbered: bool) -> None:
    store = LogStore(BIG, ttl_s=0)
    for name in ("a", "b", "c"):
        log = store.open(name, numbered)
        for number in range(30):
            log.append(b"x" * number)
        log.finish(b"end", b"done")
        log.append(b"late")
        store.close(name)
        assert store.used >= log.size
    store.expire()
    assert store.used == 0


def test_somebody_may_come_back_for_a_numbered_log_that_was_not_read_to_its_end() -> None:
    store = LogStore(BIG, 60)
    store.open("plain", numbered=False)
    assert not store.undelivered()
    log = store.open("resumable", numbered=True)
    assert store.undelivered()
    log.delivered = True
    assert not store.undelivered()
