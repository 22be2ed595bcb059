"""Runs a scheduler without an engine: answers of bare token numbers, and models whose forward passes are counted."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from collections.abc import Sequence as Many
from typing import Any

import torch

from backend.models import End, Item, Prefill
from backend.models.local.sampling import Sampler, Sampling
from backend.models.local.scheduler import Scheduler, Sequence

GREEDY = Sampling(temperature=0)


class Numbers:
    """A detokenizer, splitter and stop in one: the text of a token is its number."""

    stopped = False

    def feed(self, token: int) -> list[Item]:
        return [str(token)]

    def finish(self) -> list[Item]:
        return []


class Asked(Sequence):
    """A sequence that keeps what it was given. `on_item` is called with each item, in the scheduler's thread."""

    def __init__(
        self,
        prompt: list[int],
        limit: int,
        sampling: Sampling = GREEDY,
        end_tokens: Many[int] = (),
        on_item: Callable[[Asked, Any], object] = lambda *_: None,
    ) -> None:
        self.items: list[Item | Exception] = []
        self.over = threading.Event()
        self._on_item = on_item
        super().__init__(
            prompt,
            Sampler(sampling, prompt),
            Numbers(),  # type: ignore[arg-type]
            limit=limit,
            end_tokens=frozenset(end_tokens),
            deliver=self._keep,
        )

    def _keep(self, item: Item | Exception) -> None:
        self.items.append(item)
        self._on_item(self, item)
        if isinstance(item, End | Exception):
            self.over.set()

    def wait(self) -> Asked:
        assert self.over.wait(60)
        return self

    @property
    def tokens(self) -> list[int]:
        return [int(item) for item in self.items if isinstance(item, str)]

    @property
    def end(self) -> End:
        assert isinstance(self.items[-1], End), self.items[-1]
        return self.items[-1]

    @property
    def progress(self) -> list[int]:
        return [item.done for item in self.items if isinstance(item, Prefill)]


def generate(model: Any, prompt: list[int], tokens: int) -> list[int]:
    """Return what the library itself makes of it."""
    inputs = torch.tensor([prompt], device=model.device)
    output = model.generate(
        inputs,
        attention_mask=torch.ones_like(inputs),
        max_new_tokens=tokens,
        do_sample=False,
        pad_token_id=0,
    )
    written: list[int] = output[0, len(prompt) :].tolist()
    return written


def prompts(count: int, lengths: Many[int], vocabulary: int = 330) -> list[list[int]]:
    chance = random.Random(count)
    return [
        [chance.randrange(1, vocabulary) for _ in range(chance.choice(lengths))]
        for _ in range(count)
    ]


class Passes:
    """Counts a model's forward passes, lets a test act before one of them, and makes them fail."""

    def __init__(self, model: Any) -> None:
        self.shapes: list[tuple[int, int]] = []  # (rows, tokens) of each
        self.before: Callable[[tuple[int, int]], object] = lambda shape: None
        self._hook = model.register_forward_pre_hook(self._pass, with_kwargs=True)

    def _pass(self, module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        rows, tokens = kwargs["input_ids"].shape
        self.before((rows, tokens))
        self.shapes.append((rows, tokens))

    def __len__(self) -> int:
        return len(self.shapes)


def start(model: Any, rows: int = 8, chunk: int = 16, fixed: bool = False) -> Scheduler:
    """Start a scheduler. Its steps are passes of the model that can be counted, unless they have a fixed shape."""
    scheduler = Scheduler(model, rows, chunk, fixed)
    scheduler.start()
    return scheduler
