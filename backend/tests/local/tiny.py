"""Tiny models and tokenizers, built with the libraries' own classes and saved as real ones are."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.trainers import BpeTrainer
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedTokenizerFast

# Where the tests run their models: `LOCAL_DEVICE=cuda just test-local` for what only a GPU shows.
DEVICE = os.environ.get("LOCAL_DEVICE", "cpu")

WORDS = "The quick brown fox jumps over the lazy dog. Привет, мир! 你好世界 👍🏽 "

# ChatML, with Qwen3's switch for thinking, and Gemma's rule that roles alternate.
TEMPLATE = """\
{%- for message in messages -%}
{%- if message.role != 'system' and (loop.index0 % 2 == 0) != (message.role == 'user') -%}
{{ raise_exception('Roles must alternate user/assistant.') }}
{%- endif -%}
{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor -%}
{{ '<|im_start|>assistant\\n' }}
{%- if enable_thinking is defined and enable_thinking %}{{ '<think>\\n' }}{% endif -%}
"""
PLAIN_TEMPLATE = TEMPLATE.partition("{%- if enable_thinking")[0]


@functools.cache
def byte_level() -> Tokenizer:
    """GPT-2's kind: each token is some bytes."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=320, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([WORDS] * 4, trainer)
    tokenizer.add_special_tokens(
        [AddedToken(text, special=True) for text in ("<|im_start|>", "<|im_end|>", "<|end|>")]
    )
    tokenizer.add_tokens([AddedToken("<think>"), AddedToken("</think>")])
    return tokenizer


@functools.cache
def byte_fallback() -> Tokenizer:
    """Llama's kind: words begin with `▁`, and characters that no token has are bytes."""
    letters = ["▁", *sorted(set(WORDS) - set(" 👍🏽世界"))]
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *letters]
    tokenizer = Tokenizer(
        models.BPE(
            {piece: number for number, piece in enumerate([*pieces, "▁T", "▁q"])},
            [("▁", "T"), ("▁", "q")],
            unk_token="<unk>",
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in ("<s>", "</s>")])
    return tokenizer


@functools.cache
def word_pieces() -> Tokenizer:
    """BERT's kind, whose tokens are not bytes: `##` glues a token to the one before."""
    vocabulary = ["[UNK]", "the", "quick", "bro", "##wn", "fox", "##es", "мир", "##ный", "."]
    tokenizer = Tokenizer(
        models.WordPiece(
            {word: number for number, word in enumerate(vocabulary)}, unk_token="[UNK]"
        )
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.WordPiece(cleanup=False)
    return tokenizer


def wrap(tokenizer: Tokenizer, template: str | None = TEMPLATE) -> Any:
    """Return the library's tokenizer around one of `tokenizers`."""
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(tokenizer.to_str()),
        eos_token="<|im_end|>" if tokenizer.token_to_id("<|im_end|>") else None,
    )
    wrapped.chat_template = template
    return wrapped


def model(kind: str = "llama", *, vocabulary: int = 330, seed: int = 0, **config: Any) -> Any:
    """Return a model of random weights, large enough for its choices to differ."""
    settings = {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
        **config,
    }
    torch.manual_seed(seed)
    built = AutoModelForCausalLM.from_config(
        CONFIG_MAPPING[kind](**{name: value for name, value in settings.items() if value != "none"})
    )
    with torch.no_grad():
        for parameter in built.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.25)
    return built.eval().to(DEVICE)


def save(
    folder: Path,
    *,
    kind: str = "llama",
    template: str | None = TEMPLATE,
    defaults: dict[str, Any] | None = None,
    **config: Any,
) -> Path:
    """Save a model and its tokenizer to a folder, as they come from the hub."""
    tokenizer = wrap(byte_level(), template)
    tokenizer.save_pretrained(folder)
    built = model(kind, vocabulary=len(tokenizer), **config)
    for name, value in (defaults or {}).items():
        setattr(built.generation_config, name, value)
    built.save_pretrained(folder)
    return folder
