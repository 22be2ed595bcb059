"""The next token is chosen as the library chooses it, by random numbers that are the answer's own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from backend.models.local import sampling
from backend.models.local.sampling import Sampler, Sampling, choose
from backend.tests.local import tiny

VOCABULARY = 500


def logits(rows: int = 1, seed: int = 0) -> Any:
    return (
        torch.randn(rows, VOCABULARY, generator=torch.Generator().manual_seed(seed)).to(tiny.DEVICE)
        * 3
    )


class Numbers(Sampler):
    """A sampler whose random number the test chooses."""

    def __init__(self, settings: Sampling, number: float, prompt: tuple[int, ...] = ()) -> None:
        super().__init__(settings, prompt)
        self._number = number

    def draw(self) -> float:
        return self._number


SETTINGS = [
    Sampling(),
    Sampling(temperature=0.7),
    Sampling(temperature=1.5, top_k=5),
    Sampling(top_p=0.9),
    Sampling(temperature=2.5, top_p=0.99),
    Sampling(top_k=20, top_p=0.5),
    Sampling(min_p=0.05),
    Sampling(temperature=3, min_p=0.001),
    Sampling(repetition_penalty=1.3, top_k=40),
]


@pytest.mark.parametrize("few", [1, 8, 256])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_each_token_gets_the_share_that_the_library_gives_it(
    settings: Sampling, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "LIKELIEST", few)
    prompt = (3, 7, 11)
    warpers = LogitsProcessorList()
    if settings.repetition_penalty != 1:
        warpers.append(RepetitionPenaltyLogitsProcessor(settings.repetition_penalty))
    warpers.append(TemperatureLogitsWarper(float(settings.temperature)))
    if settings.top_k:
        warpers.append(TopKLogitsWarper(settings.top_k))
    if settings.top_p < 1:
        warpers.append(TopPLogitsWarper(settings.top_p))
    if settings.min_p:
        warpers.append(MinPLogitsWarper(settings.min_p))
    share = warpers(torch.tensor([prompt], device=tiny.DEVICE), logits())[0].softmax(-1)
    order = share.argsort(descending=True)
    together = share[order].cumsum(0)

    # In the middle of each token's share the number must lead to it.
    for place in range(min(30, int((share > 1e-5).sum()))):
        number = float(together[place] - share[order[place]] / 2)
        assert choose(logits(), [Numbers(settings, number, prompt)]) == [int(order[place])]
    allowed = share.nonzero().flatten().tolist()
    assert choose(logits(), [Numbers(settings, 1 - 1e-12, prompt)])[0] in allowed


def test_rows_with_different_settings_do_not_touch_each_other() -> None:
    together = choose(logits(len(SETTINGS)), [Numbers(each, 0.77, (1,)) for each in SETTINGS])
    alone = [
        choose(row[None], [Numbers(each, 0.77, (1,))])[0]
        for row, each in zip(logits(len(SETTINGS)), SETTINGS, strict=True)
    ]
    assert together == alone


def test_temperature_zero_takes_the_likeliest_and_no_random_number() -> None:
    sampler = Sampler(Sampling(temperature=0, seed=1), ())
    assert choose(logits(), [sampler]) == [int(logits().argmax())]
    assert sampler.draw() == Sampler(Sampling(seed=1), ()).draw()


def test_a_seed_gives_the_same_tokens_again_and_another_seed_others() -> None:
    def tokens(seed: int) -> list[int]:
        sampler = Sampler(Sampling(seed=seed), ())
        return [choose(logits(seed=step), [sampler])[0] for step in range(20)]

    assert tokens(1) == tokens(1) != tokens(2)


def test_what_was_said_already_becomes_less_likely() -> None:
    sampler = Sampler(Sampling(temperature=0, repetition_penalty=50.0), (0,))
    said = [choose(logits().abs(), [sampler])[0] for _ in range(10)]
    assert len(set(said)) == 10
    assert 0 not in said
