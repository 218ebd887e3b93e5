import os
import subprocess
import sys
from pathlib import Path

import pytest

from hanse.errors import StorageError
from hanse.files.lock import DirectoryLock, held_since

HOLD = """
import sys
from pathlib import Path
from hanse.files.lock import DirectoryLock
lock = DirectoryLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_holder_is_told_who_the_first_is(tmp_path: Path) -> None:
    expected = rf"another aggregator \(pid {os.getpid()}\) is using {tmp_path}\. End it first"
    with DirectoryLock(tmp_path), pytest.raises(StorageError, match=expected):
        DirectoryLock(tmp_path)


def test_the_message_says_what_holds_it(tmp_path: Path) -> None:
    with DirectoryLock(tmp_path), pytest.raises(StorageError, match=r"another collaborator .* is using"):
        DirectoryLock(tmp_path, holder="collaborator")


def test_the_remedy_is_the_second_holders_own_where_it_has_one(tmp_path: Path) -> None:
    with DirectoryLock(tmp_path), pytest.raises(StorageError) as refused:
        DirectoryLock(tmp_path, mend="Stop the agent first.")

    assert refused.value.mend == "Stop the agent first."


def test_a_released_directory_can_be_held_again(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path)
    lock.release()
    lock.release()

    with DirectoryLock(tmp_path):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StorageError, match=rf"pid {holder.pid}\)"):
            DirectoryLock(tmp_path)
        holder.kill()

    DirectoryLock(tmp_path).release()


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot lock .*nowhere.*\. Check the path"):
        DirectoryLock(tmp_path / "nowhere")


def test_since_when_a_directory_is_held_is_known_to_others(tmp_path: Path) -> None:
    assert held_since(tmp_path) is None
    with DirectoryLock(tmp_path):
        assert held_since(tmp_path) == (tmp_path / "lock").stat().st_mtime
    assert held_since(tmp_path) is None
