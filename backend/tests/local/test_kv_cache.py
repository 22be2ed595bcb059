"""The cache of a batch holds what each row has said, aligned at the right, while rows come, grow and go."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from transformers import CONFIG_MAPPING, DynamicCache

from backend.models.local.kv_cache import AlignedCache, UnbatchableCache
from backend.tests.local import tiny

HEADS, SIZE = 2, 4


def config(window: int | None) -> Any:
    """A layer that looks back to the beginning, and one with a window."""
    return CONFIG_MAPPING["gemma2"](
        num_hidden_layers=2,
        layer_types=["full_attention", "sliding_attention" if window else "full_attention"],
        sliding_window=window or 1,
    )


def states(numbers: list[list[int]]) -> Any:
    """Return states that tell which token they belong to, (rows, heads, tokens, head size)."""
    return (
        torch.tensor(numbers, device=tiny.DEVICE)
        .float()[:, None, :, None]
        .expand(-1, HEADS, -1, SIZE)
    )


class Batch:
    """A cache and, beside it, the rows that it must hold."""

    def __init__(self, window: int | None, fixed: bool = False) -> None:
        self.fixed = fixed
        self.config = config(window)
        self.cache = AlignedCache(self.config)
        self.rows: list[list[int]] = []
        self.windows = (None, window)
        self._count = 0

    def numbers(self, count: int) -> list[int]:
        self._count += count
        return list(range(self._count - count + 1, self._count + 1))

    def join(self, length: int) -> None:
        row = self.numbers(length)
        read = DynamicCache(config=self.config)
        for layer in range(2):
            if row:
                read.update(states([row]), -states([row]), layer)
        self.cache.join(read, length)
        self.rows.append(row)

    def step(self) -> None:
        if self.fixed:
            self._step_of_fixed_shape()
            return
        new = [[number] for number in self.numbers(len(self.rows))]
        before = max(map(len, self.rows))
        self.rows = [row + column for row, column in zip(self.rows, new, strict=True)]
        for layer, window in enumerate(self.windows):
            columns, first = self.cache.get_mask_sizes(1, layer)
            assert self.cache.get_seq_length(layer) == before
            keys, values = self.cache.update(states(new), -states(new), layer)
            assert keys.shape == (len(self.rows), HEADS, columns, SIZE)
            assert first + columns == before + 1
            assert columns == min(before + 1, window or before + 1)
            for row, expected in enumerate(self.rows):
                seen = expected[-columns:]
                assert keys[row, 0, columns - len(seen) :, 0].tolist() == seen
                assert values[row, -1, columns - len(seen) :, -1].tolist() == [-n for n in seen]
            assert keys.isfinite().all()
        self.cache.step()
        assert self.cache.lengths == [len(row) for row in self.rows]

    def _step_of_fixed_shape(self) -> None:
        place = self.cache.place()
        if place is None:  # nothing is there to take the shape from
            self.fixed = False
            self.step()
            self.fixed = True
            return
        new = [[number] for number in self.numbers(place.rows)]
        self.rows = [row + column for row, column in zip(self.rows, new, strict=False)]
        with self.cache.fixed(torch.tensor([place.column], device=tiny.DEVICE)):
            for layer in range(2):
                assert self.cache.get_mask_sizes(1, layer) == (place.columns, 0)
                keys, values = self.cache.update(states(new), -states(new), layer)
                assert keys.shape == (place.rows, HEADS, place.columns, SIZE)
                for row, expected in enumerate(self.rows):
                    seen = slice(place.column + 1 - len(expected), place.column + 1)
                    assert keys[row, 0, seen, 0].tolist() == expected
                    assert values[row, -1, seen, -1].tolist() == [-n for n in expected]
                assert keys.isfinite().all()
        self.cache.step()
        assert self.cache.lengths == [len(row) for row in self.rows]

    def leave(self, row: int) -> None:
        self.cache.leave(row)
        last = self.rows.pop()
        if row < len(self.rows):
            self.rows[row] = last


@pytest.mark.parametrize(
    ("window", "fixed"), [(None, False), (None, True), (2, False), (5, False), (60, False)]
)
def test_rows_come_and_go_and_grow_and_each_is_found_whole(window: int | None, fixed: bool) -> None:
    chance = random.Random(1)
    batch = Batch(window, fixed)
    for _ in range(600):
        wish = chance.random()
        if len(batch.rows) < 6 and (wish < 0.05 or not batch.rows):
            batch.join(chance.choice([0, 0, 1, 7, 70, 150]))
        elif wish < 0.1:
            batch.leave(chance.randrange(len(batch.rows)))
        if batch.rows:
            batch.step()


def test_memory_follows_the_rows_and_is_given_back() -> None:
    batch = Batch(None)
    assert batch.cache.nbytes == 0
    batch.join(10)
    one = batch.cache.nbytes
    batch.join(2000)
    batch.step()
    for _ in range(6):
        batch.join(10)
    most = batch.cache.nbytes
    assert most > 50 * one
    batch.leave(1)  # the long one
    assert batch.cache.nbytes < most / 10
    while len(batch.rows) > 1:
        batch.leave(0)
    assert batch.cache.nbytes <= 4 * one
    batch.leave(0)
    assert batch.cache.nbytes == 0


def test_a_row_that_there_is_no_memory_for_leaves_the_others_as_they_were() -> None:
    batch = Batch(None)
    batch.join(10)
    batch.join(300)
    batch.step()
    layer = batch.cache.layers[1]
    layer._move = raise_out_of_memory
    with pytest.raises(torch.OutOfMemoryError):
        batch.join(2000)
    del layer._move
    for _ in range(100):
        batch.step()
    batch.join(2000)
    batch.step()


def test_a_step_that_fails_leaves_no_trace() -> None:
    batch = Batch(5)
    batch.join(10)
    for _ in range(3):
        batch.cache.update(states([[0]]), states([[0]]), 0)
    batch.step()


def raise_out_of_memory(*_: Any) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory.")


def test_a_step_copies_a_column_and_not_the_cache() -> None:
    batch = Batch(None)
    batch.join(1000)
    places = set()
    for _ in range(300):
        batch.step()
        places.add(batch.cache.layers[0].keys.data_ptr())
    assert len(places) <= 4


@pytest.mark.parametrize("kind", ["mamba", "qwen3_next", "llama4_text"])
def test_what_is_no_row_of_tokens_is_refused(kind: str) -> None:
    with pytest.raises(UnbatchableCache):
        AlignedCache(CONFIG_MAPPING[kind]())
