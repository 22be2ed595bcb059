"""A wall clock that a test can set: Python runs this first in each process that has the folder on its path.

It goes as many seconds wrong as the file `clock` in the folder that SCRIPT_FOLDER names says, from one call to the
next. Clocks that nobody can set, as `time.monotonic`, go on as they are.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

_path = Path(os.environ.get("SCRIPT_FOLDER", "/"), "clock")
_real_time, _real_time_ns = time.time, time.time_ns


def _wrong_s() -> float:
    try:
        return float(_path.read_text() or 0)
    except FileNotFoundError:
        return 0


time.time = lambda: _real_time() + _wrong_s()
time.time_ns = lambda: _real_time_ns() + int(_wrong_s() * 1e9)
