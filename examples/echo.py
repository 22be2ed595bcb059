"""The smallest model: a generator. It runs in a thread, so it may compute and wait as it likes, for one chat at a time.

BURBLE_MODEL=examples.echo:Echo uv run just dev
"""

import time
from collections.abc import Iterator


class Echo:
    def generate(self, prompt: str) -> Iterator[str]:
        yield "You said: "
        for word in prompt.split():
            time.sleep(0.1)  # a real model computes here
            yield word + " "
