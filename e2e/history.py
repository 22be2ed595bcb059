"""What the readers of one stream have seen, and whether it is what a stream may show them.

Token i of a stream is a function of its name and of i (`e2e.client.words`), so that each event says by itself where it
belongs: what is lost, repeated, swapped or another stream's shows in the history alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

DONE = "[DONE]"


class Seen(NamedTuple):
    """One event: the number that the server gave it, and its JSON, or `DONE`."""

    position: int
    event: Any


@dataclass
class Reader:
    """One reader, over all its connections; `after` is the position after which it began."""

    after: int = 0
    seen: list[Seen] = field(default_factory=list)

    @property
    def position(self) -> int:
        """What to resume after."""
        return self.seen[-1].position if self.seen else self.after


@dataclass
class History:
    """A stream of `count` tokens, whether it was stopped, and all who have read it to its end."""

    name: str
    count: int
    readers: list[Reader]
    stopped: bool = False


def violations(history: History) -> list[str]:
    """Return what is wrong: nothing, where each reader has seen all once, in order, with one end, and the same end."""
    found = []
    for number, reader in enumerate(history.readers):
        found += [f"reader {number}: {what}" for what in _of_reader(history, reader)]
    ends = {str(reader.seen[-2:]) for reader in history.readers}
    if len(ends) > 1:
        found.append(f"readers saw different ends: {sorted(ends)}")
    return found


def _of_reader(history: History, reader: Reader) -> list[str]:
    found = []
    positions = [reader.after, *(seen.position for seen in reader.seen)]
    for before, position in pairwise(positions):
        if position != before + 1:
            found.append(f"position {position} after {before}")
    events = [seen.event for seen in reader.seen]
    if events[-1:] != [DONE] or events.count(DONE) != 1:
        found.append(f"{events.count(DONE)} times [DONE], and the last is {events[-1:]}")
    endings = [event for event in events if event != DONE and _is_ending(event)]
    if len(endings) != 1 or events[-2:-1] != endings:
        return [*found, f"endings {endings}, and the last but one is {events[-2:-1]}"]
    tokens = [event for event in events if event != DONE and not _is_ending(event)]
    for index, event in enumerate(tokens, reader.after):
        if event != {"token": token(history.name, index)}:
            found.append(f"{event} in the place of token {index}")
    end, told = endings[0], reader.after + len(tokens)
    whole = end.get("finish_reason") == "stop" and told == history.count
    stopped = history.stopped and end.get("finish_reason") == "cancelled" and told <= history.count
    if not (whole or stopped) or end["usage"]["completion_tokens"] != told:
        found.append(f"{end} after {told} tokens")
    return found


def _is_ending(event: dict[str, Any]) -> bool:
    return "finish_reason" in event or "error" in event


def token(name: str, index: int) -> str:
    return f"{name}-{index} "  # one of `e2e.client.words`
