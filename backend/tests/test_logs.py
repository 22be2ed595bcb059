from __future__ import annotations

import asyncio
import io
import json
import logging
import logging.config
import re
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest

import backend
from backend import logs
from backend.errors import UpstreamBusy
from backend.models import Delta, WrongItem
from backend.settings import Settings

SECRET = "xylophone"


class Lines:
    """What is logged from now on, as a stack would write it."""

    def __init__(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stream = io.StringIO()
        config = logs.config(settings)
        # Under a name of its own, so that pytest's handlers stay.
        config["loggers"] = {"under_test": config["loggers"]["gunicorn.error"]}
        config["handlers"]["stderr"]["stream"] = self.stream
        logging.config.dictConfig(
            {"version": 1, "disable_existing_loggers": False, "incremental": False}
            | {name: part for name, part in config.items() if name != "root"}
        )
        self.logger = logging.getLogger("under_test.part")
        monkeypatch.setattr(logs, "LOGGER", self.logger)

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    def json(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def start(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Lines]]:
    yield lambda **settings: Lines(make_settings(**settings), monkeypatch)
    logging.getLogger("under_test").handlers.clear()


def raised(error: Any) -> Any:
    """Raise and catch it here, so that it has a traceback."""
    try:
        raise error
    except BaseException as caught:
        return caught


def chain() -> Any:
    """An exception that says a secret, as do its cause, its context, its notes, and those of a group."""
    try:
        try:
            raise KeyError(SECRET)
        except KeyError as error:
            error.add_note(SECRET)
            raise ValueError(SECRET) from error
    except ValueError:
        return raised(
            ExceptionGroup(SECRET, [raised(RuntimeError(f"a\n{SECRET}")), OSError(28, SECRET)])
        )


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_an_exception_tells_types_and_places_and_never_what_it_says(
    start: Callable[..., Lines], log_format: str
) -> None:
    lines = start(log_format=log_format)
    lines.logger.error("It failed", exc_info=chain())
    lines.logger.error("It failed: %s", ValueError(SECRET))
    lines.logger.error(LookupError(SECRET))
    lines.logger.error(
        "It failed:\n%s", f"Traceback (most recent call last):\nValueError: {SECRET}"
    )
    assert SECRET not in lines.text
    for told in (
        "KeyError", "which led to:", "ValueError", "ExceptionGroup", "number 1:", "RuntimeError",
        "OSError: [Errno 28] No space left on device", "test_logs.py", "in raised", "It failed: ValueError",
        "LookupError",
    ):  # fmt: skip
        assert told in lines.text, told


def test_debug_shows_what_exceptions_say(start: Callable[..., Lines]) -> None:
    lines = start(log_level="debug")
    lines.logger.error("It failed", exc_info=chain())
    lines.logger.error("It failed: %s", ValueError("also this"))
    assert lines.text.count(SECRET) >= 4
    assert "also this" in lines.text


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (UpstreamBusy(SECRET), "upstream_busy"),
        (OSError(2, SECRET, SECRET), "[Errno 2] No such file or directory"),
        (OSError(SECRET), logs.WITHHELD),
        (ModuleNotFoundError(SECRET, name="torch"), "No module named 'torch'"),
        (WrongItem({SECRET}), "yielded set, not str"),
        (WrongItem(Delta(text=SECRET, thinking=7)), "a Delta of str, int"),  # type: ignore[arg-type]
        (SystemExit(SECRET), logs.WITHHELD),
    ],
)
def test_what_can_be_nobody_s_words_is_told(error: BaseException, told: str) -> None:
    assert told in logs.describe(raised(error))
    assert SECRET not in logs.describe(raised(error))


def test_an_exception_that_led_to_itself_is_told_once() -> None:
    first, second = raised(ValueError()), raised(KeyError())
    first.__context__, second.__context__ = second, first
    assert logs.describe(first).count("ValueError") == 1


def test_a_json_line_is_one_object_with_the_time_and_what_it_is_about(
    start: Callable[..., Lines],
) -> None:
    lines = start(log_format="json")
    token = backend.about.set({"request_id": "r", "generation_id": "g"})
    try:
        lines.logger.warning(
            "two\nlines", extra={"owner": "anna", "status": None, "color_message": "x"}
        )
        lines.logger.error("It failed", exc_info=chain())
        lines.logger.info("another one's", extra={"generation_id": "other"})
    finally:
        backend.about.reset(token)
    first, second, third = lines.json()
    assert datetime.fromisoformat(first.pop("time")).utcoffset() is not None
    assert first.pop("pid") > 1
    assert first == {
        "level": "warning", "logger": "under_test.part", "message": "two\nlines", "owner": "anna",
        "request_id": "r", "generation_id": "g",
    }  # fmt: skip
    assert "KeyError" in second["traceback"]
    assert (third["request_id"], third["generation_id"]) == ("r", "other")


def test_text_reads_as_gunicorn_writes_it(start: Callable[..., Lines]) -> None:
    lines = start()
    lines.logger.info("The model %s is loaded", "simulated")
    date = r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\]"
    assert re.fullmatch(date + r" \[\d+\] \[INFO\] The model simulated is loaded\n", lines.text)


def test_of_what_asyncio_reports_only_the_kind_is_told(start: Callable[..., Lines]) -> None:
    lines = start()
    asyncio_logger = logging.getLogger("asyncio")
    handlers = logging.getLogger("under_test").handlers

    async def fail() -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(int, SECRET)
        await asyncio.sleep(0)
        task = loop.create_task(asyncio.sleep(0, SECRET))
        task.cancel()
        loop.call_exception_handler(
            {
                "message": "Task exception was never retrieved",
                "exception": ValueError(SECRET),
                "task": task,
            }
        )

    for handler in handlers:
        asyncio_logger.addHandler(handler)
    try:
        asyncio.run(fail())
    finally:
        for handler in handlers:
            asyncio_logger.removeHandler(handler)
    assert "Exception in callback" in lines.text
    assert "Task exception was never retrieved" in lines.text
    assert SECRET not in lines.text


def test_what_python_would_print_by_itself_is_a_line(
    start: Callable[..., Lines], monkeypatch: pytest.MonkeyPatch
) -> None:
    for owner, name in ((sys, "excepthook"), (sys, "unraisablehook"), (threading, "excepthook")):
        monkeypatch.setattr(owner, name, getattr(owner, name))
    lines = start(log_format="json")
    logs.install()
    try:
        thread = threading.Thread(target=int, args=[SECRET])
        thread.start()
        thread.join()

        class Unraisable:
            def __del__(self) -> None:
                int(SECRET)

        unraisable = Unraisable()
        del unraisable
        sys.excepthook(ValueError, ValueError(SECRET), None)
        captured = warnings.showwarning
    finally:
        logging.captureWarnings(False)
    assert captured is not warnings.showwarning
    assert [line["level"] for line in lines.json()] == ["error", "error", "critical"]
    assert SECRET not in lines.text
