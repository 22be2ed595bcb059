from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from backend.leases import Leases, Settlement, process_start, tokens_key
from backend.shared_counts import FILE, SharedCounts


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def counts(folder: Path) -> Iterator[SharedCounts]:
    counts = SharedCounts(folder)
    yield counts
    counts.close()


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """Another process, which the test may kill."""
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


def test_a_process_is_told_from_another_with_its_number() -> None:
    assert process_start(os.getpid()) == process_start(os.getpid())
    assert process_start(os.getpid()) != process_start(os.getppid())
    assert process_start(2**22 + 1) == ""


def test_where_nothing_tells_when_a_process_began_its_life_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.leases.PROC", tmp_path)
    assert process_start(os.getpid()) == process_start(1) != ""
    assert process_start(2**22 + 1) == ""


def test_places_are_counted_for_each_account(counts: SharedCounts) -> None:
    leases = Leases(counts)
    first = leases.take("a")
    leases.take("a")
    leases.take("b")
    assert (leases.count("a", 9), leases.count("b", 9), leases.count("c", 9)) == (2, 1, 0)
    with counts.transaction() as transaction:
        leases.give_back(transaction, first)
    assert leases.count("a", 9) == 1


def test_a_killed_process_holds_no_place_once_somebody_needs_it(
    counts: SharedCounts, other: subprocess.Popen[bytes]
) -> None:
    for _ in range(3):
        Leases(counts, other.pid).take("a")
    leases = Leases(counts)
    own = leases.take("a")
    assert leases.count("a", 4) == 4
    other.kill()
    # Dead, though its parent has not asked for it yet.
    while psutil.Process(other.pid).status() != psutil.STATUS_ZOMBIE:
        pass
    assert leases.count("a", 5) == 4
    assert leases.count("a", 4) == 1
    with counts.transaction() as (connection, _):
        assert connection.execute("SELECT id FROM leases").fetchall() == [(own,)]


def test_a_process_that_has_a_dead_ones_number_does_not_keep_its_places(
    counts: SharedCounts,
) -> None:
    leases = Leases(counts)
    leases.take("a")
    assert leases.count("a", 1) == 1
    with counts.transaction() as (connection, _):
        connection.execute("UPDATE leases SET process_start = '1'")
    assert leases.count("a", 1) == 0


def test_who_begins_clears_away_what_the_dead_have_left(
    counts: SharedCounts, other: subprocess.Popen[bytes]
) -> None:
    Leases(counts, other.pid).take("a")
    other.kill()
    other.wait()
    assert Leases(counts).count("somebody else", 1) == 0
    with counts.transaction() as (connection, _):
        assert connection.execute("SELECT count(*) FROM leases").fetchone() == (0,)


def test_a_lease_that_was_taken_over_is_not_its_taker_s_to_give_back(
    counts: SharedCounts, other: subprocess.Popen[bytes]
) -> None:
    lease, kept = (Leases(counts, other.pid).take("a") for _ in range(2))
    settlement, leases = Settlement(counts), Leases(counts)
    settlement.accepted(lease, "a")
    settlement.refused(kept)  # which this process does not hold
    settlement.flush(5)
    assert leases.count("a", 3) == 2
    other.kill()
    other.wait()
    assert leases.count("a", 2) == 1
    settlement.ended(lease, "a", 7)
    settlement.flush(5)
    assert leases.count("a", 3) == 0
    assert counts.get(tokens_key("a")) == 7


def test_a_lease_that_was_given_back_too_early_comes_back_with_its_engine(
    counts: SharedCounts,
) -> None:
    leases, settlement = Leases(counts), Settlement(counts)
    lease = leases.take("a")
    settlement.refused(lease)
    settlement.accepted(lease, "a")
    settlement.flush(5)
    assert leases.count("a", 1) == 1


def test_what_cannot_be_written_is_written_later(
    folder: Path, counts: SharedCounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.leases.AGAIN_S", 0.01)
    folder.mkdir(0o700)
    (folder / FILE).write_bytes(b"not a database" * 1000)
    settlement = Settlement(counts)
    settlement.ended("lease", "a", 7)
    settlement.ended("another", "a", 5)
    settlement.flush(0.1)
    (folder / FILE).unlink()
    settlement.flush(5)
    assert counts.get(tokens_key("a")) == 12


def test_who_has_nothing_to_settle_makes_no_file(folder: Path, counts: SharedCounts) -> None:
    Settlement(counts).flush(5)
    assert not folder.exists()
