"""Load in `init`, free in `close`, and say in attributes what the model is: here a Markov chain that has read a file.

BURBLE_MODEL=examples.weights:Markov uv run just dev
"""

import random
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from backend.models import End
from backend.settings import Settings

TEXT = Path(__file__).parent.parent / "README.md"
ORDER = 5  # characters that decide the next one


class Markov:
    name = "README's parrot"
    max_running = 4  # threads; it only reads what it has loaded, so they can share it

    def __init__(self, settings: Settings) -> None:
        self.context_tokens = settings.max_prompt_chars  # a token of this model is a character

    def init(self) -> None:
        """May take minutes: who asks meanwhile sees that the model is loading. What it raises is tried again."""
        self.following: defaultdict[str, list[str]] = defaultdict(list)
        text = TEXT.read_text(encoding="utf-8")
        for start in range(len(text) - ORDER):
            self.following[text[start : start + ORDER]].append(text[start + ORDER])

    def generate(
        self, prompt: str, *, max_tokens: int = 500, seed: int | None = None
    ) -> Iterator[str | End]:
        chance = random.Random(seed)
        state = prompt[-ORDER:] if prompt[-ORDER:] in self.following else "model"
        for _ in range(max_tokens):
            token = chance.choice(self.following.get(state) or [" "])
            yield token
            state = (state + token)[-ORDER:]
            time.sleep(0.01)
        yield End("length", prompt_tokens=len(prompt), completion_tokens=max_tokens)

    def close(self) -> None:
        del self.following
