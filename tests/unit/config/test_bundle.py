"""A plan's code, from blobs back to files."""

import stat
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from hanse.config.bundle import write_bundle
from hanse.core.plan.manifest import Manifest
from hanse.core.values.canonical import sha256
from hanse.errors import StorageError, TamperedError

Make = Callable[..., Manifest]

CODE = {"federation.py": b"from lib.net import learner\n", "lib/net.py": b"def learner(site): ...\n"}


@pytest.fixture
def blobs(tmp_path: Path) -> Callable[[str], Path]:
    folder = tmp_path / "blobs"
    folder.mkdir()
    for data in CODE.values():
        (folder / sha256(data)).write_bytes(data)
    return folder.joinpath


def test_every_file_is_written_where_the_plan_has_it(
    tmp_path: Path, manifest: Make, blobs: Callable[[str], Path]
) -> None:
    write_bundle(manifest(CODE), blobs, tmp_path / "code")

    assert {name: (tmp_path / "code" / name).read_bytes() for name in CODE} == CODE


def test_what_is_written_is_read_only(tmp_path: Path, manifest: Make, blobs: Callable[[str], Path]) -> None:
    write_bundle(manifest(CODE), blobs, tmp_path / "code")

    assert stat.S_IMODE((tmp_path / "code/lib/net.py").stat().st_mode) == 0o444


def test_writing_again_puts_right_what_was_changed(
    tmp_path: Path, manifest: Make, blobs: Callable[[str], Path]
) -> None:
    target, elsewhere = tmp_path / "code/federation.py", tmp_path / "elsewhere.py"
    elsewhere.write_text("mine")
    write_bundle(manifest(CODE), blobs, tmp_path / "code")
    target.unlink()
    target.symlink_to(elsewhere)

    write_bundle(manifest(CODE), blobs, tmp_path / "code")

    assert target.read_bytes() == CODE["federation.py"]
    assert not target.is_symlink()
    assert elsewhere.read_text() == "mine"


@pytest.mark.parametrize("damage", [b"", b"def learner(site): spy()\n", CODE["lib/net.py"] + b"\n"])
def test_a_blob_that_is_not_what_the_plan_names_is_not_written(
    tmp_path: Path, manifest: Make, blobs: Callable[[str], Path], damage: bytes
) -> None:
    blobs(sha256(CODE["lib/net.py"])).write_bytes(damage)

    with pytest.raises(TamperedError, match=r"lib/net\.py is not the file that the plan names"):
        write_bundle(manifest(CODE), blobs, tmp_path / "code")

    assert not (tmp_path / "code/lib/net.py").exists()


def test_a_link_does_not_lead_the_writer_out_of_the_folder(
    tmp_path: Path, manifest: Make, blobs: Callable[[str], Path]
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "code").mkdir()
    (tmp_path / "code/lib").symlink_to(outside)

    with pytest.raises(StorageError, match="leads out of"):
        write_bundle(manifest(CODE), blobs, tmp_path / "code")

    assert list(outside.iterdir()) == []


def test_a_file_in_the_place_of_a_folder_is_an_error_of_storage(
    tmp_path: Path, manifest: Make, blobs: Callable[[str], Path]
) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code/lib").write_text("")

    with pytest.raises(StorageError, match=r"cannot write .*lib/net\.py"):
        write_bundle(manifest(CODE), blobs, tmp_path / "code")


def test_a_blob_that_is_missing_is_an_error_of_storage(tmp_path: Path, manifest: Make) -> None:
    with pytest.raises(StorageError, match="cannot read"):
        write_bundle(manifest(CODE), (tmp_path / "nowhere").joinpath, tmp_path / "code")


def test_a_full_disk_is_told(
    tmp_path: Path,
    manifest: Make,
    blobs: Callable[[str], Path],
    largest_file: Callable[[int], AbstractContextManager[None]],
) -> None:
    with largest_file(10), pytest.raises(StorageError, match=r"cannot write .*federation\.py"):
        write_bundle(manifest(CODE), blobs, tmp_path / "code")
