"""Burble's back end: a thin HTTP side and, in `engine/`, what lives in the dirty worker."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

# The settings with which this stack was started, or reloaded last; `backend/settings.py` says what for. They stand here
# because this is the one module that `forget_modules` lets be.
started_with: dict[str, Any] | None = None

# What the code that runs now is about: `request_id`, `generation_id`, for the lines that it logs. It stands here for
# the same reason: the handlers of logs are older than the modules of a reload.
about: ContextVar[Mapping[str, str]] = ContextVar("about", default=MappingProxyType({}))


def forget_modules() -> None:
    """Make this process import the back end anew, from the files as they are now.

    Workers are forked from gunicorn's master and inherit what that has imported (this package's gunicorn worker and
    dirty app, and what they import), so without this a reload would go on with old code.
    """
    for name in [name for name in sys.modules if name.startswith("backend.")]:
        del sys.modules[name]
        globals().pop(name.split(".")[1], None)  # `from backend import x` looks here first
