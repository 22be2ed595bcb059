"""How lines are logged, by all processes of a stack: as text, or as one JSON object each (`BURBLE_LOG_FORMAT`).

No line tells a prompt, an answer or a key, in either format. Those who write a message see to it. But an exception may
quote anything: a model's own that was raised with the prompt in it, a library's with a piece of the answer. So of an
exception, and of all that led to it, a line tells the type and the place in the code, never the text, except what
cannot be anybody's words: the code of an error of Burble's, what the system says of a failed call, the name of a
missing module, and the attribute `loggable` of an exception that has one. So it is with an exception in a message. At
the level `debug` all of it is shown, to whoever develops a model.

What is not logged by anybody but Python itself (warnings, exceptions of threads, those that nobody can catch) is a line
like the others.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import traceback
import types
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

import backend
from backend.errors import BurbleError
from backend.settings import Settings

LOGGER = logging.getLogger("gunicorn.error.python")

# As gunicorn's own.
TEXT_FORMAT = "%(asctime)s [%(process)d] [%(levelname)s] %(message)s"
DATE_FORMAT = "[%Y-%m-%d %H:%M:%S %z]"
WITHHELD = "its text is logged at the level debug only"

ExcInfo = (
    tuple[type[BaseException], BaseException, types.TracebackType | None] | tuple[None, None, None]
)


def config(settings: Settings) -> dict[str, Any]:
    """Return what gunicorn shall give to `logging.config.dictConfig`; everything goes to the standard error."""
    of_format = JsonLines if settings.log_format == "json" else TextLines
    handlers = {"handlers": ["stderr"]}
    return {
        "root": {"level": "WARNING", **handlers},
        "loggers": {
            "gunicorn.error": {"level": settings.log_level.upper(), "propagate": False, **handlers},
            "gunicorn.access": {"level": "INFO", "propagate": False, "handlers": []},
        },
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "lines",
                "stream": "ext://sys.stderr",
            }
        },
        "formatters": {"lines": {"()": of_format, "texts": settings.log_level == "debug"}},
    }


def install() -> None:
    """Log what Python would print by itself, in this process and those that are forked from it."""
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    sys.unraisablehook = _unraisable
    threading.excepthook = _uncaught_in_thread


class TextLines(logging.Formatter):
    """Lines for people. `texts` shows what exceptions say."""

    def __init__(self, texts: bool) -> None:
        super().__init__(TEXT_FORMAT, DATE_FORMAT)
        self._texts = texts

    def format(self, record: logging.LogRecord) -> str:
        return super().format(_without_values(record, self._texts))

    def formatException(self, ei: ExcInfo) -> str:
        return describe(ei[1], self._texts)


class JsonLines(JsonFormatter):
    """Lines for programs: one JSON object each."""

    def __init__(self, texts: bool) -> None:
        super().__init__(
            ["created", "levelname", "name", "message", "process"],
            rename_fields={
                "levelname": "level",
                "name": "logger",
                "process": "pid",
                "exc_info": "traceback",
                "stack_info": "stack",
            },
            reserved_attrs=[*RESERVED_ATTRS, "color_message"],  # the latter is uvicorn's
        )
        self._texts = texts

    def format(self, record: logging.LogRecord) -> str:
        return str(super().format(_without_values(record, self._texts)))

    def formatException(self, ei: ExcInfo) -> str:
        return describe(ei[1], self._texts)

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """Begin with the time (RFC 3339), and add whose request this is about."""
        found = {key: value for key, value in log_data.items() if value not in (None, "")}
        created = datetime.fromtimestamp(found.pop("created"), UTC)
        about = {
            "time": created.isoformat(timespec="milliseconds"),
            "level": found.pop("level").lower(),
        }
        return {**about, **backend.about.get(), **found}


def describe(error: BaseException | None, texts: bool = False) -> str:
    """Return the traceback of an exception and of what led to it; what they say only with `texts`."""
    if error is None:
        return ""
    if texts:
        return "".join(traceback.format_exception(error)).rstrip("\n")
    return "\n".join(_lines(error, set()))


def _lines(error: BaseException, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause and id(cause) not in seen:
        yield from _lines(cause, seen)
        yield "which led to:" if error.__cause__ else "and while that was handled:"
    yield "Traceback (most recent call last):"
    for frame in traceback.extract_tb(error.__traceback__):
        yield f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}'
        if frame.line:
            yield f"    {frame.line}"
    yield f"{_name(error)}: {_text(error) or f'({WITHHELD})'}"
    if isinstance(error, BaseExceptionGroup):
        for number, inner in enumerate(error.exceptions, 1):
            if id(inner) not in seen:
                yield f"  of its exceptions, number {number}:"
                yield from (f"  {line}" for line in _lines(inner, seen))


def _name(error: BaseException) -> str:
    kind = type(error)
    name = kind.__qualname__
    return name if kind.__module__ == "builtins" else f"{kind.__module__}.{name}"


def _text(error: BaseException) -> str:
    """Return what an exception says, as far as it can be nobody's prompt, answer or key."""
    if isinstance(loggable := getattr(error, "loggable", None), str):
        return loggable
    if isinstance(error, BurbleError):
        return error.code
    if isinstance(error, OSError) and isinstance(error.errno, int):
        return f"[Errno {error.errno}] {os.strerror(error.errno)}"
    if isinstance(error, SyntaxError) and str(error.filename).endswith(".py"):
        return f'in File "{error.filename}", line {error.lineno}'
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"No module named {error.name!r}"
    return ""


def _without_values(record: logging.LogRecord, texts: bool) -> logging.LogRecord:
    """Take exceptions out of a message, and out of asyncio's also the arguments of callbacks."""
    if texts:
        return record
    if record.name == "asyncio":
        short = re.match(r"[^(<\n]*", record.getMessage())
        return logging.makeLogRecord({**record.__dict__, "msg": short and short[0], "args": ()})
    if isinstance(record.msg, BaseException):  # as in `logger.error(error)`
        return logging.makeLogRecord({**record.__dict__, "msg": _in_message(record.msg)})
    if isinstance(record.args, tuple) and any(map(_may_quote, record.args)):
        args = tuple(_in_message(arg) if _may_quote(arg) else arg for arg in record.args)
        return logging.makeLogRecord({**record.__dict__, "args": args})
    return record


def _may_quote(arg: object) -> bool:
    return isinstance(arg, BaseException) or (
        isinstance(arg, str) and "Traceback (most recent call last)" in arg
    )


def _in_message(arg: object) -> str:
    if not isinstance(arg, BaseException):
        return f"(a traceback; {WITHHELD})"
    text = _text(arg)
    return f"{_name(arg)}: {text}" if text else _name(arg)


def _uncaught(
    kind: type[BaseException], error: BaseException, trace: types.TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        LOGGER.critical("Nobody caught an exception", exc_info=(kind, error, trace))


def _uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value and not isinstance(args.exc_value, SystemExit):
        LOGGER.error("A thread has failed", exc_info=args.exc_value)


def _unraisable(args: sys.UnraisableHookArgs) -> None:
    if args.exc_value:
        LOGGER.error("An exception that could not be raised was ignored", exc_info=args.exc_value)
