"""What compression left out, and when it becomes what the next update starts from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hanse.updates.residuals import Residuals


def left(value: float) -> dict[str, np.ndarray]:
    return {"w": np.full(3, value, np.float32)}


def value(residuals: Residuals, task: str = "train") -> float | None:
    before = residuals.before(task)
    return None if before is None else float(before["w"][0])


@pytest.fixture
def residuals(tmp_path: Path) -> Residuals:
    """One in which the update of exchange 2 counts."""
    residuals = Residuals(tmp_path / "memory")
    residuals.note("train", 2, left(2.0))
    residuals.accept(2)
    return residuals


def test_nothing_is_known_at_first(tmp_path: Path) -> None:
    residuals = Residuals(tmp_path / "memory")

    assert residuals.before("train") is None
    assert not (tmp_path / "memory").exists()


def test_what_pends_is_not_what_the_next_update_starts_from(residuals: Residuals) -> None:
    residuals.note("train", 4, left(4.0))

    assert value(residuals) == 2.0


def test_what_counts_takes_the_place_of_what_was_before(residuals: Residuals, tmp_path: Path) -> None:
    residuals.note("train", 4, left(4.0))
    residuals.accept(4)

    assert value(residuals) == 4.0
    assert len(list((tmp_path / "memory").iterdir())) == 1


def test_what_does_not_count_leaves_no_trace(residuals: Residuals, tmp_path: Path) -> None:
    residuals.note("train", 4, left(4.0))
    residuals.refuse(4)

    assert value(residuals) == 2.0
    assert len(list((tmp_path / "memory").iterdir())) == 1


def test_a_task_that_is_performed_again_overwrites_what_pends(residuals: Residuals) -> None:
    residuals.note("train", 4, left(4.0))
    residuals.note("train", 4, left(5.0))
    residuals.accept(4)

    assert value(residuals) == 5.0


def test_an_assignment_tells_which_exchange_counted(residuals: Residuals) -> None:
    residuals.note("train", 4, left(4.0))
    residuals.apply_acceptance(accepted=4, asked=5)

    assert value(residuals) == 4.0


def test_an_earlier_exchange_that_did_not_count_is_dropped(residuals: Residuals) -> None:
    residuals.note("train", 4, left(4.0))
    residuals.apply_acceptance(accepted=2, asked=6)
    residuals.accept(4)

    assert value(residuals) == 2.0


def test_what_pends_of_the_exchange_that_is_asked_again_stays(residuals: Residuals) -> None:
    residuals.note("train", 4, left(4.0))
    residuals.apply_acceptance(accepted=2, asked=4)
    residuals.accept(4)

    assert value(residuals) == 4.0


def test_each_task_has_its_own(residuals: Residuals) -> None:
    residuals.note("fine/tune", 3, left(3.0))
    residuals.accept(3)

    assert (value(residuals), value(residuals, "fine/tune")) == (2.0, 3.0)


def test_after_a_crash_between_two_files_the_later_one_counts(residuals: Residuals, tmp_path: Path) -> None:
    kept = next((tmp_path / "memory").iterdir())
    saved = kept.read_bytes()
    residuals.note("train", 10, left(10.0))
    residuals.accept(10)
    kept.write_bytes(saved)

    assert value(residuals) == 10.0


def test_a_damaged_file_costs_accuracy_and_is_told(
    residuals: Residuals, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    next((tmp_path / "memory").iterdir()).write_bytes(b"none of ours")

    assert residuals.before("train") is None
    assert "is lost" in caplog.text
