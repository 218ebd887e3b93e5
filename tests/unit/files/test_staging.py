from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hanse.errors import StorageError
from hanse.files.staging import staged


def fail_after_writing(directory: Path, error: BaseException) -> None:
    with staged(directory) as stage:
        (stage / "notes").write_text("new")
        raise error


def test_what_was_staged_stands_in_the_directory_afterwards(tmp_path: Path) -> None:
    with staged(tmp_path / "site") as stage:
        (stage / "pki").mkdir()
        (stage / "pki" / "key").write_text("secret")
        (stage / "site.yaml").write_text("name: a")

    assert (tmp_path / "site" / "pki" / "key").read_text() == "secret"
    assert {path.name for path in (tmp_path / "site").iterdir()} == {"pki", "site.yaml"}


def test_what_goes_into_a_folder_that_is_there_comes_beside_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "pki").mkdir()
    (tmp_path / "pki" / "kept").write_text("mine")

    with staged(tmp_path) as stage:
        (stage / "pki").mkdir()
        (stage / "pki" / "key").write_text("secret")

    assert {path.name: path.read_text() for path in (tmp_path / "pki").iterdir()} == {
        "kept": "mine",
        "key": "secret",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["pki"]


@pytest.mark.parametrize("error", [ZeroDivisionError(), KeyboardInterrupt()])
def test_after_an_error_nothing_is_left(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)):
        fail_after_writing(tmp_path / "site", error)

    assert list(tmp_path.iterdir()) == []


def test_after_an_error_a_directory_that_was_there_is_as_before(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")

    with pytest.raises(ZeroDivisionError):
        fail_after_writing(tmp_path, ZeroDivisionError())

    assert list(tmp_path.iterdir()) == [tmp_path / "notes"]
    assert (tmp_path / "notes").read_text() == "mine"


def test_a_directory_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StorageError, match="cannot write in"), staged(tmp_path / "file" / "site"):
        pass


def test_what_a_killed_process_has_left_is_deleted_by_the_next_one(tmp_path: Path) -> None:
    killed = "import os, sys; from pathlib import Path; from hanse.files.staging import staged\n"
    killed += "with staged(Path(sys.argv[1])) as stage: (stage / 'key').write_text('secret'); os._exit(9)"
    assert subprocess.run([sys.executable, "-c", killed, tmp_path], check=False).returncode == 9
    assert [path.name[:5] for path in tmp_path.iterdir()] == [".new-"]

    with staged(tmp_path) as stage:
        (stage / "site.yaml").write_text("name: a")

    assert [path.name for path in tmp_path.iterdir()] == ["site.yaml"]


def test_what_another_process_is_writing_stays(tmp_path: Path) -> None:
    with staged(tmp_path) as first:
        (first / "notes").write_text("one")
        with staged(tmp_path) as second:
            (second / "more").write_text("two")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["more", "notes"]


def test_a_folder_of_the_user_stays(tmp_path: Path) -> None:
    (tmp_path / ".new-things").mkdir()

    with staged(tmp_path):
        pass

    assert [path.name for path in tmp_path.iterdir()] == [".new-things"]
