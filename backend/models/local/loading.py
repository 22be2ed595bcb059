"""Loads a model and its tokenizer as the settings say, and refuses what cannot work before it costs anything."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig
from transformers.utils.logging import disable_progress_bar

from backend.settings import Settings

# Unset: more than most chats need, and little enough that the memory for it does not surprise.
DEFAULT_CONTEXT = 8192


class Loaded(NamedTuple):
    """What a model consists of; `context` is what it can read and write together, in tokens."""

    model: Any
    tokenizer: Any
    context: int


def load(settings: Settings) -> Loaded:
    """Load the model and its tokenizer. Raises `ValueError` or `OSError` with a sentence for the operator."""
    disable_progress_bar()  # it would fill the log
    name = str(settings.transformers_model)
    if name.startswith(("/", ".", "~")) and not Path(name).expanduser().is_dir():
        raise FileNotFoundError(f"there is no folder {name} to load a model from")
    if Path(name).expanduser().is_dir():
        name = str(Path(name).expanduser())
    device = _device(settings.transformers_device)
    config = AutoConfig.from_pretrained(name)
    context = _context(config.get_text_config(decoder=True), settings.transformers_max_context)
    tokenizer = AutoTokenizer.from_pretrained(name)
    dtype = settings.transformers_dtype
    if dtype == "auto":
        computing = getattr(config.get_text_config(decoder=True), "dtype", None) or torch.float32
    else:
        computing = getattr(torch, dtype)
    model = AutoModelForCausalLM.from_pretrained(
        name,
        config=config,
        dtype=dtype,
        device_map={"": device},
        quantization_config=_quantization(settings.transformers_quantization, computing),
    )
    return Loaded(model.eval(), tokenizer, context)


def _device(name: str) -> str:
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"transformers_device: PyTorch knows no device {name!r}") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"transformers_device is {name}, but PyTorch sees no GPU")
    return name


def _context(config: Any, wanted: int | None) -> int:
    """Return how many tokens a chat may have."""
    most = getattr(config, "max_position_embeddings", None)
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type") in ("dynamic", "longrope"):
        # Beyond its original length such a model changes the positions of all rows when one of them grows.
        most = rope.get("original_max_position_embeddings") or most
    if most is None:
        return wanted or DEFAULT_CONTEXT
    if wanted and wanted > most:
        raise ValueError(
            f"transformers_max_context is {wanted:,}, but the model reads and writes at most {most:,} tokens"
        )
    return int(wanted or min(most, DEFAULT_CONTEXT))


def _quantization(kind: str | None, dtype: Any) -> Any:
    """Return what makes the library quantize the weights while it loads them.

    By bitsandbytes, which has both kinds, on CPU as on CUDA. (torchao 0.18 has no 4 bits without kernels for GPUs.)
    """
    if kind is None:
        return None
    if find_spec("bitsandbytes") is None:
        raise ImportError(
            f"transformers_quantization={kind} needs one more extra: "
            "uv run --extra transformers --extra quantization just up"
        )
    if kind == "int8":
        # It tells in every step and for every layer that it computes in half precision.
        logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype
    )
