from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from backend.log_stream import LogStream


def read_all(number: int) -> str:
    os.set_blocking(number, False)
    parts = []
    while True:
        try:
            parts.append(os.read(number, 65536))
        except BlockingIOError:
            return b"".join(parts).decode()


def test_what_nobody_takes_is_dropped_and_counted() -> None:
    reading, writing = os.pipe()
    stream = LogStream(writing)
    for number in range(3000):  # more than a pipe holds
        stream.write(f"{number} {'x' * 60}\n")
    taken = read_all(reading)
    stream.write("again\n")
    kept = [line.split()[0] for line in taken.splitlines()]
    assert kept == [str(number) for number in range(len(kept))]
    assert 0 < len(kept) < 3000
    assert read_all(reading) == f"({3000 - len(kept)} lines before this one were dropped)\nagain\n"
    stream.write("and again\n")
    assert read_all(reading) == "and again\n"
    os.close(reading)
    stream.write("to nobody\n")
    os.close(writing)


def test_a_long_line_is_written_whole_where_there_is_room(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        LogStream(file.fileno()).write("é\ud800" * 10_000 + "\n")
    assert (tmp_path / "log").read_text() == "é\\ud800" * 10_000 + "\n"


def test_a_full_disk_is_an_error_that_logging_knows(capsys: pytest.CaptureFixture[str]) -> None:
    with Path("/dev/full").open("w") as full:
        logger = logging.Logger("full")
        logger.addHandler(logging.StreamHandler(LogStream(full.fileno())))
        logger.warning("a line")
    assert "No space left on device" in capsys.readouterr().err
