"""Every option of Burble: its name, default, unit and meaning, in one table.

An option `max_queued` is set by the environment variable `BURBLE_MAX_QUEUED` or by a line of that name in `.env`;
the environment wins. `gunicorn_conf.py`, the HTTP workers and the dirty workers all read this table, each when it
starts, so a HUP takes up a changed `.env`.
"""

from __future__ import annotations

import difflib
import os
import tempfile
from pathlib import Path
from typing import Annotated

from dotenv import dotenv_values
from pydantic import Field, StringConstraints, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "BURBLE_"
ENV_FILE = ".env"


class Settings(BaseSettings):
    """The settings table. Raises pydantic's `ValidationError`, which names the option, for a bad value."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=ENV_FILE, env_ignore_empty=True, extra="ignore", frozen=True
    )

    bind: Annotated[str, StringConstraints(min_length=1)] = Field(
        "0.0.0.0:8000", description="address to listen on: host:port"
    )
    workers: int = Field(2, ge=1, description="HTTP worker processes")
    dirty_workers: int = Field(
        1, ge=1, description="dirty worker processes; each loads the model once"
    )
    dirty_timeout: float = Field(
        60,
        gt=0,
        description="seconds a generation may yield nothing before it fails with `timeout`",
    )
    dirty_graceful_timeout: float = Field(
        30,
        ge=1,
        description="seconds that running generations are given to finish when the server stops",
    )
    model: str = Field(
        "simulated",
        description="`simulated`, or `package.module:ClassName` for a model class of your own",
    )
    max_running: int | None = Field(
        None,
        ge=1,
        description="generations that run at once in one dirty worker; unset: what the model says (simulated: 2,000)",
    )
    max_queued: int = Field(
        256,
        ge=0,
        description="generations that wait for a place in one dirty worker; beyond it: 503",
    )
    max_generation_seconds: float = Field(
        600,
        gt=0,
        description='seconds after which a running generation ends with `finish_reason: "length"`',
    )
    max_prompt_chars: int = Field(
        100_000,
        ge=1,
        description="characters of the prompt, or of all messages together; beyond it: 422",
    )
    log_ttl: float = Field(
        600,
        ge=0,
        description="seconds that a finished generation can still be resumed or read again",
    )
    log_max_mb: float = Field(
        256,
        gt=0,
        description="MiB of all logs of one dirty worker together; the oldest finished go first",
    )
    resume_grace: float = Field(
        300, ge=0, description="seconds that a resumable generation goes on while nobody reads it"
    )
    write_timeout: float = Field(
        60, gt=0, description="seconds after which a client that takes nothing is dropped"
    )
    keep_alive: float = Field(
        10,
        gt=0,
        le=30,
        description="seconds of silence after which a stream carries a comment line",
    )
    simulated_min_delay_ms: float = Field(
        30, ge=0, description="simulated model: shortest pause before a word, in ms"
    )
    simulated_max_delay_ms: float = Field(
        80, ge=0, description="simulated model: longest pause before a word, in ms"
    )
    simulated_reply_file: Path | None = Field(
        None, description="simulated model: a text file whose content replaces every answer"
    )
    runtime_dir: Path | None = Field(
        None,
        description="private folder of the engines' sockets; unset: one in the temporary folder, named after `bind`",
    )
    log_level: Annotated[
        str, StringConstraints(pattern="^(debug|info|warning|error|critical)$")
    ] = Field(
        "info",
        description="least severe level that is logged: debug, info, warning, error, critical",
    )

    @model_validator(mode="after")
    def _check_delays(self) -> Settings:
        if self.simulated_min_delay_ms > self.simulated_max_delay_ms:
            raise ValueError("simulated_min_delay_ms must not exceed simulated_max_delay_ms")
        return self

    @property
    def instance(self) -> str:
        """A name for this stack that no other stack on the machine has: it is derived from the bound address."""
        return "burble-" + "".join(
            char if char.isalnum() or char in ".-" else "_" for char in self.bind
        )

    @property
    def runtime_path(self) -> Path:
        """Where this stack keeps its sockets; the user's number keeps two users' stacks apart."""
        return self.runtime_dir or Path(tempfile.gettempdir(), f"{self.instance}-{os.getuid()}")


def misspelt_variables() -> list[str]:
    """Say which `BURBLE_…` variables name no option, a sentence each: a typo must not pass in silence."""
    known = [PREFIX + name.upper() for name in Settings.model_fields]
    sentences = []
    for name in sorted({*os.environ, *dotenv_values(ENV_FILE)}):
        if name.startswith(PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            sentences.append(
                f"{name} is no setting of Burble" + (f"; did you mean {near[0]}?" if near else ".")
            )
    return sentences
