"""How the next token is chosen: the settings of one answer, and the choice for a batch of answers.

Every answer has random numbers of its own, one for each token. The token is looked up by that number among all that
may come, the likeliest first. So with a seed an answer does not depend on what else is in the batch, nor on the device
(but for rounding: a batch of another size adds up in another order, and two tokens of the same likelihood may change
places).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

# Tokens of a row that are sorted at first: the whole vocabulary only where these are not enough.
LIKELIEST = 256


@dataclass(frozen=True, slots=True)
class Sampling:
    """The settings of one answer, in the terms of the library's `GenerationConfig`; `temperature` 0: the likeliest."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0  # 0: all
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int | None = None


class Sampler:
    """Chooses the tokens of one answer, whose settings and random numbers it has."""

    def __init__(self, sampling: Sampling, prompt: Sequence[int]) -> None:
        self.sampling = sampling
        self._random = random.Random(sampling.seed)
        self._prompt = prompt
        # Which tokens the answer and its prompt have; None: nobody asks for it.
        self._seen: Any = None

    def draw(self) -> float:
        """Return a random number, at least 0 and less than 1."""
        return self._random.random()

    def penalize(self, logits: Any) -> None:
        """Make what was said already less likely (Keskar et al. 2019, section 4.1), in place."""
        penalty = self.sampling.repetition_penalty
        if penalty == 1.0:
            return
        if self._seen is None:
            self._seen = torch.zeros(logits.shape, dtype=torch.bool, device=logits.device)
            self._seen[torch.tensor(self._prompt, device=logits.device)] = True
        penalized = torch.where(logits < 0, logits * penalty, logits / penalty)
        logits.copy_(torch.where(self._seen, penalized, logits))

    def note(self, token: int) -> None:
        """Take note of the token that was chosen."""
        if self._seen is not None:
            self._seen[token] = True


def choose(logits: Any, samplers: Sequence[Sampler]) -> list[int]:
    """Return the next token of each row of `logits`, (rows, vocabulary), which is changed."""
    for row, sampler in zip(logits, samplers, strict=True):
        sampler.penalize(row)
    drawn = [row for row, sampler in enumerate(samplers) if sampler.sampling.temperature > 0]
    if len(drawn) == len(samplers):
        tokens = _draw(logits, samplers)
    else:
        tokens = logits.argmax(dim=-1).tolist()
        if drawn:
            random_tokens = _draw(logits[drawn], [samplers[row] for row in drawn])
            for row, token in zip(drawn, random_tokens, strict=True):
                tokens[row] = token
    for sampler, token in zip(samplers, tokens, strict=True):
        sampler.note(token)
    return tokens


def _draw(logits: Any, samplers: Sequence[Sampler]) -> list[int]:
    """Return a token for each row, at random. All settings are columns, (rows, 1)."""
    settings = [sampler.sampling for sampler in samplers]
    vocabulary = logits.shape[-1]
    # To the device and back it is one copy each: a GPU makes the processor wait for it.
    columns = torch.tensor(
        [
            [sampler.draw() for sampler in samplers],
            [each.temperature for each in settings],
            [each.top_p for each in settings],
            [each.top_k or vocabulary for each in settings],
            [each.min_p for each in settings],
        ],
        dtype=torch.float32,
    )
    number, temperature, top_p, top_k, min_p = columns.to(logits.device)[..., None]

    logits = logits / temperature
    most = max((each.top_k for each in settings), default=0)
    some = min(vocabulary, max(most, LIKELIEST))
    for count in (some, vocabulary):
        # 1. Sort the likeliest.
        best, tokens = torch.topk(logits, count, dim=-1)  # (rows, count), falling
        place = torch.arange(count, device=logits.device)[None, :]
        # 2. What share each has among the tokens that `top_k` leaves.
        best = best.masked_fill(place >= top_k, -torch.inf)
        whole = torch.where(
            top_k <= count,
            torch.logsumexp(best, dim=-1, keepdim=True),
            torch.logsumexp(logits, dim=-1, keepdim=True),
        )
        share = torch.exp(best - whole)
        together = share.cumsum(dim=-1)
        # 3. Leave what lies within `top_p`, and what `min_p` of the likeliest allows; always the likeliest itself.
        allowed = ((together - share) < top_p) & (share >= min_p * share[:, :1]) & (share > 0)
        allowed[:, 0] = True
        last = allowed.sum(dim=-1, keepdim=True) - 1
        # 4. Look the number up. Where all that was sorted is allowed, those behind may be as well, unless `top_k` or
        #    `top_p` says no, or the number lies before them and nothing but all of it sets the measure.
        total = together.gather(-1, last)
        complete = (last < count - 1) | (top_k <= count)
        unbounded = (top_p >= 1) & (min_p <= 0)
        found = complete | (unbounded & (number < total))
        total = torch.where(complete, total, torch.ones_like(total))
        chosen = (together <= number * total).sum(dim=-1, keepdim=True).clamp(max=last)
        result: list[list[int]] = torch.cat([tokens.gather(-1, chosen), found], dim=1).tolist()
        if count == vocabulary or all(row_found for _, row_found in result):
            break
    return [token for token, _ in result]
