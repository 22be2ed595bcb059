"""Long answers that a test lets go piece by piece, of words that are easily garbled, each different from the next."""

from __future__ import annotations

import random

from e2e.chat_page import as_read
from e2e.scripted_model import script

WORDS = [
    "an",
    "answer",
    "–",
    "größer,",
    "ναί,",
    "日本語,",
    "👩\u200d🚀",
    "\u202eback",
    "\n\n",
    "  -",
    "<b>",
]
WORDS_A_PIECE = 12
LEAST = 50  # characters of a piece
PAUSE_S = 0.03  # after each word, so that a piece takes about as long as the page to load: it is hardly ever at rest


def some_pieces(count: int, seed: int = 7) -> list[str]:
    """Return this many pieces, which together are an answer."""
    shuffled = random.Random(seed)
    words = [f"{shuffled.choice(WORDS)}{index} " for index in range(count * WORDS_A_PIECE)]
    pieces = [
        "".join(words[start : start + WORDS_A_PIECE])
        for start in range(0, len(words), WORDS_A_PIECE)
    ]
    assert min(len(as_read(piece)) for piece in pieces) > LEAST
    return pieces


def piece_by_piece(name: str, pieces: list[str]) -> str:
    """Write the next piece when the one before is written and its gate, the name and its number, is open."""
    steps = [
        (["type", piece, PAUSE_S], ["wait", f"{name}{index}"]) for index, piece in enumerate(pieces)
    ]
    return script(name, *(step for pair in steps for step in pair))
