"""Makes of an answer's tokens what its reader sees: text and thinking, up to a stop string."""

from __future__ import annotations

from collections.abc import Sequence

from backend.models import Delta, Item
from backend.models.local.detokenizer import Detokenizer
from backend.models.local.stop_strings import StopStrings
from backend.models.thinking import ThinkingSplitter


class AnswerText:
    """The text of one answer as it grows. Stop strings are looked for in the answer, not in the thinking before it."""

    def __init__(
        self, detokenizer: Detokenizer, *, stop: Sequence[str] = (), inside_thinking: bool = False
    ) -> None:
        self._detokenizer = detokenizer
        self._splitter = ThinkingSplitter(inside=inside_thinking)
        self._stop = StopStrings(stop)

    @property
    def stopped(self) -> bool:
        """Whether a stop string has come, so that nothing follows."""
        return self._stop.found

    def feed(self, token: int) -> list[Item]:
        """Return what this token completes."""
        text = self._detokenizer.feed(token)
        return self._items(self._splitter.feed(text)) if text else []

    def finish(self) -> list[Item]:
        """Return what was held back."""
        text = self._detokenizer.finish()
        items = self._items([*self._splitter.feed(text), *self._splitter.finish()])
        rest = "" if self.stopped else self._stop.finish()
        return [*items, rest] if rest else items

    def _items(self, deltas: list[Delta]) -> list[Item]:
        items: list[Item] = []
        for delta in deltas:
            if delta.thinking:
                items.append(Delta(thinking=delta.thinking))
            if delta.text and (text := self._stop.feed(delta.text)):
                items.append(text)
        return items
