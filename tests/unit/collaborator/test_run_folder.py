import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from tests.blobs import named
from tests.parties import signing_key
from tests.unit.collaborator.aggregators import Site

from hanse.collaborator.run_folder import RunFolder
from hanse.core.values.model_ref import ModelRef
from hanse.errors import DisclosureError, StorageError
from hanse.pki.statements import state
from hanse.wire.messages.sites import PLAN_ANSWER, PlanAnswer, UpdateFile

LargestFile = Callable[[int], AbstractContextManager[None]]

DATA = b"an update"
A, B, M = (ModelRef(name * 64) for name in ("a", "b", "c"))
UPDATE = UpdateFile(digest=named(DATA), size=len(DATA))


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "demo-1")


def test_what_a_worker_changes_later_does_not_change_what_was_taken_over(folder: RunFolder) -> None:
    folder.written.write_bytes(DATA)
    with folder.written.open("r+b") as kept_open:
        assert folder.take_over(1, 100, "blake3") == UPDATE
        kept_open.write(b"SECRETS!!")

    assert folder.outgoing(1).read_bytes() == DATA
    assert folder.holds(1, UPDATE)


def test_what_is_masked_is_taken_over_without_a_digest(folder: RunFolder) -> None:
    assert folder.take_over_to_mask(1, 100) is None

    folder.written.write_bytes(DATA)
    with folder.written.open("r+b") as kept_open:
        assert folder.take_over_to_mask(1, 100) == len(DATA)
        kept_open.write(b"SECRETS!!")

    assert folder.outgoing(1).read_bytes() == DATA
    with pytest.raises(DisclosureError):
        folder.take_over_to_mask(2, 8)


@pytest.mark.parametrize("lost", [("in",), ("outcomes",), ("work",), ("in", "outcomes")], ids="+".join)
def test_an_empty_folder_that_a_copy_has_lost_is_made_again(
    folder: RunFolder, tmp_path: Path, lost: tuple[str, ...]
) -> None:
    for name in lost:
        (tmp_path / "demo-1" / name).rmdir()

    again = RunFolder(tmp_path / "demo-1")

    again.clear()
    again.written.write_bytes(DATA)
    assert again.take_over(1, 100, "blake3") == UPDATE
    (tmp_path / "blob").write_bytes(DATA)
    again.show(ModelRef(UPDATE.digest), tmp_path / "blob")
    assert again.model(ModelRef(UPDATE.digest)).read_bytes() == DATA
    for name in lost:
        assert (tmp_path / "demo-1" / name).stat().st_mode & 0o777 == 0o700


def test_nothing_is_taken_over_where_nothing_was_written(folder: RunFolder) -> None:
    assert folder.take_over(1, 100, "blake3") is None
    assert folder.holds(1, None)
    assert not folder.holds(1, UPDATE)


def test_a_link_to_a_file_of_the_site_is_not_followed(folder: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "patients.csv").write_text("Jane Doe")
    folder.written.symlink_to(tmp_path / "patients.csv")

    with pytest.raises(DisclosureError, match="is a link"):
        folder.take_over(1, 100, "blake3")


def test_what_is_no_file_is_not_waited_for(folder: RunFolder) -> None:
    os.mkfifo(folder.written)

    with pytest.raises(DisclosureError, match="is not a file"):
        folder.take_over(1, 100, "blake3")


def test_more_than_permitted_is_not_even_copied(folder: RunFolder) -> None:
    folder.written.write_bytes(DATA)

    with pytest.raises(DisclosureError, match="9 bytes; the limit is 8"):
        folder.take_over(1, 8, "blake3")
    assert not folder.outgoing(1).exists()


def test_an_update_that_lost_bytes_in_a_crash_is_not_whole(folder: RunFolder) -> None:
    folder.written.write_bytes(DATA)
    folder.take_over(1, 100, "blake3")
    os.truncate(folder.outgoing(1), 3)

    assert not folder.holds(1, UPDATE)


def test_an_update_is_dropped_with_its_copy(folder: RunFolder) -> None:
    folder.written.write_bytes(DATA)
    folder.take_over(1, 100, "blake3")

    folder.drop_update(1)

    assert not folder.written.exists()
    assert not folder.outgoing(1).exists()


def test_an_update_is_copied_over_one_that_was_dropped(folder: RunFolder) -> None:
    folder.written.write_bytes(b"a longer update than the next")
    folder.take_over(1, 100, "blake3")
    inode = folder.outgoing(1).stat().st_ino
    folder.drop_update(1)

    folder.written.write_bytes(DATA)
    assert folder.take_over(2, 100, "blake3") == UPDATE

    assert folder.outgoing(2).read_bytes() == DATA
    assert folder.outgoing(2).stat().st_ino == inode


def test_nothing_is_left_of_updates_when_there_are_no_more(folder: RunFolder) -> None:
    folder.written.write_bytes(DATA)
    folder.take_over(1, 100, "blake3")
    folder.drop_update(1)

    folder.clear()

    assert [*folder.outgoing(1).parent.iterdir(), *folder.work.iterdir()] == []


def test_nothing_is_left_of_an_update_that_was_never_dropped(folder: RunFolder) -> None:
    folder.written.write_bytes(DATA)
    folder.take_over(1, 100, "blake3")

    folder.clear()

    assert [*folder.outgoing(1).parent.iterdir(), *folder.work.iterdir()] == []


def test_a_model_is_shown_without_a_copy(folder: RunFolder, tmp_path: Path) -> None:
    blob = tmp_path / "blob"
    blob.write_bytes(DATA)

    folder.show(M, blob)

    assert folder.model(M).samefile(blob)


def test_a_model_is_copied_where_links_cannot_be_made(
    folder: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    blob = tmp_path / "blob"
    blob.write_bytes(DATA)

    folder.show(M, blob)

    assert folder.model(M).read_bytes() == DATA


def test_what_earlier_tasks_left_is_deleted_but_not_what_the_next_needs(folder: RunFolder) -> None:
    for path in (folder.model(A), folder.model(B), folder.outgoing(1), folder.outgoing(2)):
        path.touch()

    folder.clear([B], 2)
    assert [folder.model(A).exists(), folder.model(B).exists()] == [False, True]
    assert [folder.outgoing(1).exists(), folder.outgoing(2).exists()] == [False, True]

    folder.clear()
    assert not folder.model(B).exists()
    assert not folder.outgoing(2).exists()


def test_a_model_that_a_power_failure_damaged_is_dropped(folder: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "whole").write_bytes(b"whole")
    (tmp_path / "damaged").write_bytes(b"dama")
    whole, damaged = named(b"whole"), named(b"damaged")
    folder.show(ModelRef(whole), tmp_path / "whole")
    folder.show(ModelRef(damaged), tmp_path / "damaged")

    folder.drop_damaged()

    assert [path.stem for path in folder.models.iterdir()] == [whole]


def test_an_outcome_is_kept_until_it_is_forgotten(folder: RunFolder, site: Site) -> None:
    body = PlanAnswer(federation="north", site="a", plan_digest="0" * 64, accepted=True, decided_ms=1)
    statement = state(signing_key(site.credentials), PLAN_ANSWER, body)
    assert folder.outcome(1) is None

    folder.keep_outcome(1, statement)
    assert folder.outcome(1) == statement

    folder.forget_outcome(1)
    assert folder.outcome(1) is None


def test_an_outcome_for_which_there_is_no_room_leaves_nothing_behind(
    folder: RunFolder, site: Site, tmp_path: Path, largest_file: LargestFile
) -> None:
    body = PlanAnswer(federation="north", site="a", plan_digest="0" * 64, accepted=True, decided_ms=1)

    with largest_file(10), pytest.raises(StorageError, match="write"):
        folder.keep_outcome(1, state(signing_key(site.credentials), PLAN_ANSWER, body))

    assert list((tmp_path / "demo-1" / "outcomes").iterdir()) == []


def test_what_an_agent_was_writing_when_it_was_killed_goes_with_the_next_task(
    folder: RunFolder, tmp_path: Path
) -> None:
    for name in ("in/m.safetensors.part", "outcomes/1.json.part"):
        (tmp_path / "demo-1" / name).touch()

    folder.clear((), 2)

    assert list(tmp_path.rglob("*.part")) == []


def test_a_damaged_outcome_counts_as_none(folder: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "demo-1" / "outcomes" / "1.json").write_text("{")

    assert folder.outcome(1) is None
