"""Streams as the usual servers send them, written after each one's documentation or source, and what they say.

A file is a JSON object (where it comes from, and what is expected), a line `---`, and the stream. `error` is the code
that it ends with; `inside` that the answer begins inside the thinking; `usage` the tokens of prompt and answer.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.errors import BurbleError
from backend.models import Delta, End, Item, Prefill

FOLDER = Path(__file__).parent
NAMES = sorted(path.stem for path in FOLDER.glob("*.txt"))


@dataclass
class Recorded:
    """One stream, and what a model that reads it is to yield."""

    expected: dict[str, Any]
    stream: bytes

    @property
    def inside(self) -> bool:
        return bool(self.expected.get("inside"))


def recorded(name: str) -> Recorded:
    """Return what a file holds."""
    head, _, stream = (FOLDER / f"{name}.txt").read_text(encoding="utf-8").partition("\n---\n")
    return Recorded(json.loads(head), stream.encode())


def said(items: list[Item], error: BurbleError | None = None) -> dict[str, Any]:
    """Return what was yielded, in the shape of a file's expectation."""
    end = next((item for item in items if isinstance(item, End)), None)
    found: dict[str, Any] = {
        "thinking": "".join(item.thinking for item in items if isinstance(item, Delta)),
        "text": "".join(item for item in items if isinstance(item, str)),
        "finish_reason": end and end.finish_reason,
        "usage": None,
    }
    if end and end.prompt_tokens is not None:
        found["usage"] = [end.prompt_tokens, end.completion_tokens]
    if prefill := [[item.done, item.total] for item in items if isinstance(item, Prefill)]:
        found["prefill"] = prefill
    if error:
        found["error"] = error.code
    return found


def to_be_said(recording: Recorded) -> dict[str, Any]:
    """Return what is expected, without what is about the file."""
    return {
        name: value
        for name, value in recording.expected.items()
        if name not in ("server", "source", "inside")
    }
