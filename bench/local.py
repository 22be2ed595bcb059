"""How many tokens per second a local model writes for several chats at once, beside what else one could take.

    python -m bench.local [--chats 1 2 4 8 16] [--tokens 64] [--rounds 3] [--device cpu]

The model is built from a configuration and has random weights: what a step costs does not depend on what they say. It
needs the extra: `uv run --extra transformers python -m bench.local`.
"""

from __future__ import annotations

import argparse
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import torch
from transformers import AutoModelForCausalLM, GenerationConfig, LlamaConfig
from transformers.generation.configuration_utils import ContinuousBatchingConfig

from backend.models import End
from backend.models.local.answer import AnswerText
from backend.models.local.sampling import Sampler, Sampling
from backend.models.local.scheduler import Scheduler, Sequence

VOCABULARY = 32_000
SIZES = {
    # About as many parameters as the name says; on a processor reading them is most of what a token costs.
    "150m": {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12},
    "1b": {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16},
    "8b": {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32},
}


class NoDetokenizer:
    """The same text for every token: what is measured is the model."""

    def feed(self, token: int) -> str:
        return "."

    def finish(self) -> str:
        return ""


def build(size: str, device: str, dtype: str) -> Any:
    """Return a model with random weights."""
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        num_attention_heads=SIZES[size]["hidden_size"] // 64,
        num_key_value_heads=SIZES[size]["hidden_size"] // 256,
        eos_token_id=None,
        **SIZES[size],
    )
    torch.manual_seed(0)
    with torch.device(device):
        return AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype)).eval()


def burble(model: Any, prompts: list[list[int]], tokens: int) -> None:
    """All at once, on Burble's scheduler."""
    scheduler = Scheduler(model, len(prompts))
    scheduler.start()
    done = threading.Semaphore(0)

    def deliver(item: Any) -> None:
        if isinstance(item, End | Exception):
            done.release()

    for prompt in prompts:
        scheduler.submit(
            Sequence(
                prompt,
                Sampler(Sampling(temperature=0), prompt),
                AnswerText(NoDetokenizer()),  # type: ignore[arg-type]
                limit=tokens,
                end_tokens=frozenset(),
                deliver=deliver,
            )
        )
    for _ in prompts:
        done.acquire()
    scheduler.close()


def one_by_one(model: Any, prompts: list[list[int]], tokens: int) -> None:
    """`model.generate` for each prompt in turn, as a pipeline behind a lock does it."""
    for prompt in prompts:
        inputs = torch.tensor([prompt], device=model.device)
        model.generate(
            inputs,
            attention_mask=torch.ones_like(inputs),
            max_new_tokens=tokens,
            do_sample=False,
            pad_token_id=0,
        )


def library(model: Any, prompts: list[list[int]], tokens: int) -> None:
    """All at once, on the library's own manager for continuous batching."""
    manager = model.init_continuous_batching(
        generation_config=GenerationConfig(do_sample=False, eos_token_id=-1),
        continuous_batching_config=ContinuousBatchingConfig(num_blocks=256, max_batch_tokens=256),
    )
    manager.start()
    manager.add_requests(prompts, max_new_tokens=tokens, streaming=True)
    finished = 0
    while finished < len(prompts):
        result = manager.get_result(timeout=60)
        finished += result is not None and result.is_finished()
    manager.stop()


CONTENDERS: dict[str, Callable[[Any, list[list[int]], int], None]] = {
    "Burble": burble,
    "model.generate in turn": one_by_one,
    "the library's manager": library,
}
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--chats", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--tokens", type=int, default=64, help="that each answer has")
    parser.add_argument("--prompt", type=int, default=32, help="tokens that each prompt has")
    parser.add_argument("--rounds", type=int, default=3, help="in turns; the best of them counts")
    parser.add_argument("--size", choices=SIZES, default="150m")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--threads", type=int, help="of PyTorch")
    parser.add_argument(
        "--clock",
        choices=CLOCKS,
        default="wall",
        help="`processor` for a machine that has other things to do; with --threads 1",
    )
    parser.add_argument("--only", choices=CONTENDERS, nargs="+", default=list(CONTENDERS))
    options = parser.parse_args()

    if options.threads:
        torch.set_num_threads(options.threads)
    clock = CLOCKS[options.clock]
    model = build(options.size, options.device, options.dtype)
    chance = random.Random(0)
    prompts = [
        [chance.randrange(VOCABULARY) for _ in range(options.prompt)]
        for _ in range(max(options.chats))
    ]
    parameters = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    print(f"{parameters:.0f} million parameters, {options.dtype}, {options.device};", end=" ")
    print(
        f"prompts of {options.prompt} tokens, answers of {options.tokens}; tokens per second ({options.clock})"
    )
    print(f"best of {options.rounds} rounds, in turns")
    print(f"{'chats at once':24}" + "".join(f"{chats:>8}" for chats in options.chats))
    best = {name: dict.fromkeys(options.chats, 0.0) for name in options.only}
    for name in options.only:
        CONTENDERS[name](model, prompts[:1], 4)  # what is made once, the first time
    for _ in range(options.rounds):
        for chats in options.chats:
            for name in options.only:
                begin = clock()
                CONTENDERS[name](model, prompts[:chats], options.tokens)
                speed = chats * options.tokens / (clock() - begin)
                best[name][chats] = max(best[name][chats], speed)
    for name, speeds in best.items():
        print(f"{name:24}" + "".join(f"{speed:8.1f}" for speed in speeds.values()))


if __name__ == "__main__":
    main()
