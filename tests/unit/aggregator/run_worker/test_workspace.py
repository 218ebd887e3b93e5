"""Files between a run worker and its service."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from tests.blobs import named, put

from hanse.aggregator.run_worker.workspace import Workspace
from hanse.errors import StorageError, WorkflowError
from hanse.storage.blobs_file import FileBlobStore
from hanse.wire.tensors import open_file

SECRET = b"another party's"


@pytest.fixture
def blobs(tmp_path: Path) -> FileBlobStore:
    return FileBlobStore(tmp_path)


@pytest.fixture
def workspace(tmp_path: Path, blobs: FileBlobStore) -> Workspace:
    return Workspace(tmp_path / "runs" / "demo-1", blobs, max_bytes=1_000, algorithm="blake3")


class TestLending:
    @pytest.mark.parametrize("share", [False, True])
    def test_a_blob_is_shown_under_its_digest(
        self, workspace: Workspace, blobs: FileBlobStore, share: bool
    ) -> None:
        workspace.share = share

        name = workspace.lend(put(blobs, b"model"))

        assert (workspace.inbox / name).read_bytes() == b"model"

    def test_what_the_worker_does_to_a_copy_leaves_the_blob_alone(
        self, workspace: Workspace, blobs: FileBlobStore
    ) -> None:
        digest = put(blobs, b"model")
        place = workspace.inbox / workspace.lend(digest)

        place.chmod(0o600)
        place.write_bytes(b"other")

        blobs.verify(digest)

    def test_a_blob_is_linked_only_where_the_worker_cannot_reach_it(
        self, workspace: Workspace, blobs: FileBlobStore
    ) -> None:
        digest = put(blobs, b"model")
        workspace.share = True

        place = workspace.inbox / workspace.lend(digest)

        assert place.samefile(blobs.path(digest))

    def test_a_blob_is_copied_where_no_link_can_be_made(
        self, workspace: Workspace, blobs: FileBlobStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def link(_source: Path, _target: Path) -> None:
            raise OSError("another file system")

        monkeypatch.setattr("os.link", link)
        workspace.share = True

        name = workspace.lend(put(blobs, b"model"))

        assert (workspace.inbox / name).read_bytes() == b"model"

    def test_lending_twice_is_lending_once(self, workspace: Workspace, blobs: FileBlobStore) -> None:
        digest = put(blobs, b"model")

        assert workspace.lend(digest) == workspace.lend(digest)

    def test_what_was_lent_is_gone_when_it_is_cleared_and_the_blob_stays(
        self, workspace: Workspace, blobs: FileBlobStore
    ) -> None:
        digest = put(blobs, b"model")
        workspace.lend(digest)

        workspace.clear()

        assert list(workspace.inbox.iterdir()) == []
        assert blobs.has(digest)

    def test_a_full_disk_leaves_no_half_of_a_blob(
        self,
        workspace: Workspace,
        blobs: FileBlobStore,
        largest_file: Callable[[int], AbstractContextManager[None]],
    ) -> None:
        digest = put(blobs, bytes(5_000))

        with largest_file(1_000), pytest.raises(StorageError, match="cannot show"):
            workspace.lend(digest)

        assert (workspace.inbox / workspace.lend(digest)).stat().st_size == 5_000

    def test_tensors_of_the_service_are_shown_with_their_digest(self, workspace: Workspace) -> None:
        digest = workspace.show("sum.safetensors", {"w": np.ones(2, np.float32)})

        path = workspace.inbox / "sum.safetensors"
        assert digest == named(path.read_bytes())
        assert open_file(path)["w"].tolist() == [1.0, 1.0]


class TestTaking:
    def test_a_file_becomes_a_blob(self, workspace: Workspace, blobs: FileBlobStore) -> None:
        (workspace.outbox / "1.safetensors").write_bytes(b"model")

        digest = workspace.take("1.safetensors")

        assert blobs.path(digest).read_bytes() == b"model"
        assert workspace.taken == {digest}

    def test_a_file_that_the_worker_holds_open_cannot_change_the_blob(
        self, workspace: Workspace, blobs: FileBlobStore
    ) -> None:
        with (workspace.outbox / "1.safetensors").open("wb", buffering=0) as held:
            held.write(b"model")
            digest = workspace.take("1.safetensors")
            held.seek(0)
            held.write(b"other")

        blobs.verify(digest)

    def test_no_link_is_followed(self, workspace: Workspace, tmp_path: Path) -> None:
        (tmp_path / "secret").write_bytes(SECRET)
        (workspace.outbox / "1.safetensors").symlink_to(tmp_path / "secret")

        with pytest.raises(WorkflowError, match="is a link"):
            workspace.take("1.safetensors")

    def test_no_pipe_is_waited_for(self, workspace: Workspace) -> None:
        os.mkfifo(workspace.outbox / "1.safetensors")

        with pytest.raises(WorkflowError, match="that is not a file"):
            workspace.take("1.safetensors")

    def test_a_file_that_is_not_there_is_the_workflows_fault(self, workspace: Workspace) -> None:
        with pytest.raises(WorkflowError, match="did not write"):
            workspace.take("1.safetensors")

    def test_a_file_is_bounded(self, workspace: Workspace) -> None:
        with (workspace.outbox / "1.safetensors").open("wb") as file:
            file.truncate(1_001)  # takes no room on the disk, and would when copied

        with pytest.raises(WorkflowError, match="1001 bytes; the limit is 1000"):
            workspace.take("1.safetensors")


class TestMessages:
    def test_a_short_one_passes_as_it_is(self, workspace: Workspace) -> None:
        assert workspace.post({"ok": {}}) == {"ok": {}}

    def test_a_long_one_passes_as_a_file(self, workspace: Workspace) -> None:
        posted = workspace.post({"ok": {"answers": "x" * 600_000}})

        assert (workspace.inbox / posted["file"]).stat().st_size > 600_000


class TestLives:
    def test_each_has_folders_of_its_own(self, workspace: Workspace, blobs: FileBlobStore) -> None:
        directory = workspace.inbox.parents[1]

        later = Workspace(directory, blobs, max_bytes=1_000, algorithm="blake3")

        assert later.inbox != workspace.inbox
        assert not workspace.inbox.exists()

    def test_nothing_is_left_of_one_that_is_over(self, workspace: Workspace) -> None:
        (workspace.outbox / "cache").mkdir()
        (workspace.outbox / "cache" / "file").write_bytes(b"")

        workspace.delete()

        assert list(workspace.inbox.parents[1].iterdir()) == []


class TestSpare:
    """What was written for the worker is written over once it is taken back."""

    MEAN: ClassVar = {"w": np.ones(4, np.float32)}

    def test_a_sum_is_written_over_the_one_before(self, workspace: Workspace) -> None:
        workspace.show("sum-1.safetensors", self.MEAN)
        before = (workspace.inbox / "sum-1.safetensors").stat().st_ino
        workspace.clear()

        workspace.show("sum-2.safetensors", self.MEAN)

        assert (workspace.inbox / "sum-2.safetensors").stat().st_ino == before

    def test_one_that_the_worker_still_reads_stays_as_it_is(self, workspace: Workspace) -> None:
        workspace.show("sum-1.safetensors", self.MEAN)
        mapped = open_file(workspace.inbox / "sum-1.safetensors")
        workspace.clear()

        workspace.show("sum-2.safetensors", {"w": np.zeros(4, np.float32)})

        assert mapped["w"].tolist() == [1.0] * 4

    def test_what_is_taken_back_is_out_of_the_workers_sight(self, workspace: Workspace) -> None:
        workspace.show("sum-1.safetensors", self.MEAN)

        workspace.clear()

        assert list(workspace.inbox.iterdir()) == []

    def test_on_a_disk_that_is_nearly_full_nothing_is_kept(
        self, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        usage = shutil.disk_usage(workspace.inbox)._replace(free=300)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
        workspace.show("sum-1.safetensors", self.MEAN)
        (workspace.outbox / "model.safetensors").write_bytes(b"x" * 100)

        workspace.take("model.safetensors")
        workspace.clear()

        kept = [path for path in workspace.inbox.parent.rglob("*") if path.is_file()]
        assert kept == []
