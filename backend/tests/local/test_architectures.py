"""In a batch every answer is, token by token, what the library's own `generate` makes of its prompt alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from backend.models.local.scheduler import Scheduler
from backend.tests.local import tiny
from backend.tests.local.run import Asked, generate, prompts, start

WINDOW = {"sliding_window": 8}
HEAD = {"head_dim": 8}
MOE = {"num_experts_per_tok": 2, "moe_intermediate_size": 16}

# What each is here for.
BATCHED: dict[str, dict[str, Any]] = {
    "llama": {},  # grouped queries, rotary positions
    "qwen2": {},
    "qwen3": {"head_dim": 16},
    "mistral": WINDOW,  # every layer has a window
    "gemma2": {**WINDOW, **HEAD},  # every other layer has one, and attention scores have a cap
    "gemma3_text": {**WINDOW, **HEAD},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 512},  # learned positions
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 32},  # positions from the mask
    "bloom": {"n_layer": 2, "n_head": 4},  # biases by distance
    "phi": {"num_key_value_heads": 4},  # rotary in part
    "olmo2": {},
    "gpt_oss": {**WINDOW, **HEAD, "num_local_experts": 4, "num_experts_per_tok": 2},  # sinks
    "mixtral": {**WINDOW, "num_local_experts": 4},  # experts
    "deepseek_v3": {
        **MOE, "num_key_value_heads": 4, "kv_lora_rank": 8, "q_lora_rank": 8, "qk_rope_head_dim": 8,
        "qk_nope_head_dim": 8, "v_head_dim": 12, "n_routed_experts": 4, "n_group": 1,
        "topk_group": 1, "first_k_dense_replace": 1,
    },  # keys and values of different sizes
}  # fmt: skip

ALONE: dict[str, dict[str, Any]] = {
    "mamba": {},
    "qwen3_next": {
        **MOE, "head_dim": 16, "linear_num_value_heads": 4, "linear_num_key_heads": 2,
        "linear_key_head_dim": 8, "linear_value_head_dim": 8, "num_experts": 4,
        "shared_expert_intermediate_size": 16, "num_hidden_layers": 4,
    },
    "llama4_text": {
        **HEAD, "num_local_experts": 2, "attention_chunk_size": 8, "intermediate_size_mlp": 64,
    },
}  # fmt: skip

LIBRARY_WARNINGS = [
    # gpt-oss's default stretching of positions does not fit a model this small.
    pytest.mark.filterwarnings("ignore::UserWarning:transformers.*"),
]
pytestmark = LIBRARY_WARNINGS


@pytest.mark.parametrize("fixed", [False, True], ids=["", "fixed"])
@pytest.mark.parametrize("kind", BATCHED)
def test_a_batch_of_rows_of_all_lengths_is_what_the_library_generates(
    kind: str, fixed: bool
) -> None:
    model = tiny.model(kind, **BATCHED[kind])
    scheduler = Scheduler(model, 4, 7, fixed)
    scheduler.check()
    scheduler.start()
    # More than there are rows, so that they join and leave in the middle of the others, short ones and long ones.
    asked = [
        Asked(prompt, limit)
        for prompt, limit in zip(prompts(9, [1, 2, 9, 23, 40]), [3, 25, 11] * 3, strict=True)
    ]
    for each in asked:
        scheduler.submit(each)
    for each in asked:
        each.wait()
    assert scheduler.batches
    if tiny.DEVICE == "cpu" or kind == "llama":  # not all can be recorded
        assert scheduler.fixed == fixed
    assert scheduler.cache_bytes == 0
    scheduler.close()
    for each in asked:
        assert each.tokens == generate(model, each.prompt, len(each.tokens))
    assert len({token for each in asked for token in each.tokens}) > 5  # it says something


@pytest.mark.parametrize("kind", ALONE)
def test_a_model_whose_state_cannot_be_aligned_runs_one_answer_at_a_time(kind: str) -> None:
    model = tiny.model(kind, **ALONE[kind])
    scheduler = start(model, rows=4)
    asked = [Asked(prompt, 12) for prompt in prompts(3, [1, 9, 23])]
    for each in asked:
        scheduler.submit(each)
    for each in asked:
        each.wait()
    assert scheduler.rows == 1
    scheduler.close()
    for each in asked:
        assert each.tokens == generate(model, each.prompt, 12)


def test_a_model_that_cannot_take_steps_of_a_fixed_shape_takes_others() -> None:
    model = tiny.model()

    def refuse(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        assert not kwargs["cache"].is_compileable

    model.register_forward_pre_hook(refuse, with_kwargs=True)
    scheduler = Scheduler(model, 4, fixed=True)
    scheduler.check()
    scheduler.start()
    asked = [Asked(prompt, 5) for prompt in prompts(3, [1, 9])]
    for each in asked:
        scheduler.submit(each)
    assert [each.wait().tokens for each in asked] == [
        generate(model, each.prompt, 5) for each in asked
    ]
    assert (scheduler.rows, scheduler.fixed) == (4, False)
    scheduler.close()


def test_a_model_that_does_not_heed_the_mask_runs_one_answer_at_a_time() -> None:
    model = tiny.model()
    scheduler = Scheduler(model, 4)
    scheduler.check()
    assert scheduler.rows == 4

    class Heedless(torch.nn.Module):  # type: ignore[misc]
        """It knows of no mask and no positions but those that the cache tells."""

        config, dtype = model.config, model.dtype

        def forward(self, input_ids: Any, cache: Any = None, use_cache: bool = True) -> Any:
            return model(input_ids, cache=cache, use_cache=use_cache)

        def get_input_embeddings(self) -> Any:
            return model.get_input_embeddings()

    scheduler = Scheduler(Heedless(), 4)
    scheduler.check()
    assert scheduler.rows == 1
    scheduler.start()
    asked = [Asked(prompt, 5) for prompt in prompts(3, [1, 9])]
    for each in asked:
        scheduler.submit(each)
    assert [each.wait().tokens for each in asked] == [
        generate(model, each.prompt, 5) for each in asked
    ]
    scheduler.close()
