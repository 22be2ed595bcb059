"""What the page is given to show: a long answer in Markdown and a long block of code, cut into tokens.

Both are made by rule from a seed, so that every run measures the same text. A shorter answer is the beginning of a
longer one. The tokens are like those of a model's tokenizer: a word with the space before it, a piece of a long word,
a mark, the blanks at the beginning of a line; 4.4 characters on average.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator, Sequence
from typing import TypeVar

Choice = TypeVar("Choice")

SEED = 11
TOKEN = re.compile(r"\n+|[ ]{2,}| ?[A-Za-z]{1,8}| ?[0-9]{1,3}| ?[^\w\s]{1,3}|[ ]|.", re.DOTALL)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


NOUNS = _words(
    "answer browser buffer cache client column connection cursor engine event frame header heading key layout line "
    "list log message model network number page paragraph process queue reader request response row section server "
    "session socket stream table text thread timer token value worker"
)
ADJECTIVES = _words(
    "bounded careful complete early empty fast late long open plain ready rare short slow small stable"
)
VERBS = _words(
    "appends awaits cancels changes closes collects counts delays draws finishes follows holds keeps loses measures "
    "opens parses reads releases replaces restarts returns sends shows splits starts stops takes writes"
)
LINKERS = _words("after as because before once since until when where while")
CALLS = _words(
    "append attach cancel close decode encode flush open parse read resume send start stop write"
)


def answer(tokens: int) -> list[str]:
    """Return the first so many tokens of an endless answer: sections with all that models write in Markdown."""
    return _tokens(_Writer().sections(), tokens)


def code(tokens: int) -> list[str]:
    """Return the first so many tokens of an answer that is one endless block of Python."""
    writer = _Writer()
    blocks = itertools.chain(["```python\n"], (writer.function() for _ in itertools.count()))
    return _tokens(blocks, tokens)


def _tokens(texts: Iterator[str], count: int) -> list[str]:
    return list(itertools.islice((token for text in texts for token in TOKEN.findall(text)), count))


class _Writer:
    """Writes Markdown, block by block; each ends with a blank line."""

    def __init__(self) -> None:
        self._random = random.Random(SEED)

    def sections(self) -> Iterator[str]:
        for number in itertools.count(1):
            level = "##" if number % 3 == 1 else "###"
            yield f"{level} {number}. {self._phrase().capitalize()}\n\n"
            yield self._paragraph()
            special = (
                self._list,
                self._code,
                self._nested_list,
                self._table,
                self._steps,
                self._quote,
            )
            yield special[number % len(special)]()
            yield self._paragraph()

    def function(self) -> str:
        """Return a function in Python, about twelve lines long."""
        name, first, second = self._pick(CALLS), *self._random.sample(NOUNS, 2)
        called = self._pick(CALLS)
        return (
            f"def {name}_{first}({first}: {first.capitalize()}, limit: int = {self._number()}) -> list[str]:\n"
            f'    """{name.capitalize()} the {self._pick(ADJECTIVES)} {first} {self._clause()}."""\n'
            f"    {second}s: list[str] = []\n"
            f"    for index, {second} in enumerate({first}.{called}(limit)):\n"
            f"        if index > {self._number()} or {second}.is_{self._pick(ADJECTIVES)}:\n"
            f"            # {self._sentence()}\n"
            f'            raise ValueError(f"the {second} {{index}} is not {self._pick(ADJECTIVES)}")\n'
            f'        {second}s.append({second}["{self._pick(NOUNS)}"].strip())\n'
            f"    return {second}s[:limit]\n"
            "\n\n"
        )

    def _pick(self, words: Sequence[Choice]) -> Choice:
        return self._random.choice(words)

    def _number(self) -> int:
        return self._random.randrange(2, 5000)

    def _phrase(self) -> str:
        return f"the {self._pick(ADJECTIVES)} {self._pick(NOUNS)}"

    def _clause(self) -> str:
        return f"{self._phrase()} {self._pick(VERBS)} {self._phrase()}"

    def _sentence(self) -> str:
        text = f"{self._clause()} {self._pick(LINKERS)} {self._clause()}"
        if self._random.random() < 0.4:
            text += f", and {self._pick(LINKERS)} {self._clause()} it {self._pick(VERBS)} {self._number()} of them"
        return text.capitalize() + "."

    def _rich_sentence(self) -> str:
        """Return a sentence in which, most of the time, something is marked."""
        words = self._sentence().split(" ")
        place = self._pick([place for place, word in enumerate(words) if word in NOUNS])
        word = words[place]
        marked = [
            f"**{word}**",
            f"*{word}*",
            f"`{word}.{self._pick(CALLS)}()`",
            f"[{word}](https://example.org/{word}/{self._number()})",
            f"**{word}** (`{self._pick(NOUNS)}={self._number()}`)",
            word,
        ]
        words[place] = self._pick(marked)
        return " ".join(words)

    def _paragraph(self) -> str:
        return " ".join(self._rich_sentence() for _ in range(self._random.randrange(2, 5))) + "\n\n"

    def _list(self) -> str:
        items = (
            f"- **{self._phrase().capitalize()}**: {self._rich_sentence()}\n" for _ in range(5)
        )
        return "".join(items) + "\n"

    def _steps(self) -> str:
        return "".join(f"{n}. {self._rich_sentence()}\n" for n in range(1, 6)) + "\n"

    def _nested_list(self) -> str:
        lines = []
        for _ in range(3):
            lines.append(f"- {self._rich_sentence()}\n")
            lines += [f"  - {self._sentence()}\n" for _ in range(2)]
            lines.append(f"    1. {self._rich_sentence()}\n")
        return "".join(lines) + "\n"

    def _table(self) -> str:
        rows = [
            f"| `{self._pick(NOUNS)}` | {self._clause()} | {self._number()} |\n" for _ in range(6)
        ]
        return (
            f"| {self._pick(NOUNS)} | {self._phrase()} | ms |\n|:---|---|---:|\n"
            + "".join(rows)
            + "\n"
        )

    def _code(self) -> str:
        return "```python\n" + self.function().rstrip("\n") + "\n```\n\n"

    def _quote(self) -> str:
        return f"> {self._rich_sentence()}\n> {self._sentence()}\n\n"
