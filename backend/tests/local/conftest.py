"""The tests of the local-model backend need its extra: without it they are left out (`just test-local` has it)."""

from __future__ import annotations

import os
from importlib.util import find_spec

EXTRA = ("accelerate", "torch", "transformers")
collect_ignore_glob = [] if all(map(find_spec, EXTRA)) else ["test_*.py"]

# For PyTorch, which reads it when it is imported: tiny models gain nothing by threads, and on a busy machine they wait
# for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
