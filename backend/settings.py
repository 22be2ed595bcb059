"""Every option of Burble: its name, default, unit and meaning, in one table.

An option `max_queued` is set by the environment variable `BURBLE_MAX_QUEUED` or by a line of that name in `.env`;
the environment wins. They are read when a stack starts and at each HUP (`read_settings`); a worker that is replaced in
between gets what the others have, whatever has become of `.env` meanwhile.
"""

from __future__ import annotations

import difflib
import os
import re
import tempfile
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from dotenv import dotenv_values
from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

import backend

PREFIX = "BURBLE_"
ENV_FILE = ".env"

# The models that Burble brings, and the option that says which one of its kind: what follows `openai/` in `model` takes
# the place of `openai_model`.
BUILT_IN_MODELS = {
    "simulated": None,
    "openai": "openai_model",
    "transformers": "transformers_model",
}
MODEL = re.compile(r"(?P<id>.+?)(?:\s*\*\s*(?P<workers>[1-9][0-9]*))?")


def _check_web_address(value: str) -> str:
    if not re.match(r"https?://[^/]", value):
        raise ValueError("must begin with http:// or https://, and a host")
    return value


WebAddress = Annotated[str, AfterValidator(_check_web_address)]


class ModelWorkers(NamedTuple):
    """One model that is served: the name that clients ask by, and how many dirty workers load it."""

    id: str
    workers: int


class Settings(BaseSettings):
    """The settings table. Raises pydantic's `ValidationError`, which names the option, for a bad value."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=ENV_FILE,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,  # a key, or an address with a password
    )

    bind: Annotated[str, StringConstraints(min_length=1)] = Field(
        "0.0.0.0:8000", description="address to listen on: host:port"
    )
    workers: int = Field(2, ge=1, description="HTTP worker processes")
    dirty_workers: int = Field(
        1, ge=1, description="dirty worker processes of each model; each loads it once"
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
        description="`simulated`, `openai`, `transformers`, or `package.module:ClassName` for a class of your own; "
        "several are separated by commas, and `*2` after one gives it two dirty workers",
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
        300,
        ge=0,
        description="seconds that a resumable generation goes on while nobody reads it; while others wait for its "
        "place, 30 at most",
    )
    write_timeout: float = Field(
        60,
        gt=0,
        description="seconds after which a client is dropped that takes nothing, or has not sent a whole request",
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
    openai_base_url: WebAddress = Field(
        "https://api.openai.com/v1",
        description="`openai`: where the server's API is, as its own documentation gives it",
    )
    openai_api_key: SecretStr | None = Field(
        None, description="`openai`: the key that the server wants, if any"
    )
    openai_api_key_file: Path | None = Field(
        None, description="`openai`: a file that holds the key, read when the model is loaded"
    )
    openai_model: str | None = Field(
        None,
        description="`openai`: the server's name of the model; `openai/NAME` in `BURBLE_MODEL` says the same",
    )
    openai_extra: dict[str, Any] = Field(
        {}, description="`openai`: more members of each request's body, as JSON; null takes one out"
    )
    openai_thinking: dict[str, Any] = Field(
        {"reasoning_effort": "medium"},
        description="`openai`: members that ask the server to think first, as JSON; sent with nothing else",
    )
    openai_inside_thinking: bool = Field(
        False,
        description="`openai`: answers begin inside the thinking, without a tag that opens it, as DeepSeek R1's do "
        "through a server that does not take the thinking out",
    )
    openai_context_tokens: int | None = Field(
        None,
        ge=1,
        description="`openai`: tokens that the model reads and writes together, so that the page can fit to it",
    )
    transformers_model: str | None = Field(
        None,
        description="`transformers`: the hub's name of a model, or a folder; `transformers/NAME` in `BURBLE_MODEL` "
        "says the same",
    )
    transformers_device: str = Field(
        "auto",
        description="`transformers`: `auto` (`cuda` where there is one, else `cpu`), or a device of PyTorch's",
    )
    transformers_dtype: Literal["auto", "float32", "float16", "bfloat16"] = Field(
        "auto", description="`transformers`: the type of the weights; `auto`: as they were saved"
    )
    transformers_quantization: Literal["int8", "int4"] | None = Field(
        None,
        description="`transformers`: `int8` or `int4` weights, which take less memory; needs the extra `quantization`",
    )
    transformers_max_context: int | None = Field(
        None,
        ge=16,
        description="`transformers`: tokens that one chat reads and writes together; unset: what the model can, "
        "at most 8,192",
    )
    api_keys: str | None = Field(
        None,
        description="keys that may come in, as `NAME:HASH` pairs separated by commas; `just key NAME` makes one. With "
        "none, here or in the file, everybody may",
    )
    api_keys_file: Path | None = Field(
        None,
        description="a file of such pairs, one on a line; a change counts at once, also in running answers",
    )
    session_hours: float = Field(
        168, gt=0, description="hours after which the page asks for the key again"
    )
    allow_anonymous: bool = Field(
        False,
        description="let everybody use a real model who reaches the address, without a key",
    )
    trusted_proxies: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = Field(
        (),
        description="addresses or networks, separated by commas, of the proxies in front; only they are believed what "
        "they say of the client's address and scheme (X-Forwarded-For, X-Forwarded-Proto)",
    )
    limit_requests_per_minute: int | None = Field(
        None,
        ge=1,
        description="questions a minute from one key, or one address where there are no keys; beyond it: 429",
    )
    limit_concurrent_generations: int | None = Field(
        None,
        ge=1,
        description="generations of one key, or address, that run or wait at once; beyond it: 429",
    )
    limit_tokens_per_day: int | None = Field(
        None,
        ge=1,
        description="tokens, read and written, of one key, or address, in 24 hours; once they are used up: 429",
    )
    state_dir: Path | None = Field(
        None,
        description="private folder of what outlives a restart: the counts of limits and the secret of sessions; "
        "unset: one in the user's state folder, named after `bind`",
    )
    runtime_dir: Path | None = Field(
        None,
        description="private folder of the engines' sockets; unset: one in the temporary folder, named after `bind`",
    )
    log_level: Literal["debug", "info", "warning", "error", "critical"] = Field(
        "info",
        description="least severe level that is logged: debug, info, warning, error, critical",
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="`text`, or `json`: an object on each line, and a line for each request"
    )
    otlp_endpoint: WebAddress | None = Field(
        None,
        description="where traces are sent, by OTLP over HTTP, as in http://localhost:4318; needs the extra `tracing`",
    )

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _split_networks(cls, value: object) -> object:
        if isinstance(value, str):
            return [network.strip() for network in value.split(",") if network.strip()]
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *others: PydanticBaseSettingsSource,
        **more: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what the stack was started with in the place of the environment and `.env`."""
        if backend.started_with is not None:
            return init_settings, InitSettingsSource(settings_cls, backend.started_with)
        return init_settings, *others, *more.values()

    @model_validator(mode="after")
    def _check_delays(self) -> Settings:
        if self.simulated_min_delay_ms > self.simulated_max_delay_ms:
            raise ValueError(
                "BURBLE_SIMULATED_MIN_DELAY_MS must not exceed BURBLE_SIMULATED_MAX_DELAY_MS"
            )
        return self

    @model_validator(mode="after")
    def _check_models(self) -> Settings:
        served = self.models
        if not served:
            raise ValueError("BURBLE_MODEL names no model")
        if len({model.id for model in served}) < len(served):
            raise ValueError("BURBLE_MODEL names a model twice")
        for model in served:
            name, slash, which = model.id.partition("/")
            if "*" in model.id:
                raise ValueError(
                    f"BURBLE_MODEL: {model.id} must end in a number, 1 or more, as in *2"
                )
            if name not in BUILT_IN_MODELS:
                if model.id.count(":") > 1:
                    raise ValueError(
                        f"BURBLE_MODEL: {model.id} has too many colons; a number of workers is written *2"
                    )
                if ":" not in model.id:
                    near = difflib.get_close_matches(name, BUILT_IN_MODELS, n=1)
                    raise ValueError(
                        f"BURBLE_MODEL: {model.id} is none of {', '.join(BUILT_IN_MODELS)}, package.module:ClassName"
                        + (f"; did you mean {near[0]}?" if near else "")
                    )
                continue
            option = BUILT_IN_MODELS[name]
            if slash and not (option and which):
                raise ValueError(
                    f"BURBLE_MODEL: {model.id} must be {name}" + ("/NAME" if option else "")
                )
            if option and not which and not getattr(self, option):
                raise ValueError(
                    f"{PREFIX}{option.upper()} must say which model, or BURBLE_MODEL, as in {name}/NAME"
                )
        return self

    @property
    def models(self) -> tuple[ModelWorkers, ...]:
        """The models that are served, the first of them to whoever names none."""
        found = [MODEL.fullmatch(name.strip()) for name in self.model.split(",")]
        return tuple(
            ModelWorkers(match["id"], int(match["workers"] or self.dirty_workers))
            for match in found
            if match
        )

    def for_model(self, model_id: str) -> Settings:
        """Return the table as this model sees it: `openai/NAME` has NAME for its `openai_model`."""
        name, _, which = model_id.partition("/")
        option = BUILT_IN_MODELS.get(name)
        return self.model_copy(update={option: which}) if option and which else self

    @property
    def closed(self) -> bool:
        """Whether a key is wanted of whoever comes."""
        return self.api_keys is not None or self.api_keys_file is not None

    @property
    def instance(self) -> str:
        """A name for this stack that no other stack on the machine has: it is derived from the bound address."""
        return "burble-" + "".join(
            char if char.isalnum() or char in ".-" else "_" for char in self.bind
        )

    @property
    def runtime_path(self) -> Path:
        """Where this stack keeps its sockets; the user's number keeps two users' stacks apart."""
        default = Path(tempfile.gettempdir(), f"{self.instance}-{os.getuid()}")
        return (self.runtime_dir or default).absolute()  # a model may change its process' folder

    @property
    def state_path(self) -> Path:
        """Where this stack keeps what outlives a restart (XDG Base Directory Specification: `XDG_STATE_HOME`)."""
        home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        return (self.state_dir or Path(home, "burble", self.instance)).absolute()


def read_settings() -> Settings:
    """Read the table, for this process and all that are forked from it from now on.

    Raises `ValueError` with a sentence for each value that is wrong; then all stays as it was.
    """
    before, backend.started_with = backend.started_with, None
    try:
        settings = Settings()
    except (ValidationError, SettingsError) as error:
        backend.started_with = before
        raise ValueError("\n".join(_sentences(error))) from None
    backend.started_with = settings.model_dump()
    return settings


def _sentences(error: ValidationError | SettingsError) -> list[str]:
    if isinstance(error, SettingsError):  # a value that is no JSON where it must be
        options = [name for name in Settings.model_fields if f'"{name}"' in str(error)]
        return [f"{PREFIX}{option.upper()} must be JSON" for option in options] or [str(error)]
    return [
        "".join(f"{PREFIX}{str(part).upper()}: " for part in found["loc"][:1])
        + found["msg"].removeprefix("Value error, ")
        for found in error.errors(include_input=False)
    ]


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
