from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from limits import RateLimitItemPerMinute
from limits.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter

from backend.errors import CountsUnavailable
from backend.shared_counts import FILE, SharedCounts
from backend.tests.clock import START, Clock


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def counts(folder: Path, clock: Clock) -> Iterator[SharedCounts]:
    counts = SharedCounts(folder, clock)
    yield counts
    counts.close()


def rows(counts: SharedCounts) -> int:
    with counts.transaction() as (connection, _):
        return sum(
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("windows", "entries")
        )


# What the library promises


def test_a_fixed_window_counts_until_it_ends(counts: SharedCounts, clock: Clock) -> None:
    assert counts.get("a") == 0
    assert counts.get_expiry("a") == START
    assert counts.incr("a", 60) == 1
    clock.now += 59
    assert counts.incr("a", 60, amount=5) == 6
    assert counts.get("a") == 6
    assert counts.get_expiry("a") == START + 60
    clock.now += 1
    assert counts.get("a") == 0
    assert counts.incr("a", 60, amount=2) == 2
    assert counts.get_expiry("a") == START + 120


def test_a_moving_window_gives_each_place_back_when_its_time_is_over(
    counts: SharedCounts, clock: Clock
) -> None:
    limiter, item = MovingWindowRateLimiter(counts), RateLimitItemPerMinute(2)
    assert limiter.hit(item, "a")
    clock.now += 40
    assert limiter.hit(item, "a")
    assert not limiter.hit(item, "a")
    assert limiter.hit(item, "b")
    assert limiter.get_window_stats(item, "a") == (START + 60, 0)
    clock.now += 19.9
    assert not limiter.hit(item, "a")
    clock.now += 0.1
    assert limiter.hit(item, "a")
    assert not limiter.hit(item, "a")
    assert limiter.get_window_stats(item, "a") == (START + 100, 0)


def test_a_lower_limit_tells_when_there_is_room_under_it(
    counts: SharedCounts, clock: Clock
) -> None:
    for _ in range(4):
        assert counts.acquire_entry("a", 10, 60)
        clock.now += 10
    begin, count = counts.get_moving_window("a", 2, 60)
    assert (begin + 60, count) == (START + 80, 2)
    clock.now = START + 79.9
    assert not counts.acquire_entry("a", 2, 60)
    clock.now = START + 80
    assert counts.acquire_entry("a", 2, 60)


def test_entries_are_acquired_together_or_not_at_all(counts: SharedCounts) -> None:
    assert not counts.acquire_entry("a", 2, 60, amount=3)
    assert counts.acquire_entry("a", 2, 60, amount=2)
    assert not counts.acquire_entry("a", 2, 60)


def test_a_window_can_be_forgotten_and_all_of_them(counts: SharedCounts) -> None:
    limiter, item = FixedWindowRateLimiter(counts), RateLimitItemPerMinute(1)
    for name in ("a", "b"):
        assert limiter.hit(item, name)
        assert counts.acquire_entry(name, 1, 60)
    limiter.clear(item, "a")
    counts.clear("a")
    assert limiter.test(item, "a")
    assert counts.acquire_entry("a", 1, 60)
    assert not limiter.test(item, "b")
    assert counts.reset() == 3
    assert limiter.test(item, "b")
    assert counts.check()


# One transaction


def test_what_is_refused_inside_a_transaction_was_never_counted(counts: SharedCounts) -> None:
    counts.incr("a", 60)

    def count_and_fail() -> None:
        with counts.transaction():
            counts.incr("a", 60)
            assert counts.acquire_entry("b", 1, 60)
            raise KeyError

    with pytest.raises(KeyError):
        count_and_fail()
    assert counts.get("a") == 1
    assert counts.acquire_entry("b", 1, 60)


def _acquire(folder: Path, times: int) -> int:
    counts = SharedCounts(folder)
    taken = sum(counts.acquire_entry("a", 20, 3600) for _ in range(times))
    for _ in range(times):
        counts.incr("b", 3600)
    counts.close()
    return taken


@pytest.mark.long
def test_processes_that_begin_a_file_together_count_exactly(folder: Path) -> None:
    with get_context("spawn").Pool(4) as processes:
        taken = processes.starmap(_acquire, [(folder, 25)] * 8)
    assert sum(taken) == 20
    counts = SharedCounts(folder)
    assert counts.get("b") == 200
    counts.close()


def test_threads_share_one_object(counts: SharedCounts) -> None:
    with ThreadPoolExecutor(8) as threads:
        taken = list(threads.map(lambda _: counts.acquire_entry("a", 20, 60), range(200)))
    assert sum(taken) == 20


def test_counts_outlive_their_process(folder: Path, counts: SharedCounts, clock: Clock) -> None:
    counts.incr("a", 60)
    counts.close()
    assert SharedCounts(folder, clock).get("a") == 1


# The clock


@pytest.mark.parametrize("jump_s", [-0.5, -3600, -30 * 86400])
def test_a_clock_that_jumps_back_changes_nothing(
    counts: SharedCounts, clock: Clock, jump_s: float
) -> None:
    assert counts.acquire_entry("a", 1, 60)
    counts.incr("b", 86400)
    clock.now += 20
    counts.incr("c", 1)  # anything: it is now known how late it is
    clock.now += jump_s
    assert not counts.acquire_entry("a", 1, 60)
    assert counts.get_moving_window("a", 1, 60)[0] + 60 == pytest.approx(clock.now + 40)
    assert counts.get_expiry("b") == pytest.approx(clock.now + 86380)
    clock.now += 41
    assert counts.acquire_entry("a", 1, 60)


def test_a_clock_that_jumps_forward_and_back_locks_nobody_out(
    counts: SharedCounts, clock: Clock
) -> None:
    assert counts.acquire_entry("a", 1, 60)
    clock.now += 3600
    assert counts.acquire_entry("a", 1, 60)
    clock.now -= 3600
    assert not counts.acquire_entry("a", 1, 60)
    clock.now += 60
    assert counts.acquire_entry("a", 1, 60)


# The file


def test_what_has_expired_leaves_the_file(folder: Path, counts: SharedCounts, clock: Clock) -> None:
    with counts.transaction():
        for number in range(5_000):
            assert counts.acquire_entry(f"address:2001:db8:0:{number:x}::/64", 1, 60)
            counts.incr(f"address:2001:db8:0:{number:x}::/64", 60)
    assert rows(counts) == 10_000
    clock.now += 61
    for _ in range(200):
        counts.incr("a", 60)
        assert counts.acquire_entry("a", 1000, 60)
    assert rows(counts) == 201
    counts.close()  # what the log of changes holds goes into the file
    assert sum(file.stat().st_size for file in folder.iterdir()) < 200_000


def test_the_folder_is_private_and_made_when_something_is_counted(
    folder: Path, counts: SharedCounts
) -> None:
    assert not folder.exists()
    counts.incr("a", 60)
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_broken_file_refuses_says_why_once_and_is_tried_again(
    folder: Path, counts: SharedCounts, caplog: pytest.LogCaptureFixture
) -> None:
    folder.mkdir(0o700)
    (folder / FILE).write_bytes(b"not a database" * 1000)
    for _ in range(3):
        with pytest.raises(CountsUnavailable) as raised:
            counts.incr("a", 60)
        assert isinstance(raised.value.__cause__, sqlite3.DatabaseError)
    assert not counts.check()
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert FILE in caplog.text
    assert "not a database" in caplog.text
    (folder / FILE).unlink()
    assert counts.incr("a", 60) == 1


def test_a_folder_that_others_may_enter_is_refused(
    folder: Path, counts: SharedCounts, caplog: pytest.LogCaptureFixture
) -> None:
    folder.mkdir(0o755)
    with pytest.raises(CountsUnavailable):
        counts.incr("a", 60)
    assert "BURBLE_STATE_DIR" in caplog.text


def test_a_full_disk_refuses_and_is_over_when_there_is_room(
    folder: Path, counts: SharedCounts, caplog: pytest.LogCaptureFixture
) -> None:
    counts.incr("a", 60)
    with counts.transaction() as (connection, _):
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
    with counts.transaction() as (connection, _):
        connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(CountsUnavailable):
        all(counts.incr(f"b{number}", 60) for number in range(1000))
    assert "full" in caplog.text
    assert counts.get("a") == 1
    # By a connection of its own, which knows of no end.
    assert all(counts.incr(f"b{number}", 60) for number in range(1000))
