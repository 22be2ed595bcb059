"""A stop string is never shown, not even in part, and nothing else is held back."""

from __future__ import annotations

from itertools import combinations

import pytest

from backend.models.local.stop_strings import StopStrings


def shown(stop: list[str], pieces: list[str]) -> tuple[str, bool]:
    strings = StopStrings(stop)
    text = "".join([*(strings.feed(piece) for piece in pieces)])
    return text + strings.finish(), strings.found


def cuts(text: str) -> list[list[str]]:
    """Return the text in up to three pieces, cut at every two places."""
    return [
        [text[:first], text[first:second], text[second:]]
        for first, second in combinations(range(len(text) + 1), 2)
    ]


@pytest.mark.parametrize(
    ("stop", "text", "expected"),
    [
        (["STOP"], "one STOP two", "one "),
        (["aab"], "aaaab rest", "aa"),
        (["two", "one two"], "zero one two", "zero "),
        (["👍🏽"], "yes 👍🏽 no", "yes "),
        (["\n\n"], "a\nb\n\nc", "a\nb"),
        (["x", "STOP"], "a STOP x", "a "),
    ],
)
def test_the_text_ends_where_a_stop_string_begins_at_every_cut(
    stop: list[str], text: str, expected: str
) -> None:
    for pieces in cuts(text):
        assert shown(stop, pieces) == (expected, True)


@pytest.mark.parametrize("text", ["STO", "an STOQ and a STO", "SSTO P"])
def test_what_only_looked_like_one_is_shown(text: str) -> None:
    for pieces in cuts(text):
        assert shown(["STOP"], pieces) == (text, False)


def test_only_what_may_become_one_is_held_back() -> None:
    strings = StopStrings(["STOP"])
    assert strings.feed("one S") == "one "
    assert strings.feed("T") == ""
    assert strings.feed("y") == "STy"
    assert strings.feed("plain") == "plain"


def test_an_empty_stop_string_stops_nothing() -> None:
    assert shown(["", "x"], ["abc"]) == ("abc", False)
