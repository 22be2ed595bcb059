from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest
from pydantic import ValidationError

from backend.settings import PREFIX, Settings, misspelt_variables

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
            "" if field.default is None else str(field.default),
            field.description or "",
        )
        for name, field in Settings.model_fields.items()
    ]


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
    ],
)
def test_a_bad_value_is_refused_by_name(
    no_environment: None, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(ValidationError, match=name.lower()):
        load()


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
