"""Turns tokens into text one by one, and never shows half a character.

A token may be a few bytes of a character, so text is ready only when its bytes are. Where the tokenizer says how its
tokens become bytes (byte-level BPE as GPT-2's, and SentencePiece's byte fallback as Llama's), each token is looked up
and its bytes go through an incremental UTF-8 decoder: that is exact, and costs the same for every token. Any other
tokenizer is asked to decode the last few tokens again.

`Vocabulary` is what is known of a tokenizer, `Detokenizer` the state of one answer: `feed()` and `finish()`.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable
from typing import Any

REPLACEMENT = "\ufffd"  # what decoders put where bytes are no character
BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
# Tokens that the window keeps to decode the next ones after, and those after which it waits for a character no more.
CONTEXT = 4
PATIENCE = 16
# What the tokenizer's own decoder must make of it is compared when a model is loaded.
SAMPLE = " Grüße, мир! 你好 — 👍🏽👨‍👩‍👧 x  y\n\tz"


def _byte_alphabet() -> dict[str, int]:
    """Return the byte that each character of byte-level BPE stands for (GPT-2's `bytes_to_unicode`)."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    alphabet = {chr(byte): byte for byte in shown}
    for number, byte in enumerate(byte for byte in range(256) if byte not in shown):
        alphabet[chr(256 + number)] = byte
    return alphabet


BYTE_ALPHABET = _byte_alphabet()


class Vocabulary:
    """What each token of a tokenizer stands for. `hidden` are the tokens that are never shown.

    It remembers the tokens that were looked up, each once.
    """

    def __init__(self, tokenizer: Any, hidden: Iterable[int] = ()) -> None:
        self._tokenizer = tokenizer
        self._pieces: dict[int, bytes] = dict.fromkeys(hidden, b"")
        self.hidden = frozenset(self._pieces)
        steps = _decoder_steps(tokenizer)
        kinds = [step["type"] for step in steps]
        self._byte_level = kinds == ["ByteLevel"]
        self._byte_fallback = "ByteFallback" in kinds
        self.strips_space = _strips_space(steps)
        self.knows_bytes = (self._byte_level or _is_sentencepiece(steps)) and self._agrees()

    def detokenizer(self) -> Detokenizer:
        """Return a detokenizer for one answer."""
        return ByteDetokenizer(self) if self.knows_bytes else WindowDetokenizer(self)

    def piece(self, token: int) -> bytes:
        """Return the bytes that a token stands for; none for one that is hidden or unknown."""
        piece = self._pieces.get(token)
        if piece is None:
            piece = self._pieces[token] = self._look_up(token)
        return piece

    def decode(self, tokens: list[int]) -> str:
        """Let the tokenizer decode them all."""
        text: str = self._tokenizer.decode(
            [token for token in tokens if token not in self.hidden],
            skip_special_tokens=False,
            clean_up_tokenization_spaces=False,
        )
        return text

    def _look_up(self, token: int) -> bytes:
        text = self._tokenizer.convert_ids_to_tokens(token)
        if text is None:
            return b""
        if self._byte_level:
            # A token that was added may have other characters, and stands for itself.
            known = all(char in BYTE_ALPHABET for char in text)
            return bytes(BYTE_ALPHABET[char] for char in text) if known else text.encode()
        if self._byte_fallback and (byte := BYTE.fullmatch(text)):
            return bytes.fromhex(byte[1])
        return text.replace("▁", " ").encode()  # type: ignore[no-any-return]

    def _agrees(self) -> bool:
        """Say whether the tokenizer decodes as this does."""
        tokens = self._tokenizer.encode(SAMPLE, add_special_tokens=False)
        detokenizer = ByteDetokenizer(self)
        text = "".join(detokenizer.feed(token) for token in tokens) + detokenizer.finish()
        return text == self.decode(tokens)


class ByteDetokenizer:
    """For tokens whose bytes are known."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._piece = vocabulary.piece
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._strip = vocabulary.strips_space

    def feed(self, token: int) -> str:
        """Return the characters that this token completes."""
        text = self._decode(self._piece(token))
        if self._strip and text:
            # SentencePiece puts a space before the first word, which is not part of the text.
            self._strip = False
            return text.removeprefix(" ")
        return text

    def finish(self) -> str:
        """Return what is left: nothing, for half a character is not shown."""
        return ""


class WindowDetokenizer:
    """For tokens that only the tokenizer can decode: what a token adds to the text of those before it."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._context: list[int] = []
        self._shown = ""  # the text of the context
        self._waiting: list[int] = []

    def feed(self, token: int) -> str:
        """Return the characters that this token completes."""
        if token in self._vocabulary.hidden:
            return ""
        self._waiting.append(token)
        text = self._vocabulary.decode(self._context + self._waiting)
        if text.endswith(REPLACEMENT) and len(self._waiting) < PATIENCE:
            return ""
        new = text[len(self._shown) :]
        self._context = (self._context + self._waiting)[-CONTEXT:]
        self._shown = self._vocabulary.decode(self._context)
        self._waiting = []
        return new

    def finish(self) -> str:
        """Return what is left of the text, without half a character at its end."""
        if not self._waiting:
            return ""
        text = self._vocabulary.decode(self._context + self._waiting)
        self._waiting = []
        return text[len(self._shown) :].rstrip(REPLACEMENT)


Detokenizer = ByteDetokenizer | WindowDetokenizer


def _decoder_steps(tokenizer: Any) -> list[dict[str, Any]]:
    """Return the steps in which the tokenizer makes a text of its tokens; none, if it does not say."""
    decoder = getattr(getattr(tokenizer, "backend_tokenizer", None), "decoder", None)
    if decoder is None:
        return []
    description = json.loads(decoder.__getstate__())
    steps: list[dict[str, Any]] = (
        description["decoders"] if description["type"] == "Sequence" else [description]
    )
    return steps


def _is_sentencepiece(steps: list[dict[str, Any]]) -> bool:
    """Say whether a text is its tokens one after another, with `▁` for a space and maybe bytes."""
    kinds = {step["type"] for step in steps}
    if not steps or kinds - {"Replace", "ByteFallback", "Fuse", "Strip", "Metaspace"}:
        return False
    replaced = [
        (step.get("pattern"), step.get("content")) for step in steps if step["type"] == "Replace"
    ]
    return replaced == [({"String": "▁"}, " ")] or any(
        step["type"] == "Metaspace" and step["replacement"] == "▁" for step in steps
    )


def _strips_space(steps: list[dict[str, Any]]) -> bool:
    return any(
        (step["type"] == "Strip" and step["start"] == 1)
        or (step["type"] == "Metaspace" and step["prepend_scheme"] != "never")
        for step in steps
    )
