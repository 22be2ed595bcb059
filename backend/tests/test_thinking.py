"""The splitter of thinking tags, cut at every character and at every two."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest

from backend.models import Delta
from backend.models.thinking import ANSWERS, CLOSING, MAX_WHITE, PAIRS, ThinkingSplitter

HARMONY = (
    "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>analysis<|message|>b<|end|>"
    "<|start|>assistant<|channel|>final<|message|> Hi <|end|>"
)

# What a model writes, and what of it is thinking and what is answer.
OUTSIDE = {
    "nothing": ("", "", ""),
    "no thinking": ("Hello, world!", "", "Hello, world!"),
    "thinking": ("<think>Let me see.</think>Hello!", "Let me see.", "Hello!"),
    "white space around the tags": (
        " \n<think>\r\n a b\n\n c \n</think>\t\n\n Hi \n",
        "a b\n\n c",
        "Hi \n",
    ),
    "white space without a tag": ("\n  Hello \n", "", "\n  Hello \n"),
    "nothing but white space": (" \n", "", " \n"),
    "white space that is written on purpose": (
        "<think>a</think>\u3000Hi\u00a0",
        "a",
        "\u3000Hi\u00a0",
    ),
    "an empty thinking": ("<think>\n\n</think>\n\nHi", "", "Hi"),
    "two thinkings": ("<think>a</think>\n<think>b</think>\nHi", "ab", "Hi"),
    "two kinds of thinking": ("<thinking>a</thinking>[THINK]b[/THINK]c", "ab", "c"),
    "nothing after the thinking": ("<think>a</think>\n\n", "a", ""),
    "only a tag": ("<think>", "", ""),
    "a tag in a sentence": ("Write <think>so</think>.", "", "Write <think>so</think>."),
    "a tag in code": ("`<think>` and </think>", "", "`<think>` and </think>"),
    "a tag in the answer": ("<think>a</think>b<think>c</think>", "a", "b<think>c</think>"),
    "a tag in the thinking": ("<think>a <think> b</think>c", "a <think> b", "c"),
    "the end of another kind": (
        "<think>a</thinking>[/THINK] </think>c",
        "a</thinking>[/THINK]",
        "c",
    ),
    "a tag that closes nothing": ("</think>Hi", "", "</think>Hi"),
    "nearly a tag": ("<thin", "", "<thin"),
    "nearly a tag, and more": (" <thinker>", "", " <thinker>"),
    "nearly a second tag": ("<think>a</think> <thin", "a", "<thin"),
    "nearly the end": ("<think>a </thin", "a </thin", ""),
    "nearly the end, again and again": ("<think>a </th </ <</think>b", "a </th </ <", "b"),
    "no end": ("<think>a\n", "a\n", ""),
    "line ends in the thinking": ("<think>a\n\nb \n c\n</think>\nd", "a\n\nb \n c", "d"),
    "gpt-oss": (HARMONY, "ab", " Hi <|end|>"),
    "gpt-oss without an end": (HARMONY.replace("<|end|>", ""), "ab", " Hi "),
    "gpt-oss that does not think": ("<|channel|>final<|message|><think>Hi", "", "<think>Hi"),
    "Gemma": ("<|channel>thought\na\n<channel|>Hi", "a", "Hi"),
}
INSIDE = {
    "nothing": ("", "", ""),
    "thinking": ("\nLet me see.\n</think>\n\nHello!", "Let me see.", "Hello!"),
    "thinking at once over": ("\n</think>\n\nHello!", "", "Hello!"),
    "a second thinking": ("a</think><think>b</think>c", "ab", "c"),
    "the tag again": ("\n<think>\na</think>b", "a", "b"),
    "the tag again, of one kind": ("[THINK]a</think>[/THINK]b", "a</think>", "b"),
    "a tag in the thinking": ("a <think></think>b", "a <think>", "b"),
    "another kind's end": ("a[/THINK]b", "a", "b"),
    "nearly a tag": ("<thin", "<thin", ""),
    "nearly a tag, and more": ("<thinker></think>b", "<thinker>", "b"),
    "gpt-oss' answer, which nobody talks about": (ANSWERS[0] + "a</think>", ANSWERS[0] + "a", ""),
    "no end": ("a \n", "a \n", ""),
}


def split(pieces: Iterable[str], inside: bool = False) -> tuple[str, str]:
    """Return the thinking and the answer; the one comes before the other, and no piece is empty or both."""
    splitter = ThinkingSplitter(inside)
    deltas = [delta for piece in pieces for delta in splitter.feed(piece)] + splitter.finish()
    kinds = [bool(delta.text) for delta in deltas]
    assert kinds == sorted(kinds)
    assert all(bool(delta.text) != bool(delta.thinking) for delta in deltas)
    return "".join(delta.thinking for delta in deltas), "".join(delta.text for delta in deltas)


@pytest.mark.parametrize(
    ("inside", "name"), [(False, name) for name in OUTSIDE] + [(True, name) for name in INSIDE]
)
def test_it_splits_however_the_text_is_cut(inside: bool, name: str) -> None:
    text, thinking, answer = (INSIDE if inside else OUTSIDE)[name]
    assert split([text], inside) == (thinking, answer)
    assert split(text, inside) == (thinking, answer)
    for first, second in itertools.combinations_with_replacement(range(len(text) + 1), 2):
        pieces = (text[:first], text[first:second], text[second:])
        assert split(pieces, inside) == (thinking, answer), pieces


@pytest.mark.parametrize("opening", PAIRS)
def test_it_knows_every_pair_of_tags(opening: str) -> None:
    for closing in PAIRS[opening]:
        text = f"{opening}\nSo.\n{closing}\nHi {opening}"
        assert split([text]) == split(text) == ("So.", f"Hi {opening}")
        assert split(["a", closing, "b"], inside=True) == ("a", "b")


def test_the_first_character_of_a_tag_stands_in_it_once() -> None:
    # What `_certain` relies on.
    assert all(tag.count(tag[0]) == 1 for tag in CLOSING)


def test_only_what_may_become_a_tag_is_held_back() -> None:
    splitter = ThinkingSplitter()
    steps = [
        ("  <th", []),
        ("ink> ", []),
        ("I ", [Delta(thinking="I")]),
        ("see", [Delta(thinking=" see")]),
        (" <", []),
        ("b", [Delta(thinking=" <b")]),
        ("</", []),
        ("think>\n", []),
        ("\n", []),
        ("<t", []),
        ("able", [Delta(text="<table")]),
        (" <think>", [Delta(text=" <think>")]),
        ("", []),
    ]
    for piece, expected in steps:
        assert splitter.feed(piece) == expected, piece
    assert splitter.finish() == []


@pytest.mark.parametrize(
    ("inside", "before", "then"),
    [
        (False, "", "Hi"),
        (False, "<think>a</think>", "Hi"),
        (True, "a</think>\n", "Hi"),
        (False, "<|channel|>final<|message", "|>"),
    ],
)
def test_it_says_when_the_answer_has_begun(inside: bool, before: str, then: str) -> None:
    splitter = ThinkingSplitter(inside)
    splitter.feed(before)
    assert not splitter.answering
    splitter.feed(then)
    assert splitter.answering


def test_endless_white_space_is_not_held_back_for_ever() -> None:
    for before, kind in (("", "text"), ("<think>a", "thinking")):
        splitter = ThinkingSplitter()
        splitter.feed(before)
        deltas = [delta for _ in range(2 * MAX_WHITE) for delta in splitter.feed("\n")]
        assert len("".join(getattr(delta, kind) for delta in deltas)) >= MAX_WHITE
        deltas += splitter.finish()
        assert len("".join(getattr(delta, kind) for delta in deltas)) == 2 * MAX_WHITE
