from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from pydantic import ValidationError

import backend
from backend.settings import PREFIX, Settings, misspelt_variables, read_settings

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| `?(BURBLE_\w+)`? \| ?(?:`(.*?)`)? ?\| (.+?) \|$", re.MULTILINE)


class Option(NamedTuple):
    """What a reader is told of an option: the variable, its default (empty: none), and its meaning."""

    name: str
    default: str
    meaning: str


def table() -> list[Option]:
    return [
        Option(
            PREFIX + name.upper(),
            default_text(field.default),
            field.description or "",
        )
        for name, field in Settings.model_fields.items()
    ]


def default_text(default: object) -> str:
    """Return a default as one writes it into the environment."""
    if isinstance(default, dict):
        return json.dumps(default)
    return "" if default in (None, ()) else str(default)


def readme_table() -> str:
    """Return the table as README.md has it."""
    rows = [
        f"| `{option.name}` | {f'`{option.default}`' if option.default else ''} | {option.meaning} |"
        for option in table()
    ]
    return "\n".join(["| Variable | Default | Meaning |", "| --- | --- | --- |", *rows]) + "\n"


def env_example() -> str:
    """Return `.env.example`: every option, commented out at its default."""
    head = (
        "# Copy this file to .env and change what you need; variables of the environment win.\n"
        "# What is commented out is the default.\n"
    )
    return head + "".join(
        f"\n# {option.meaning}\n# {option.name}={option.default}\n" for option in table()
    )


def load(env_file: Path | None = None) -> Settings:
    return Settings(_env_file=env_file)


# The table and its copies


def test_every_option_says_what_it_means() -> None:
    for option in table():
        assert option.meaning, option.name
        assert "|" not in option.meaning
        assert "\n" not in option.meaning


def test_the_defaults_are_those_of_the_design(no_environment: None) -> None:
    settings = load()
    assert settings.bind == "0.0.0.0:8000"
    assert (settings.workers, settings.dirty_workers, settings.dirty_timeout) == (2, 1, 60)
    assert (settings.dirty_graceful_timeout, settings.model) == (30, "simulated")
    assert (settings.max_running, settings.max_queued) == (None, 256)
    assert (settings.log_ttl, settings.log_max_mb) == (600, 256)
    assert (settings.max_generation_seconds, settings.resume_grace) == (600, 300)
    assert (settings.write_timeout, settings.keep_alive) == (60, 10)
    assert settings.max_prompt_chars == 100_000
    assert (settings.simulated_min_delay_ms, settings.simulated_max_delay_ms) == (30, 80)
    assert settings.simulated_reply_file is None


def test_the_readme_has_the_table() -> None:
    rows = [Option(*row) for row in ROW.findall((ROOT / "README.md").read_text(encoding="utf-8"))]
    assert rows == table(), f"README.md's table should be:\n\n{readme_table()}"


def test_env_example_lists_every_option() -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    assert text == env_example(), f".env.example should be:\n\n{env_example()}"


def test_env_example_sets_nothing_and_may_be_uncommented(
    no_environment: None, tmp_path: Path
) -> None:
    defaults = load()
    assert load(ROOT / ".env.example") == defaults
    uncommented = tmp_path / "env"
    uncommented.write_text(re.sub(r"^# (BURBLE_\w+=.)", r"\1", env_example(), flags=re.MULTILINE))
    assert load(uncommented) == defaults


# Where values come from


def test_env_file_changes_a_default_and_the_environment_wins(
    no_environment: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("BURBLE_MAX_QUEUED=7\nBURBLE_WORKERS=3\nOTHER=1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BURBLE_WORKERS", "4")
    settings = Settings()
    assert (settings.max_queued, settings.workers, settings.dirty_workers) == (7, 4, 1)


def test_what_a_stack_was_started_with_holds_until_it_is_read_again(
    no_environment: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(backend, "started_with", None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("BURBLE_MAX_QUEUED=7\nBURBLE_OPENAI_API_KEY=k\n")
    started = read_settings()
    for wrong in ("BURBLE_MAX_QUEUED=-1\n", "BURBLE_OPENAI_EXTRA={\n", "BURBLE_MODEL=simulatd\n"):
        (tmp_path / ".env").write_text(wrong)
        with pytest.raises(ValueError, match="BURBLE_"):
            read_settings()
        assert Settings() == started
    assert started.openai_api_key
    assert started.openai_api_key.get_secret_value() == "k"
    (tmp_path / ".env").write_text("BURBLE_MAX_QUEUED=8\n")
    assert Settings().max_queued == 7
    assert read_settings().max_queued == Settings().max_queued == 8


def test_an_empty_variable_means_the_default(
    no_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PREFIX + "WORKERS", "")
    monkeypatch.setenv(PREFIX + "BIND", "")
    settings = Settings()
    assert (settings.workers, settings.bind) == (2, "0.0.0.0:8000")


def test_a_misspelt_line_of_the_file_is_noticed_too(
    no_environment: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("BURBLE_WORKER=3\n")
    monkeypatch.chdir(tmp_path)
    assert misspelt_variables() == [
        "BURBLE_WORKER is no setting of Burble; did you mean BURBLE_WORKERS?"
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WORKERS", "two"),
        ("WORKERS", "0"),
        ("DIRTY_WORKERS", "-1"),
        ("DIRTY_TIMEOUT", "0"),
        ("DIRTY_TIMEOUT", "nan"),
        ("MAX_RUNNING", "0"),
        ("MAX_QUEUED", "-1"),
        ("LOG_MAX_MB", "0"),
        ("KEEP_ALIVE", "0"),
        ("MAX_PROMPT_CHARS", "1e5"),
        ("LOG_LEVEL", "loud"),
        ("SIMULATED_MIN_DELAY_MS", "100"),  # more than the longest
        ("MODEL", "simulate"),
        ("MODEL", "backend.models.simulated"),
        ("MODEL", "simulated/large"),
        ("MODEL", "simulated*0"),
        ("MODEL", "simulated,simulated*2"),
        ("MODEL", ","),
        ("MODEL", "openai/"),
        ("MODEL", "openai"),  # and no OPENAI_MODEL
        ("OPENAI_BASE_URL", "api.example.com"),
        ("OPENAI_EXTRA", "[1]"),
        ("TRANSFORMERS_DTYPE", "int3"),
    ],
)
def test_a_bad_value_is_refused_by_name(
    no_environment: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str
) -> None:
    monkeypatch.setenv(PREFIX + name, value)
    monkeypatch.chdir(tmp_path)  # where no `.env` lies
    monkeypatch.setattr(backend, "started_with", None)
    with pytest.raises(ValueError, match=f"{PREFIX}{name}"):
        read_settings()
    assert backend.started_with is None


# Which models are served


def test_models_are_separated_by_commas_and_each_may_have_its_own_number_of_workers(
    no_environment: None,
) -> None:
    assert load().models == (("simulated", 1),)
    settings = Settings(
        _env_file=None,
        dirty_workers=3,
        model="my.models:Small, openai/llama3.2:3b*2,transformers/org/name-8B,openai*10,",
        openai_model="gpt",
    )
    assert settings.models == (
        ("my.models:Small", 3),
        ("openai/llama3.2:3b", 2),
        ("transformers/org/name-8B", 3),
        ("openai", 10),
    )


def test_what_follows_the_slash_is_the_models_own_option(no_environment: None) -> None:
    settings = Settings(
        _env_file=None, model="openai,openai/b,transformers/org/name", openai_model="a"
    )
    assert settings.for_model("openai").openai_model == "a"
    assert settings.for_model("openai/b").openai_model == "b"
    assert settings.for_model("transformers/org/name").transformers_model == "org/name"
    assert settings.for_model("my.models:Small") == settings


def test_a_misspelt_model_is_told_the_right_one(no_environment: None) -> None:
    with pytest.raises(ValidationError, match="did you mean simulated"):
        Settings(_env_file=None, model="simulatd")


def test_a_key_is_never_shown(no_environment: None) -> None:
    settings = Settings(_env_file=None, openai_api_key="sk-secret")
    assert "sk-secret" not in repr(settings)
    with pytest.raises(ValidationError) as refused:
        Settings(_env_file=None, openai_api_key="sk-secret", model="simulatd")
    assert "sk-secret" not in str(refused.value)


def test_settings_do_not_change(no_environment: None) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load().workers = 3  # type: ignore[misc]


def test_a_misspelt_variable_is_noticed_and_the_right_one_named(
    no_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BURBLE_WORKERS", "2")
    monkeypatch.setenv("OTHER_WORKER", "2")
    assert misspelt_variables() == []
    monkeypatch.setenv("BURBLE_WORKER", "2")
    monkeypatch.setenv("BURBLE_QQQQQQQQQQQ", "2")
    nothing_like_it, near = misspelt_variables()
    assert nothing_like_it == "BURBLE_QQQQQQQQQQQ is no setting of Burble."
    assert near == "BURBLE_WORKER is no setting of Burble; did you mean BURBLE_WORKERS?"


# One machine, several stacks


def test_two_addresses_have_two_runtime_folders_in_the_temporary_folder(
    no_environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    binds = ["0.0.0.0:8000", "127.0.0.1:8000", "127.0.0.1:8001", "[::1]:8000", "unix:/a/b"]
    paths = {Settings(_env_file=None, bind=bind).runtime_path for bind in binds}
    assert len(paths) == len(binds)
    assert {path.parent for path in paths} == {tmp_path}


def test_a_runtime_folder_that_is_named_is_taken(no_environment: None, tmp_path: Path) -> None:
    assert Settings(_env_file=None, runtime_dir=tmp_path).runtime_path == tmp_path


def test_an_error_names_the_option_and_does_not_show_a_password(
    make_settings: Callable[..., Settings],
) -> None:
    with pytest.raises(ValidationError, match="openai_base_url") as raised:
        make_settings(openai_base_url="ada:secret@host")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("option", ["openai_base_url", "otlp_endpoint"])
@pytest.mark.parametrize(
    "value", ["localhost:8080/v1", "ftp://localhost", "http://", "//localhost"]
)
def test_a_web_address_without_its_scheme_is_refused_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, no_environment: None, option: str, value: str
) -> None:
    monkeypatch.setenv(PREFIX + option.upper(), value)
    with pytest.raises(ValueError) as raised:
        read_settings()
    assert (
        str(raised.value)
        == f"{PREFIX}{option.upper()}: must begin with http:// or https://, and a host"
    )
