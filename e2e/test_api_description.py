"""What the description of the API says is true: what is sent by it is answered by it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from backend.keys import hash_of
from e2e.stack import Stack, http_client

KEY = "burble_" + "a" * 43

# What no JSON Schema says of a body, such as that the last message is the user's, may still be refused: as documented.
CONFIG = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "400", "404", "422", "429", "5xx"]
"""
# For each address and method, beside the cases that follow from the schema by themselves.
EXAMPLES = 20


@pytest.mark.long
def test_schemathesis_finds_nothing(start_stack: Callable[..., Stack], tmp_path: Path) -> None:
    stack = start_stack(
        model="simulated",
        simulated_min_delay_ms=0,
        simulated_max_delay_ms=0,
        api_keys=f"anna:{hash_of(KEY)}",
    )
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run"]
    command += [f"{stack.url}/openapi.json", "--seed=1", f"--max-examples={EXAMPLES}"]
    command += [f"--header=Authorization: Bearer {KEY}"]
    command += ["--exclude-checks=ignored_auth"]  # wrong keys, of which the sixth would end it all
    command += ["--no-color", "--continue-on-failure", "--request-timeout=30"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Traceback" not in stack.log()
    answer = http_client.get(stack.url + "/models", headers={"Authorization": f"Bearer {KEY}"})
    assert answer.status_code == 200, "the key was locked out, and nothing was tried"
