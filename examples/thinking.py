"""Thinking is yielded as `Delta(thinking=…)`. The page shows it apart, and it is never part of the next prompt.

BURBLE_MODEL=examples.thinking:Factors uv run just dev
"""

import re
import time
from collections.abc import Iterator

from backend.models import Delta


class Factors:
    def generate(self, prompt: str, *, thinking: bool = False) -> Iterator[str | Delta]:
        """Because it takes `thinking`, the page has a switch for it."""
        number = re.search(r"[1-9][0-9]{0,11}", prompt)
        if not number:
            yield "Tell me a number, and I take it apart."
            return
        rest, divisor, factors = int(number[0]), 2, []
        while divisor * divisor <= rest:
            if rest % divisor:
                divisor += 1
                continue
            rest //= divisor
            factors.append(divisor)
            if thinking:
                time.sleep(0.3)
                yield Delta(thinking=f"{divisor} divides it, and leaves {rest}. ")
        yield f"{number[0]} = " + " × ".join(map(str, [*factors, rest]))
