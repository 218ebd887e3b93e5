"""Files to and from a worker that is not trusted."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from hanse.errors import DisclosureError
from hanse.files.handover import lend, open_foreign


def refuse(problem: str) -> DisclosureError:
    return DisclosureError(f"the update {problem}")


def test_a_file_of_a_worker_is_opened_with_its_size(tmp_path: Path) -> None:
    (tmp_path / "update").write_bytes(b"12345")

    file, size = open_foreign(tmp_path / "update", 5, refuse)

    with file:
        assert (file.read(), size) == (b"12345", 5)


def test_a_file_that_is_not_there_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_foreign(tmp_path / "update", 5, refuse)


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    (tmp_path / "update").write_bytes(b"123456")

    with pytest.raises(DisclosureError, match="the update has 6 bytes; the limit is 5"):
        open_foreign(tmp_path / "update", 5, refuse)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "update").symlink_to(tmp_path / "secret")

    with pytest.raises(DisclosureError, match="is a link"):
        open_foreign(tmp_path / "update", 100, refuse)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, make_socket], ids=["folder", "pipe", "socket"])
def test_what_is_not_a_file_is_refused_at_once(
    tmp_path: Path, make: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    make(Path("update"))

    with pytest.raises(DisclosureError, match="is not a file"):
        open_foreign(Path("update"), 100, refuse)


@pytest.mark.parametrize("link", [True, False])
def test_a_lent_file_is_another_name_or_a_copy(tmp_path: Path, link: bool) -> None:
    source, place = tmp_path / "model", tmp_path / "lent"
    source.write_bytes(b"model")

    lend(source, place, link=link)

    assert place.read_bytes() == b"model"
    assert place.samefile(source) == link


@pytest.mark.parametrize("link", [True, False])
def test_what_is_at_the_place_is_replaced(tmp_path: Path, link: bool) -> None:
    source, place = tmp_path / "model", tmp_path / "lent"
    source.write_bytes(b"model")
    place.write_bytes(b"something longer")

    lend(source, place, link=link)

    assert place.read_bytes() == b"model"


def test_a_file_system_without_links_gets_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", no_links)
    (tmp_path / "model").write_bytes(b"model")

    lend(tmp_path / "model", tmp_path / "lent")

    assert (tmp_path / "lent").read_bytes() == b"model"


def test_a_full_disk_leaves_no_half_of_a_copy(
    tmp_path: Path, largest_file: Callable[[int], AbstractContextManager[None]]
) -> None:
    (tmp_path / "model").write_bytes(bytes(100))

    with largest_file(10), pytest.raises(OSError, match="File too large"):
        lend(tmp_path / "model", tmp_path / "lent", link=False)

    assert [path.name for path in tmp_path.iterdir()] == ["model"]
