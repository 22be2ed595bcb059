"""The runtime folder, where the processes of one stack find each other: private, and named after the address."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

METRICS = "metrics"  # the folder in it that all processes count into


def private_folder(path: Path, variable: str = "BURBLE_RUNTIME_DIR") -> Path:
    """Create the folder, or check that it is ours and nobody else's to enter: it may lie in a shared `/tmp`.

    Raises `PermissionError` when it is not, and names the `variable` that says where it is.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.lstat()
    if (
        not stat.S_ISDIR(found.st_mode)
        or found.st_uid != os.getuid()
        or stat.S_IMODE(found.st_mode) & 0o077
    ):
        raise PermissionError(
            f"{path} must be a folder of this user with mode 0700; set {variable} to another"
        )
    return path


def remove_folder(path: Path) -> None:
    """Remove what a stack keeps in its folder, and the folder itself unless it holds something that is not ours."""
    for pattern in ("engine-*", "control.sock", "load-attempts-*", "api-keys*"):
        for file in path.glob(pattern):
            file.unlink(missing_ok=True)
    shutil.rmtree(path / METRICS, ignore_errors=True)
    if not any(path.iterdir()):
        try:
            path.rmdir()
        except OSError:
            pass  # systemd made it (RuntimeDirectory=), and nobody else may remove it
