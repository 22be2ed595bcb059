"""A model that runs in the dirty worker itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from backend.errors import PromptTooLong
from backend.link import Message
from backend.models import Item
from backend.models.local.answer import AnswerText
from backend.models.local.chat_template import ChatTemplate
from backend.models.local.detokenizer import Vocabulary
from backend.models.local.loading import load
from backend.models.local.outbox import Outbox
from backend.models.local.sampling import Sampler, Sampling
from backend.models.local.scheduler import Scheduler, Sequence
from backend.models.thinking import ANSWERS, PAIRS
from backend.settings import Settings

MAX_RUNNING = 8  # rows of a batch, unless the settings say otherwise


class TransformersModel:
    """Answers with a model of the `transformers` library, many chats at once.

    What a request leaves open is as the model's own `generation_config` has it: temperature, `top_p`, `top_k`, `min_p`,
    the repetition penalty, the most new tokens, and the tokens that end an answer.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.name = Path(str(settings.transformers_model)).name
        self.max_running = settings.max_running or MAX_RUNNING
        self.context_tokens: int | None = None
        self.can_think = False

    def init(self) -> None:
        """Load the model. Raises what `load` and `ChatTemplate` raise."""
        model, tokenizer, self.context_tokens = load(self._settings)
        self._template = ChatTemplate(tokenizer)
        self.can_think = self._template.can_think
        self._vocabulary = Vocabulary(tokenizer, _hidden(tokenizer))
        self._defaults = model.generation_config
        self._end_tokens = _end_tokens(self._defaults, tokenizer)
        self._scheduler = Scheduler(model, self.max_running)
        self._scheduler.check()
        self.one_at_a_time = not self._scheduler.batches
        # Tokenizers are not made for several threads.
        self._tokenizing = ThreadPoolExecutor(1, thread_name_prefix="tokenizer")
        self._scheduler.start()

    async def generate(
        self,
        messages: list[Message],
        *,
        thinking: bool = False,
        temperature: float | None = None,
        top_p: float | None = None,
        max_tokens: int | None = None,
        stop: str | list[str] | None = None,
        seed: int | None = None,
    ) -> AsyncIterator[Item]:
        """Yield the answer. Raises `InvalidRequest`, `PromptTooLong`, or `ModelError` when a forward pass fails."""
        loop = asyncio.get_running_loop()
        prompt, opens_thinking = await loop.run_in_executor(
            self._tokenizing, self._template.encode, messages, thinking
        )
        limit = self._room(prompt)
        asked = max_tokens or getattr(self._defaults, "max_new_tokens", None)
        outbox = Outbox(loop)
        sequence = Sequence(
            prompt,
            Sampler(self._sampling(temperature, top_p, seed), prompt),
            AnswerText(
                self._vocabulary.detokenizer(),
                stop=[stop] if isinstance(stop, str) else stop or (),
                inside_thinking=opens_thinking,
            ),
            limit=min(limit, asked) if asked else limit,
            end_tokens=self._end_tokens,
            deliver=outbox.put,
        )
        self._scheduler.submit(sequence)
        try:
            async for item in outbox.items():
                yield item
        finally:
            self._scheduler.cancel(sequence)

    def close(self) -> None:
        """Stop the thread and let go of the model."""
        if scheduler := getattr(self, "_scheduler", None):
            scheduler.close()
            self._tokenizing.shutdown()

    def _room(self, prompt: list[int]) -> int:
        """Return how many tokens an answer to this prompt may have."""
        assert self.context_tokens is not None
        room = self.context_tokens - len(prompt)
        if room < 1:
            raise PromptTooLong(
                f"The conversation is {len(prompt):,} tokens long, and the model can read and write "
                f"{self.context_tokens:,} at most. Begin a new one, or leave something out."
            )
        return room

    def _sampling(
        self, temperature: float | None, top_p: float | None, seed: int | None
    ) -> Sampling:
        def default(name: str, otherwise: Any) -> Any:
            value = getattr(self._defaults, name, None)
            return otherwise if value is None else value

        if temperature is None:
            # A request with settings that mean nothing without chance wants it.
            by_chance = default("do_sample", False) or top_p is not None
            temperature = default("temperature", 1.0) if by_chance else 0.0
        return Sampling(
            temperature=temperature,
            top_p=default("top_p", 1.0) if top_p is None else top_p,
            top_k=default("top_k", 0),
            min_p=default("min_p", 0.0),
            repetition_penalty=default("repetition_penalty", 1.0),
            seed=seed,
        )


def _end_tokens(defaults: Any, tokenizer: Any) -> frozenset[int]:
    """Return the tokens that end an answer: what the model says, and the tokenizer, which may know of a turn's end."""
    ends = defaults.eos_token_id
    ends = [ends] if isinstance(ends, int) else ends or []
    return frozenset(end for end in [*ends, tokenizer.eos_token_id] if end is not None)


def _hidden(tokenizer: Any) -> set[int]:
    """Return the tokens that are never shown: the special ones, but for those that the thinking tags are made of."""
    special = {
        token: added.content
        for token, added in tokenizer.added_tokens_decoder.items()
        if added.special
    }
    special.update(zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True))
    shown: set[str] = set()
    for opening, closing in PAIRS.items():
        if any(text in opening for text in special.values()):
            tags = (opening, *closing, *(ANSWERS if "<|channel|>" in opening else ()))
            shown.update(text for text in special.values() for tag in tags if text in tag)
    return {token for token, text in special.items() if text not in shown}
