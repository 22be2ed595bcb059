from __future__ import annotations

import logging
import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from backend import keys
from backend.keys import Keys, hash_of, parse
from backend.settings import Settings

A, B = hash_of("a"), hash_of("b")
MakeSettings = Callable[..., Settings]


# The list


def test_pairs_stand_on_lines_or_between_commas_with_remarks() -> None:
    text = f"\n# ours\nanna:{A}  # her phone\n , ben.2:{B},\n"
    assert parse(text) == ({A: "anna", B: "ben.2"}, [])


@pytest.mark.parametrize(
    "bad",
    ["anna", "anna:", f":{A}", f"an na:{A}", f"anna:{A[1:]}", f"anna:{A}0", f"anna:{A.upper()}", A],
)
def test_what_is_no_pair_is_told_by_its_number(bad: str) -> None:
    assert parse(f"ben:{B},{bad}") == ({B: "ben"}, [2])


def test_a_key_is_known_by_its_hash(make_settings: MakeSettings) -> None:
    settings = make_settings(api_keys=f"anna:{A},ben:{B}")
    assert settings.closed
    known = Keys(settings)
    assert known.hash_of("a") == A
    assert known.name_of(A) == "anna"
    for wrong in ("", "A", "c", A, "anna", "ä\ud800"):
        assert known.hash_of(wrong) is None
    assert known.name_of("") is None


def test_a_name_may_have_two_keys(make_settings: MakeSettings) -> None:
    known = Keys(make_settings(api_keys=f"anna:{A},anna:{B}"))
    assert known.name_of(A) == known.name_of(B) == "anna"


def test_without_a_list_none_is_wanted_and_an_empty_one_lets_nobody_in(
    make_settings: MakeSettings, tmp_path: Path
) -> None:
    assert not make_settings().closed
    empty = tmp_path / "keys"
    empty.touch()
    settings = make_settings(api_keys_file=empty)
    assert settings.closed
    known = Keys(settings)
    assert known.hash_of("a") is None


def test_a_file_counts_as_it_is_at_the_moment(
    make_settings: MakeSettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "keys"
    file.write_text(f"anna:{A}\n")
    known = Keys(make_settings(api_keys_file=file, api_keys=f"carl:{hash_of('c')}"))
    assert (known.name_of(A), known.name_of(B)) == ("anna", None)
    file.write_text(f"anna:{A}\nben:{B}\n")
    assert known.name_of(B) == "ben"
    with caplog.at_level(logging.ERROR):
        file.write_text(f"nonsense\nben:{B}\n")
        assert (known.name_of(A), known.name_of(B)) == (None, "ben")
        assert "at 1 is no NAME:HASH" in caplog.text
        assert "nonsense" not in caplog.text  # it may be a key that somebody took for its hash
        file.write_bytes(b"\xff")
        assert known.name_of(B) is None
    file.unlink()
    with caplog.at_level(logging.ERROR):
        assert known.name_of(B) is None
    assert "is not there" in caplog.text
    assert known.name_of(hash_of("c")) == "carl"


def test_a_key_that_is_changed_by_what_keeps_times_and_sizes_counts_no_more(
    make_settings: MakeSettings, tmp_path: Path
) -> None:
    file = tmp_path / "keys"
    file.write_text(f"anna:{A}\n")
    known = Keys(make_settings(api_keys_file=file))
    assert known.name_of(A) == "anna"
    before = file.stat()
    while file.stat().st_ctime_ns == before.st_ctime_ns:  # the file system's clock ticks slowly
        file.write_text(f"anna:{B}\n")
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (known.name_of(A), known.name_of(B)) == (None, "anna")


def test_a_file_that_could_not_be_opened_for_a_moment_is_tried_again(
    make_settings: MakeSettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "keys"
    file.write_text(f"anna:{A}\n")
    known = Keys(make_settings(api_keys_file=file))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))  # no more open files
    try:
        assert [known.name_of(A) for _ in range(3)] == [None] * 3
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert caplog.text.count(f"{file} cannot be read") == 1
    assert known.name_of(A) == "anna"


def test_what_other_editors_write_spoils_no_more_than_its_own_line(
    make_settings: MakeSettings, tmp_path: Path
) -> None:
    file = tmp_path / "keys"
    mark, latin = "\ufeff".encode(), "J\u00f6rg".encode("latin-1")
    file.write_bytes(b"%banna:%b # %b\r\n%b:%b" % (mark, A.encode(), latin, latin, B.encode()))
    known = Keys(make_settings(api_keys_file=file))
    assert (known.name_of(A), known.name_of(B)) == ("anna", None)


def test_a_process_that_lives_on_through_a_reload_learns_what_the_environment_holds_now(
    make_settings: MakeSettings,
) -> None:
    before = make_settings(api_keys=f"anna:{A},ben:{B}")
    keys.keep_copy(before)
    known = Keys(before)
    assert known.name_of(A) == "anna"
    keys.keep_copy(make_settings(api_keys=f"ben:{B}"))
    assert (known.name_of(A), known.name_of(B)) == (None, "ben")


def test_a_process_that_lives_on_through_a_reload_goes_by_the_file_that_counts_now(
    make_settings: MakeSettings, tmp_path: Path
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text(f"anna:{A}\nben:{B}\n")
    new.write_text(f"ben:{B}\n")
    before = make_settings(api_keys_file=old)
    keys.keep_copy(before)
    known = Keys(before)
    assert (known.name_of(A), known.name_of(B)) == ("anna", "ben")
    keys.keep_copy(make_settings(api_keys_file=new))
    assert (known.name_of(A), known.name_of(B)) == (None, "ben")
    new.write_text(f"anna:{A}\n")
    assert (known.name_of(A), known.name_of(B)) == ("anna", None)
    keys.keep_copy(make_settings(api_keys=f"ben:{B}"))  # and no file
    assert (known.name_of(A), known.name_of(B)) == (None, "ben")


def test_a_process_whose_folder_changes_still_finds_the_file(
    make_settings: MakeSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "keys").write_text(f"anna:{A}\n")
    monkeypatch.chdir(tmp_path)
    known = Keys(make_settings(api_keys_file=Path("keys")))
    monkeypatch.chdir("/")
    assert known.name_of(A) == "anna"


def test_keys_that_find_no_room_at_a_reload_count_for_whoever_begins_with_them(
    make_settings: MakeSettings, caplog: pytest.LogCaptureFixture
) -> None:
    keys.keep_copy(make_settings(api_keys=f"anna:{A}"))
    now = make_settings(api_keys=f"ben:{B}")
    (now.runtime_path / keys.COPY).with_suffix(".new").symlink_to("/dev/full")
    keys.keep_copy(now)
    assert "could not be written down" in caplog.text
    known = Keys(now)
    assert (known.name_of(A), known.name_of(B)) == (None, "ben")


# Before a start


@pytest.mark.parametrize(
    "bind",
    [
        "0.0.0.0:8000", "[::]:8000", ":8000", "192.0.2.7:80", "chat.example:80", "[::1]x:80",
        "unix:/run/burble.sock,0.0.0.0:8000", "127.0.0.1:80,192.0.2.7:80",
    ],
)  # fmt: skip
def test_a_real_model_that_others_could_use_without_a_key_is_not_served(
    make_settings: MakeSettings, bind: str
) -> None:
    with pytest.raises(ValueError) as refused:
        keys.check(make_settings(model="simulated,my.models:Mine", bind=bind))
    for said in (bind, "my.models:Mine", "just key", "BURBLE_ALLOW_ANONYMOUS=1", "127.0.0.1"):
        assert said in str(refused.value)


def test_nor_is_one_that_others_could_use_through_a_proxy(make_settings: MakeSettings) -> None:
    settings = make_settings(
        model="my.models:Mine", bind="127.0.0.1:8000", trusted_proxies="127.0.0.1"
    )
    with pytest.raises(ValueError, match="through a proxy"):
        keys.check(settings)


@pytest.mark.parametrize(
    "changed",
    [
        {"bind": "127.0.0.1:8000"},
        {"bind": "127.8.8.8:8000"},
        {"bind": "[::1]:8000"},
        {"bind": "localhost:8000"},
        {"bind": "unix:/run/burble.sock"},
        {"allow_anonymous": True},
        {"api_keys": f"anna:{A}"},
        {"model": "simulated*2"},
        {"model": "simulated", "trusted_proxies": "127.0.0.1"},
    ],
)
def test_a_stack_is_served_that_is_closed_or_meant_to_be_open(
    make_settings: MakeSettings, changed: dict[str, object]
) -> None:
    keys.check(make_settings(**{"model": "my.models:Mine", **changed}))


def test_a_list_that_is_broken_or_missing_is_told_before_a_start(
    make_settings: MakeSettings, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="BURBLE_API_KEYS: entry 2 is no NAME:HASH"):
        keys.check(make_settings(api_keys=f"anna:{A},burble_secret"))
    file = tmp_path / "keys"
    with pytest.raises(ValueError, match=r"BURBLE_API_KEYS_FILE: .* cannot be read"):
        keys.check(make_settings(api_keys_file=file))
    file.write_text("anna\n")
    with pytest.raises(ValueError, match=r"BURBLE_API_KEYS_FILE: entry 1 of .*/keys is no"):
        keys.check(make_settings(api_keys_file=file))


def test_a_stack_that_nobody_can_enter_says_so(make_settings: MakeSettings, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.touch()
    assert "nobody can come in" in keys.remark(make_settings(api_keys_file=file))
    file.write_text(f"anna:{A}")
    assert keys.remark(make_settings(api_keys_file=file)) == ""
    assert keys.remark(make_settings()) == ""


# Making one


def test_a_key_is_made_and_printed_once(
    no_environment: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)  # where no .env lies
    keys.main(["anna"])
    words = capsys.readouterr().out.split()
    key = next(word for word in words if word.startswith("burble_"))
    assert len(key) == len("burble_") + 43  # 32 bytes
    assert f"anna:{hash_of(key)}" in words


def test_a_key_goes_into_the_file_that_is_set(
    no_environment: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    make_settings: MakeSettings,
) -> None:
    file = tmp_path / "new" / "keys"
    monkeypatch.setenv("BURBLE_API_KEYS_FILE", str(file))
    made = {}
    for name in ("anna", "ben"):
        keys.main([name])
        out = capsys.readouterr().out
        made[name] = next(word for word in out.split() if word.startswith("burble_"))
        # As some editors leave it.
        file.write_bytes(file.read_bytes().rstrip(b"\n") + " # J\u00f6rg's".encode("latin-1"))
    assert file.stat().st_mode & 0o777 == 0o600
    known = Keys(make_settings(api_keys_file=file))
    assert {name: known.name_of(known.hash_of(key) or "") for name, key in made.items()} == {
        "anna": "anna",
        "ben": "ben",
    }


@pytest.mark.parametrize("name", ["", "a:b", "a b", "a,b", "#a", "ä", "a" * 65, "--help", "-h"])
def test_a_name_that_the_list_could_not_hold_or_that_asks_for_help_is_refused(name: str) -> None:
    with pytest.raises(SystemExit, match="A key has a name"):
        keys.main([name])


def test_a_file_that_cannot_be_written_to_gets_no_key_and_none_is_shown(
    no_environment: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("BURBLE_API_KEYS_FILE", str(tmp_path))  # a folder
    with pytest.raises(SystemExit, match="cannot be written to"):
        keys.main(["anna"])
    assert capsys.readouterr().out == ""
