"""The `transformers` backend: a local model, through Hugging Face's libraries.

Everything here needs the extra of the same name; nothing else in Burble imports PyTorch.
"""

try:
    import accelerate  # noqa: F401  # which the library needs to load onto a device
    import torch  # noqa: F401
    import transformers  # noqa: F401
except ImportError as error:
    raise ImportError(
        "BURBLE_MODEL=transformers needs the extra: uv run --extra transformers just up"
    ) from error

from backend.models.local.model import TransformersModel

__all__ = ["TransformersModel"]
