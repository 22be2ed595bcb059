from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import pytest

from backend.models import load_model
from backend.settings import Settings


@pytest.mark.anyio
@pytest.mark.skipif(bool(find_spec("torch")), reason="the extra is there")
async def test_without_its_extra_a_local_model_says_what_to_install(
    make_settings: Callable[..., Settings],
) -> None:
    settings = make_settings(model="transformers/some/model")
    with pytest.raises(ImportError, match="uv run --extra transformers just up"):
        await load_model("transformers/some/model", settings)
