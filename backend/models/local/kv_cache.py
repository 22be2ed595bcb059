"""The keys and values of all running answers, in one cache that the library's models read and write.

A model's forward pass takes rows of the same length. Running answers have different lengths, so they are aligned at
the right: the newest token of every row lies in the last column, and shorter rows begin with padding, which a mask
hides. That is how the library itself generates for several prompts at once, so masks, sliding windows and positions
are its own, and right for each architecture that it can generate with.

    column    0  1  2  3  4  5
    row 0     a  b  c  d  e  f
    row 1     .  .  .  g  h  i      a row that leaves gives its place to the last row,
    row 2     .  .  .  .  j  k      and columns that no row needs any more are cut off at the left

Each layer holds its columns in a buffer with room at the right, so that a step copies one column and not the whole
cache. A layer with a sliding window keeps only what its window reaches. The buffers grow with the rows and their
lengths, shrink with them, and are given back when no row is left.

A step may also have a fixed shape, so that it can be recorded and replayed (`captured_step`): then the model sees whole
buffers, with their spare rows and columns, and a tensor says which column is the new one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from transformers import Cache, PreTrainedConfig
from transformers.cache_utils import (
    CacheLayerMixin,
    DummyLayer,
    DynamicCache,
    DynamicLayer,
    DynamicSlidingWindowLayer,
)


class UnbatchableCache(ValueError):
    """The model keeps something else than keys and values of single tokens, a recurrent state for example."""


class Place(NamedTuple):
    """Where a step of a fixed shape goes: the buffers' rows and columns, the column to write, and which buffers."""

    rows: int
    columns: int
    column: int
    buffers: int


class AlignedLayer(CacheLayerMixin):  # type: ignore[misc]
    """One layer's keys and values, (rows, heads, columns, head size) each.

    `columns` counts all columns of the cache, `window` says how far back the layer looks (None: to the beginning), and
    `room` how many columns a new buffer has to spare, at least.
    """

    def __init__(self, window: int | None, room: int) -> None:
        super().__init__()
        self.keys: Any = None
        self.values: Any = None
        self.window = window
        self.is_sliding = window is not None
        self.rows = 0
        self.columns = 0
        self.buffers = 0  # counts them: with another number they lie elsewhere
        # In a step of a fixed shape the column to write, a tensor of one number.
        self.fixed: Any = None
        self._room = room
        # Where in the buffers the columns lie that are kept.
        self._start = 0
        self._end = 0

    # What a model calls

    def lazy_initialization(self, key_states: Any, value_states: Any) -> None:
        self._move(self.columns, key_states, value_states)

    def update(self, key_states: Any, value_states: Any, *_: Any, **__: Any) -> tuple[Any, Any]:
        """Append a column, (rows, heads, 1, head size); return what the model attends to, that column included."""
        if self.fixed is not None:
            self.keys.index_copy_(2, self.fixed, key_states)
            self.values.index_copy_(2, self.fixed, value_states)
            return self.keys, self.values
        if self.keys is None or self._end == self.keys.shape[2]:
            self._move(self.columns, key_states, value_states)
        start, end = self._start, self._end + 1
        self.keys[: self.rows, :, end - 1 : end] = key_states
        self.values[: self.rows, :, end - 1 : end] = value_states
        return self.keys[: self.rows, :, start:end], self.values[: self.rows, :, start:end]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return how many columns `update` will return, and which column of the cache is the first of them."""
        if self.fixed is not None:
            return self.keys.shape[2], 0
        kept = self._kept(self.columns)
        return kept + query_length, self.columns - kept

    def get_seq_length(self) -> int:
        # In a fixed shape the new column may be any. The mask hides those behind it, as if it were the last.
        return self.columns if self.fixed is None else self.keys.shape[2] - 1

    @property
    def is_compileable(self) -> bool:
        """Whether the shape is fixed. (The library does not look into the mask then, which would wait for the GPU.)"""
        return self.fixed is not None

    def get_max_length(self) -> int:
        return -1 if self.window is None else self.window

    # What the cache calls

    def join(self, layer: Any, length: int) -> None:
        """Append a row: the first `length` tokens of an answer, which the library's own layer has read."""
        columns = max(self.columns, length)
        self.rows += 1
        if layer.keys is None:  # nothing was read: a prompt of one token
            if self.keys is not None:
                self._move(columns, self.keys, self.values)
            self.columns = columns
            return
        self._move(columns, layer.keys, layer.values)
        count = min(layer.keys.shape[2], self._kept(length))
        if count:
            place = slice(self._end - count, self._end)
            self.keys[self.rows - 1, :, place] = layer.keys[0, :, -count:]
            self.values[self.rows - 1, :, place] = layer.values[0, :, -count:]

    def place(self) -> Place | None:
        """Have place for a column in the buffers, and say where. None if there are no buffers yet."""
        if self.keys is None:
            return None
        if self._end == self.keys.shape[2]:
            self._move(self.columns, self.keys, self.values)
        return Place(self.keys.shape[0], self.keys.shape[2], self._end, self.buffers)

    def step(self) -> None:
        """Count the column that was appended. Until then it is as if it had not been."""
        self.columns += 1
        self._end += 1
        self._start = self._end - self._kept(self.columns)

    def leave(self, row: int, columns: int) -> None:
        """Let the last row take the place of `row`; `columns` are what the longest of the others needs."""
        self.rows -= 1
        if not self.rows:
            self.reset()
            return
        if self.keys is not None and row != self.rows:
            kept = slice(self._start, self._end)
            self.keys[row, :, kept] = self.keys[self.rows, :, kept]
            self.values[row, :, kept] = self.values[self.rows, :, kept]
        self.columns = columns
        if self.keys is not None:
            self._start = self._end - self._kept(columns)
            try:
                self._move(columns, self.keys, self.values)
            except RuntimeError:
                pass  # no memory for smaller buffers: the old ones do as well

    def reset(self) -> None:
        """Give everything back."""
        self.keys = self.values = None
        self.rows = self.columns = self._start = self._end = 0

    def _kept(self, columns: int) -> int:
        return columns if self.window is None else min(columns, self.window - 1)

    def _move(self, columns: int, keys: Any, values: Any) -> None:
        """Make the cache `columns` long and ready for one more, in new buffers where the old ones do not fit."""
        kept = self._kept(columns)
        room = 0 if self.keys is None else self.keys.shape[2]
        rows = 0 if self.keys is None else self.keys.shape[0]
        self.columns = columns
        if (
            kept <= self._end < room  # all columns are there, and place for one more
            and room <= 2 * self._with_room(kept)
            and self.rows <= rows <= 4 * self.rows
        ):
            self._start = self._end - kept
            return
        # Zeros, because what a mask hides is multiplied all the same, and whatever lies there might be no number.
        size = 1 << (self.rows - 1).bit_length()
        old = (self.keys, self.values)
        new = [
            torch.zeros(
                (size, like.shape[1], self._with_room(kept), like.shape[3]),
                dtype=like.dtype,
                device=like.device,
            )
            for like in (keys, values)
        ]
        count = min(kept, self._end - self._start)
        if count:
            for source, target in zip(old, new, strict=True):
                common = min(rows, self.rows)
                target[:common, :, kept - count : kept] = source[
                    :common, :, self._end - count : self._end
                ]
        self.keys, self.values = new
        self._start, self._end = 0, kept
        self.buffers += 1
        self.is_initialized = True

    def _with_room(self, columns: int) -> int:
        # In eights: kernels copy a mask that is not aligned.
        return (columns + max(self._room, columns // 8) + 7) // 8 * 8


class AlignedCache(Cache):  # type: ignore[misc]
    """The cache of a batch. `lengths` says how many tokens of each row are in it.

    New buffers have `room` columns to spare, or more. Raises `UnbatchableCache` for a model whose layers keep anything
    else.
    """

    def __init__(self, config: PreTrainedConfig, room: int = 64) -> None:
        text = config.get_text_config(decoder=True)
        layers: list[Any] = []
        for layer in DynamicCache(config=text).layers:
            if isinstance(layer, DummyLayer):  # it uses another layer's, or has no attention
                layers.append(layer)
                continue
            if type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer):
                raise UnbatchableCache(type(layer).__name__)
            layers.append(AlignedLayer(getattr(layer, "sliding_window", None), room))
        if "chunked_attention" in (getattr(text, "layer_types", None) or ()) or (
            getattr(text, "attention_chunk_size", None) is not None
        ):
            raise UnbatchableCache("chunked_attention")
        super().__init__(layers=layers)
        self.lengths: list[int] = []
        self._aligned = [layer for layer in layers if isinstance(layer, AlignedLayer)]

    def join(self, cache: Cache, length: int) -> None:
        """Append the answer whose first `length` tokens are in the library's `cache` as the last row.

        When that fails, because there is no memory for it, the other rows are as they were.
        """
        columns = max(self.lengths, default=0)
        for mine, its in zip(self.layers, cache.layers, strict=True):
            if isinstance(mine, AlignedLayer):
                try:
                    mine.join(its, length)
                except Exception:
                    for layer in self._aligned[: self._aligned.index(mine) + 1]:
                        layer.leave(layer.rows - 1, columns)
                    raise
        self.lengths.append(length)

    def leave(self, row: int) -> None:
        """Drop a row; the last one takes its place."""
        last = self.lengths.pop()
        if row < len(self.lengths):
            self.lengths[row] = last
        columns = max(self.lengths, default=0)
        for layer in self._aligned:
            layer.leave(row, columns)

    def reset(self) -> None:
        """Give everything back."""
        self.lengths = []
        super().reset()

    def step(self) -> None:
        """Count the token that a forward pass has appended to every row. One that failed is not to be counted."""
        self.lengths = [length + 1 for length in self.lengths]
        for layer in self._aligned:
            layer.step()

    # Steps of a fixed shape

    def place(self) -> Place | None:
        """Have place for a column in all buffers, and say where; None if a step cannot have a fixed shape.

        That is so for windows, which would begin at another column in each step.
        """
        places = {layer.place() if layer.window is None else None for layer in self._aligned}
        return places.pop() if len(places) == 1 else None

    @contextmanager
    def fixed(self, column: Any) -> Iterator[None]:
        """Have the model write `column` of the buffers, a tensor of one number, and see all of them."""
        for layer in self._aligned:
            layer.fixed = column
        try:
            yield
        finally:
            for layer in self._aligned:
                layer.fixed = None

    @property
    def for_model(self) -> Cache:
        """What the model's forward pass is given."""
        return self

    @property
    def nbytes(self) -> int:
        """Memory that the buffers take, in bytes."""
        return sum(
            tensor.nbytes
            for layer in self.layers
            for tensor in (layer.keys, layer.values)
            if tensor is not None
        )


class SingleCache:
    """A batch of one, whose cache is the library's: for models that keep what cannot be aligned."""

    def __init__(self) -> None:
        self.lengths: list[int] = []
        self.for_model: Cache = None
        self.nbytes = 0  # not known

    def join(self, cache: Cache, length: int) -> None:
        self.for_model = cache
        self.lengths = [length]

    def leave(self, row: int) -> None:
        self.reset()

    def reset(self) -> None:
        self.for_model = None
        self.lengths = []

    def step(self) -> None:
        self.lengths = [length + 1 for length in self.lengths]


BatchCache = AlignedCache | SingleCache
