"""Ends an answer where one of its stop strings begins, though the string may come in pieces."""

from __future__ import annotations

from collections.abc import Sequence


class StopStrings:
    """Passes text on until a stop string comes. It holds back only the end that may become one."""

    def __init__(self, strings: Sequence[str]) -> None:
        self._strings = [string for string in strings if string]
        self._held = ""
        self.found = False

    def feed(self, text: str) -> str:
        """Return what can be shown of `text` and what was held back. After a stop string (`found`) that is nothing."""
        if self.found or not self._strings:
            return "" if self.found else text
        text = self._held + text
        begins = [text.find(string) for string in self._strings]
        first = min((begin for begin in begins if begin >= 0), default=-1)
        if first >= 0:
            self.found = True
            self._held = ""
            return text[:first]
        held = max(_overlap(text, string) for string in self._strings)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def finish(self) -> str:
        """Return what was held back: it became no stop string."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, string: str) -> int:
    """Return how many characters at the end of `text` are the beginning of `string`."""
    longest = min(len(text), len(string) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(string[:size])), 0)
