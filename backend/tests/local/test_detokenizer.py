"""Text comes out whole, whatever the tokens are."""

from __future__ import annotations

from typing import Any

import pytest

from backend.models.local.detokenizer import (
    BYTE_ALPHABET,
    PATIENCE,
    ByteDetokenizer,
    Vocabulary,
    WindowDetokenizer,
)
from backend.tests.local import tiny

TEXTS = [
    "The quick brown fox.",
    "Привет, мир! Ещё раз: щука.",
    "你好世界，再见",
    "👍🏽 👨‍👩‍👧‍👦 🏳️‍🌈 e\u0301",
    "  two spaces\n\n\tand a tab ",
    "mixed: aж好👍🏽.",
]
KINDS = {"byte-level": tiny.byte_level, "byte fallback": tiny.byte_fallback}
LETTER = {byte: letter for letter, byte in BYTE_ALPHABET.items()}


@pytest.fixture(params=KINDS)
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return tiny.wrap(KINDS[request.param]())


def byte_tokens(tokenizer: Any, text: bytes) -> list[int]:
    """Return the tokens of single bytes: a text that is cut wherever it can be."""
    fallback = tokenizer.get_vocab().get("<0x00>") is not None
    names = [f"<0x{byte:02X}>" if fallback else LETTER[byte] for byte in text]
    return [tokenizer.convert_tokens_to_ids(name) for name in names]


def pieces(detokenizer: Any, tokens: list[int]) -> list[str]:
    return [*(detokenizer.feed(token) for token in tokens), detokenizer.finish()]


@pytest.mark.parametrize("text", TEXTS)
def test_the_pieces_join_to_what_the_tokenizer_decodes(tokenizer: Any, text: str) -> None:
    tokens = tokenizer.encode(text, add_special_tokens=False)
    vocabulary = Vocabulary(tokenizer)
    assert vocabulary.knows_bytes
    assert "".join(pieces(vocabulary.detokenizer(), tokens)) == vocabulary.decode(tokens) == text


@pytest.mark.parametrize("text", TEXTS)
def test_each_character_comes_with_its_last_byte_and_no_half_of_one_before(
    tokenizer: Any, text: str
) -> None:
    vocabulary = Vocabulary(tokenizer)
    detokenizer = ByteDetokenizer(vocabulary)
    if vocabulary.strips_space:
        text = "x" + text  # a space at the beginning is SentencePiece's own
    whole = text.encode()
    shown = ""
    for count, token in enumerate(byte_tokens(tokenizer, whole), 1):
        shown += detokenizer.feed(token)
        assert shown == whole[:count].decode(errors="ignore")


@pytest.mark.parametrize("text", TEXTS)
def test_an_answer_cut_off_at_any_token_ends_with_a_whole_character(
    tokenizer: Any, text: str
) -> None:
    vocabulary = Vocabulary(tokenizer)
    tokens = byte_tokens(tokenizer, text.encode())
    for end in range(len(tokens)):
        shown = "".join(pieces(vocabulary.detokenizer(), tokens[:end]))
        assert "\ufffd" not in shown
        assert text.removeprefix(" " if vocabulary.strips_space else "").startswith(shown)


def test_bytes_that_are_no_character_are_replaced_and_hold_nothing_up(tokenizer: Any) -> None:
    detokenizer = Vocabulary(tokenizer).detokenizer()
    text = "".join(pieces(detokenizer, byte_tokens(tokenizer, b"a\xff\xf0\x9f b")))
    assert text.replace("\ufffd", "") == "a b"


def test_only_the_first_word_loses_its_space() -> None:
    tokenizer = tiny.wrap(tiny.byte_fallback())
    tokens = tokenizer.encode("The quick The", add_special_tokens=False)
    assert tokenizer.convert_ids_to_tokens(tokens)[0].startswith("▁")
    shown = pieces(Vocabulary(tokenizer).detokenizer(), tokens)
    assert "".join(shown) == "The quick The"
    assert shown[0] == "T"


def test_special_tokens_are_never_shown() -> None:
    tokenizer = tiny.wrap(tiny.byte_level())
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    tokens = [end, *tokenizer.encode("The fox", add_special_tokens=False), end, 10**6]
    assert "".join(pieces(Vocabulary(tokenizer, {end}).detokenizer(), tokens)) == "The fox"


def test_a_tokenizer_of_another_kind_decodes_behind_a_window() -> None:
    tokenizer = tiny.wrap(tiny.word_pieces())
    vocabulary = Vocabulary(tokenizer)
    assert not vocabulary.knows_bytes
    tokens = tokenizer.encode("the quick brown foxes мирный the brown.", add_special_tokens=False)
    shown = pieces(vocabulary.detokenizer(), tokens)
    assert "".join(shown) == "the quick brown foxes мирный the brown ."
    assert all(shown[:-1])  # each token shows at once


@pytest.mark.parametrize("text", TEXTS[1:4])
def test_the_window_shows_no_half_character_either(text: str) -> None:
    tokenizer = tiny.wrap(tiny.byte_level())
    tokens = byte_tokens(tokenizer, text.encode())
    vocabulary = Vocabulary(tokenizer)
    for end in range(len(tokens) + 1):
        shown = "".join(pieces(WindowDetokenizer(vocabulary), tokens[:end]))
        assert shown == text.encode()[: len(shown.encode())].decode()
    assert shown == text


def test_the_cost_of_a_token_does_not_grow_with_the_answer() -> None:
    tokenizer = tiny.wrap(tiny.byte_level())
    decoded = []

    class Counting(Vocabulary):
        def decode(self, tokens: list[int]) -> str:
            decoded.append(len(tokens))
            return super().decode(tokens)

    detokenizer = WindowDetokenizer(Counting(tokenizer))
    decoded.clear()
    garbage = byte_tokens(tokenizer, b"\xf0")
    for token in tokenizer.encode("The fox ", add_special_tokens=False) * 50 + garbage * 200:
        detokenizer.feed(token)
    assert max(decoded) <= 2 * PATIENCE


def test_a_decoder_that_does_more_than_it_says_is_not_guessed() -> None:
    tokenizer = tiny.wrap(tiny.byte_level())
    convert = tokenizer.convert_ids_to_tokens
    tokenizer.convert_ids_to_tokens = lambda token: convert(token).lower()
    assert not Vocabulary(tokenizer).knows_bytes
