"""One step of a whole batch as one CUDA graph.

A GPU has done a step of a model long before Python has launched its many hundred kernels one by one. So the launches
are recorded once, and then replayed as one. A replay reads and writes the same places each time, so such a step has a
fixed shape: it takes all rows and columns that the cache's buffers have, and a mask hides those that nobody uses. What
differs from step to step lies in one small tensor: each row's token and length, and the column to write.

When the buffers are new, because a row has joined or the rows have grown, one step is taken without a graph, in which
libraries make what they make once; the next one is recorded again.

See "CUDA Graphs" in "CUDA semantics" of PyTorch's documentation.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
from transformers import Cache

from backend.models.local.kv_cache import AlignedCache

LOGGER = logging.getLogger("gunicorn.error.model")

# Runs the model on token numbers, positions and a mask, behind what is in a cache; returns the last logits.
Forward = Callable[[Any, Any, Any, Cache], Any]


class CapturedStep:
    """Takes the steps of a batch whose keys and values are in `cache`.

    Where there are no graphs, on a CPU, it takes the same steps and records nothing.
    """

    def __init__(self, forward: Forward, cache: AlignedCache, device: torch.device) -> None:
        self.gave_up = False  # because the model cannot be recorded
        self._forward = forward
        self._cache = cache
        self._device = device
        self._buffers = 0  # those of the last step: their number in the cache's count
        self._try_graph = False  # for these buffers
        self._inputs: Any = None  # tokens, lengths and the column: (2 * rows + 1)
        self._graph: Any = None
        self._logits: Any = None  # where a replay leaves them

    def __call__(self, tokens: list[int]) -> Any:
        """Return the logits behind each row's next token, (rows, vocabulary), valid until the next step.

        None if there cannot be a step of a fixed shape now.
        """
        place = None if self.gave_up else self._cache.place()
        if place is None:
            return None
        spare = [0] * (place.rows - len(tokens))
        inputs = torch.tensor([*tokens, *spare, *self._cache.lengths, *spare, place.column])
        if place.buffers != self._buffers:
            self._buffers = place.buffers
            self._try_graph = self._device.type == "cuda"
            self._graph = None
            self._inputs = inputs.to(self._device)
            logits = self._run(place.rows, place.columns)
        else:
            self._inputs.copy_(inputs)
            if self._try_graph and self._graph is None:
                self._record(place.rows, place.columns)
            if self._graph is not None:
                self._graph.replay()
                logits = self._logits
            else:
                logits = self._run(place.rows, place.columns)
        return logits[: len(tokens), -1]

    def _run(self, rows: int, columns: int) -> Any:
        tokens, lengths, column = self._inputs.split([rows, rows, 1])
        number = torch.arange(columns, device=self._device)
        # Rows are aligned at the right, where the new column is.
        mask = (number <= column) & (number >= (column - lengths)[:, None])
        with self._cache.fixed(column):
            return self._forward(tokens[:, None], lengths[:, None], mask.long(), self._cache)

    def _record(self, rows: int, columns: int) -> None:
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                logits = self._run(rows, columns)
        except Exception as error:
            self._try_graph = False
            # Otherwise the model cannot do without the processor in the middle of a step.
            no_memory = isinstance(error, torch.OutOfMemoryError) or isinstance(
                error.__context__, torch.OutOfMemoryError
            )
            self.gave_up = not no_memory
            LOGGER.info("A step could not be recorded, and is slower: %s", error)
        else:
            self._graph, self._logits = graph, logits
