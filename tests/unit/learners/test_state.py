"""Local state on disk."""

from pathlib import Path

import numpy as np
import pytest

from hanse.errors import StorageError, UpdateError
from hanse.learners.state import StateStore

STATE = {"optimizer": {"m": np.arange(3.0), "step": np.array(2)}, "personal/head": {}}


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_was_saved_is_read_back_to_the_bit(tmp_path: Path) -> None:
    StateStore(tmp_path / "state").save(4, 2, STATE)

    state = StateStore(tmp_path / "state").load(4)

    assert {group: dict(arrays) for group, arrays in state.items()}.keys() == STATE.keys()
    assert state["optimizer"]["m"].tobytes() == STATE["optimizer"]["m"].tobytes()
    assert (state["optimizer"]["step"].shape, state["optimizer"]["step"].dtype) == ((), np.int64)
    assert not state["optimizer"]["m"].flags.writeable


@pytest.mark.parametrize(
    ("counted", "found", "left"), [(0, None, []), (2, 2, [2]), (4, 2, [2]), (5, 5, [2, 5]), (9, 5, [2, 5])]
)
def test_what_did_not_count_is_dropped(tmp_path: Path, counted: int, found: int, left: list[int]) -> None:
    store = StateStore(tmp_path)
    for sequence in (2, 5):
        store.save(sequence, 1, STATE)

    assert store.roll_back(counted) == found
    assert [name for name in files(tmp_path) if name.endswith(".json")] == [f"state-{n}-1.json" for n in left]


def test_nothing_was_kept_of_a_run_that_has_just_begun(tmp_path: Path) -> None:
    assert StateStore(tmp_path / "none").roll_back(3) is None


def test_a_task_done_again_replaces_its_version(tmp_path: Path) -> None:
    store = StateStore(tmp_path)
    store.save(1, 1, STATE)
    store.save(1, 1, {"optimizer": {"m": np.zeros(1)}})

    assert store.load(1)["optimizer"]["m"].shape == (1,)


def test_only_the_last_two_rounds_are_kept(tmp_path: Path) -> None:
    store = StateStore(tmp_path)

    for sequence, round_number in enumerate([1, 1, 4, 4, 9, 9]):
        store.save(sequence, round_number, {"group": {"m": np.full(3, sequence)}})

    assert [name for name in files(tmp_path) if name.endswith(".json")] == [
        "state-2-4.json",
        "state-3-4.json",
        "state-4-9.json",
        "state-5-9.json",
    ]
    assert sum(name.endswith(".safetensors") for name in files(tmp_path)) == 4


def test_the_version_that_counts_outlasts_rounds_of_tasks_that_do_not(tmp_path: Path) -> None:
    store = StateStore(tmp_path)
    store.save(1, 1, {"group": {"m": np.ones(3)}})

    for round_number in range(2, 7):
        assert store.roll_back(1) == 1
        store.save(round_number, round_number, {"group": {"m": np.zeros(3)}}, started_from=1)

    assert store.load(1)["group"]["m"].tolist() == [1, 1, 1]
    assert [name for name in files(tmp_path) if name.endswith(".json")] == [
        "state-1-1.json",
        "state-6-6.json",
    ]


def test_a_group_that_does_not_change_is_kept_once(tmp_path: Path) -> None:
    store = StateStore(tmp_path)
    store.save(1, 1, {"group": {"m": np.ones(3)}})
    store.save(2, 1, {"group": {"m": np.ones(3)}})

    assert sum(name.endswith(".safetensors") for name in files(tmp_path)) == 1
    assert len(files(tmp_path)) == 3


def test_a_crash_amid_a_save_leaves_the_version_before(tmp_path: Path) -> None:
    store = StateStore(tmp_path)
    store.save(1, 1, STATE)
    (tmp_path / "state-2-1.json.part").write_text('{"optimi')
    (tmp_path / f"{'0' * 64}-blake3.safetensors.part").write_bytes(b"half")

    assert StateStore(tmp_path).roll_back(9) == 1


def test_what_a_crash_left_is_gone_after_the_next_save(tmp_path: Path) -> None:
    (tmp_path / "state-2-1.json.part").write_text('{"optimi')
    (tmp_path / f"{'0' * 64}-blake3.safetensors.part").write_bytes(b"half")

    StateStore(tmp_path).save(3, 1, STATE)

    assert not [name for name in files(tmp_path) if name.endswith(".part")]


def test_a_damaged_version_is_told_with_its_file(tmp_path: Path) -> None:
    store = StateStore(tmp_path)
    store.save(1, 1, STATE)
    (tmp_path / "state-1-1.json").write_text("{")

    with pytest.raises(StorageError, match=r"state-1-1\.json is damaged"):
        store.load(1)


def test_damaged_tensors_are_told_with_their_file(tmp_path: Path) -> None:
    store = StateStore(tmp_path)
    store.save(1, 1, {"group": {"m": np.ones(3)}})
    path = next(tmp_path.glob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:-1])

    with pytest.raises(UpdateError, match=path.name):
        store.load(1)


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StorageError, match="cannot keep the learner's state in"):
        StateStore(tmp_path / "file" / "state").save(1, 1, STATE)
