"""A pipeline of the transformers library, token by token. The first start fetches the model.

BURBLE_MODEL=examples.transformers_pipeline:Pipeline uv run --extra transformers just dev
"""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from backend.link import Message

MODEL = os.environ.get("PIPELINE_MODEL", "HuggingFaceTB/SmolLM2-135M-Instruct")


class Pipeline:
    name = MODEL

    def init(self) -> None:
        from transformers import pipeline

        self.pipeline = pipeline("text-generation", model=MODEL)

    def generate(self, messages: list[Message], *, max_tokens: int = 256) -> Iterator[str]:
        import torch
        from transformers import TextIteratorStreamer

        streamer = TextIteratorStreamer(
            self.pipeline.tokenizer, skip_prompt=True, skip_special_tokens=True
        )
        stopped = threading.Event()

        def stop(ids: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
            return torch.full((len(ids),), stopped.is_set(), device=ids.device)

        def run() -> None:
            try:
                self.pipeline(
                    messages, max_new_tokens=max_tokens, streamer=streamer, stopping_criteria=[stop]
                )
            finally:
                streamer.end()  # also when it fails, else the loop below would wait for ever

        with ThreadPoolExecutor(1) as thread:  # waits for the thread at the end
            running = thread.submit(run)
            try:
                yield from streamer
                running.result()  # raises what the pipeline raised
            finally:
                stopped.set()

    def close(self) -> None:
        del self.pipeline
