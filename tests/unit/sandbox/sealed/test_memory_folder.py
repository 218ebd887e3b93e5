import os
from pathlib import Path

import pytest

from hanse.errors import ConfigError
from hanse.sandbox import namespaces
from hanse.sandbox.sealed import memory_folder
from hanse.sandbox.sealed.memory_folder import enter_memory_folder, is_memory_folder

SIZE = 1 << 20


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_folder, "_threads", lambda: 1)


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_folder, "_threads", lambda: 2)


class StartedAgainError(Exception):
    """Stands for the program that takes the place of this one."""


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    commands: list[list[str]] = []

    def execv(_: str, command: list[str]) -> None:
        commands.append(command)
        raise StartedAgainError

    monkeypatch.setattr(memory_folder.os, "execv", execv)
    return commands


def test_a_folder_of_a_disk_or_of_shared_memory_is_no_memory_folder(tmp_path: Path) -> None:
    assert not is_memory_folder(tmp_path)
    assert not is_memory_folder(Path("/dev/shm"))
    assert not is_memory_folder(tmp_path / "absent")


def test_a_folder_that_holds_files_is_not_hidden_below_a_memory_folder(tmp_path: Path) -> None:
    (tmp_path / "kept").touch()

    with pytest.raises(ConfigError, match="holds files already"):
        enter_memory_folder(tmp_path, SIZE)


def test_a_memory_folder_without_a_bound_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least"):
        enter_memory_folder(tmp_path, 0)


@pytest.mark.usefixtures("one_thread")
def test_a_machine_that_permits_no_mounts_is_told_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(namespaces, "separate_mounts", refuse)

    with pytest.raises(ConfigError, match=r"no mounts of its own \(Operation not permitted\).*CAP_SYS_ADMIN"):
        enter_memory_folder(tmp_path / "sealed", SIZE)


@pytest.mark.usefixtures("two_threads")
def test_a_process_with_threads_starts_its_command_again(tmp_path: Path, started: list[list[str]]) -> None:
    with pytest.raises(StartedAgainError):
        enter_memory_folder(tmp_path / "sealed", SIZE)

    assert str(tmp_path / "sealed") in started[0]


@pytest.mark.usefixtures("two_threads")
def test_a_process_that_was_started_again_is_not_started_a_second_time(
    tmp_path: Path, started: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANSE_MEMORY_FOLDER", f"{os.getpid()} nothing can be mounted")

    with pytest.raises(ConfigError, match="nothing can be mounted"):
        enter_memory_folder(tmp_path / "sealed", SIZE)
    assert started == []


@pytest.mark.usefixtures("two_threads")
def test_the_word_of_another_process_does_not_count(
    tmp_path: Path, started: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANSE_MEMORY_FOLDER", f"{os.getpid() + 1} nothing can be mounted")

    with pytest.raises(StartedAgainError):
        enter_memory_folder(tmp_path / "sealed", SIZE)
