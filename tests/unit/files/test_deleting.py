import errno
import os
from pathlib import Path
from typing import Any

import pytest

from hanse.files.deleting import delete_tree, empty_folder


def deep(folder: Path, levels: int = 1_100, name: str = "d" * 20) -> None:
    """Make folders in folders, more than a function can call itself, and too many for a path to name."""
    folder.mkdir()
    here = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)


def test_a_folder_is_deleted_with_all_that_is_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "file").touch()
    (folder / "file").touch()

    delete_tree(folder)

    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_emptied_stays(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)

    empty_folder(tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_a_folder_deeper_than_a_path_can_say_is_deleted(tmp_path: Path) -> None:
    deep(tmp_path / "folder")

    delete_tree(tmp_path / "folder")

    assert list(tmp_path.iterdir()) == []


def test_folders_whose_names_are_too_long_for_a_path_are_deleted(tmp_path: Path) -> None:
    deep(tmp_path / "folder", levels=40, name="d" * 255)

    empty_folder(tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_a_folder_whose_own_path_is_long_is_emptied(tmp_path: Path) -> None:
    folder = tmp_path
    while len(os.fspath(folder)) < 3_900:
        folder = folder / ("d" * 100)
    folder.mkdir(parents=True)
    deep(folder / "a", levels=5, name="e" * 255)

    empty_folder(folder)

    assert list(folder.iterdir()) == []


def test_what_had_no_room_to_be_moved_is_deleted_once_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename, refused = os.rename, []

    def full_at_first(*arguments: Any, **folders: int) -> None:
        if not refused:
            refused.append(arguments)
            raise OSError(errno.ENOSPC, "No space left on device")
        rename(*arguments, **folders)

    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    (tmp_path / "a" / "file").touch()
    (tmp_path / "other").touch()
    monkeypatch.setattr(os, "rename", full_at_first)

    empty_folder(tmp_path)

    assert refused
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_deleted_stays_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: int) -> None:
        raise PermissionError

    (tmp_path / "a").mkdir()
    (tmp_path / "file").touch()
    monkeypatch.setattr(os, "rmdir", refuse)

    empty_folder(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_links_are_deleted_and_what_they_lead_to_stays(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to("../kept")
    (tmp_path / "link").symlink_to("kept")

    delete_tree(tmp_path / "folder")
    delete_tree(tmp_path / "link")

    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept" / "file").exists()


def test_folders_that_nobody_may_read_or_change_are_deleted(tmp_path: Path) -> None:
    inner = tmp_path / "folder" / "a" / "b"
    inner.mkdir(parents=True)
    for folder in (inner, inner.parent, tmp_path / "folder"):
        folder.chmod(0)

    delete_tree(tmp_path / "folder")

    assert list(tmp_path.iterdir()) == []


def test_what_is_not_there_is_no_error(tmp_path: Path) -> None:
    delete_tree(tmp_path / "absent")


def test_names_that_are_taken_are_no_obstacle(tmp_path: Path) -> None:
    for number in range(200):
        (tmp_path / "folder" / f"{number}" / "d" / f"{number}").mkdir(parents=True)

    delete_tree(tmp_path / "folder")

    assert list(tmp_path.iterdir()) == []
