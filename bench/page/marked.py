"""The `marked` library, from the package registry that npm is configured for. Nothing but this benchmark uses it."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

VERSION = "18.2.1"
CACHE = Path(__file__).resolve().parents[2] / ".cache" / "bench"
MODULE = "package/lib/marked.esm.js"


class MarkedUnavailable(Exception):
    """There is no npm, or its registry does not give the package; the message says which."""


def module() -> Path:
    """Return the file of the library's module, from the last run where there was one."""
    path = CACHE / f"marked-{VERSION}.js"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_fetch())
    return path


def _fetch() -> bytes:
    command = ["npm", "pack", "--silent", f"marked@{VERSION}"]
    try:
        done = subprocess.run(command, cwd=CACHE, capture_output=True, text=True, check=True)
    except FileNotFoundError as error:
        raise MarkedUnavailable("there is no npm to fetch it with") from error
    except subprocess.CalledProcessError as error:
        reason = error.stderr.strip().partition("\n")[0]
        raise MarkedUnavailable(f"npm did not fetch it: {reason}") from error
    archive = CACHE / done.stdout.strip()
    try:
        with tarfile.open(fileobj=io.BytesIO(archive.read_bytes())) as package:
            module = package.extractfile(MODULE)
            assert module
            return module.read()
    finally:
        archive.unlink()
