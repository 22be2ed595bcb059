from __future__ import annotations

from pathlib import Path

import pytest

from backend.runtime import METRICS, private_folder, remove_folder


def test_the_folder_is_made_for_this_user_alone(tmp_path: Path) -> None:
    folder = private_folder(tmp_path / "run")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert private_folder(folder) == folder


def test_a_folder_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o755)
    with pytest.raises(PermissionError, match="BURBLE_RUNTIME_DIR"):
        private_folder(tmp_path / "run")


def test_a_link_to_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "run").symlink_to(tmp_path / "real")
    with pytest.raises(PermissionError):
        private_folder(tmp_path / "run")


def test_a_stack_removes_what_is_its_own_and_nothing_else(tmp_path: Path) -> None:
    folder = private_folder(tmp_path / "run")
    for name in ("engine-0123abcd.sock", "control.sock", "load-attempts-0123abcd"):
        (folder / name).touch()
    private_folder(folder / METRICS)
    (folder / METRICS / "counter_1.db").touch()
    (folder / "api-keys.new").touch()
    (folder / "letter.txt").touch()
    remove_folder(folder)
    assert [file.name for file in folder.iterdir()] == ["letter.txt"]
    (folder / "letter.txt").unlink()
    remove_folder(folder)
    assert not folder.exists()
