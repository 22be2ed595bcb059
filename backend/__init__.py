"""Burble's back end: a thin HTTP side and, in `engine/`, what lives in the dirty worker."""

from __future__ import annotations

import sys


def forget_modules() -> None:
    """Make this process import the back end anew, from the files as they are now.

    Workers are forked from gunicorn's master and inherit what that has imported (this package's gunicorn worker and
    dirty app, and what they import), so without this a reload would go on with old code.
    """
    for name in [name for name in sys.modules if name.startswith("backend.")]:
        del sys.modules[name]
        globals().pop(name.split(".")[1], None)  # `from backend import x` looks here first
