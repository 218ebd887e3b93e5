"""Phantoms are the same for the same seed, and have what scans of tumours have."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from .conftest import CASE

pytestmark = pytest.mark.torch


def test_the_first_line_says_that_these_are_phantoms() -> None:
    first = (CASE / "phantoms.py").read_text("utf-8").splitlines()[0]

    assert "phantoms, not patients" in first


def test_a_phantom_is_the_same_for_the_same_seed(case: SimpleNamespace) -> None:
    image, labels = case.phantoms.phantom(1, 2, 3)
    again, same = case.phantoms.phantom(1, 2, 3)

    assert np.array_equal(image, again)
    assert np.array_equal(labels, same)


@pytest.mark.parametrize("other", [(2, 2, 3), (1, 3, 3), (1, 2, 4)])
def test_a_phantom_differs_by_seed_institution_and_number(
    case: SimpleNamespace, other: tuple[int, int, int]
) -> None:
    image, _ = case.phantoms.phantom(1, 2, 3)
    another, _ = case.phantoms.phantom(*other)

    assert not np.array_equal(image, another)


def test_another_scanner_shows_the_same_anatomy(case: SimpleNamespace) -> None:
    image, labels = case.phantoms.phantom(1, 2, 3)
    elsewhere, same = case.phantoms.phantom(1, 2, 3, case.phantoms.scanner(1, 5))

    assert np.array_equal(labels, same)
    assert not np.array_equal(image, elsewhere)


def test_the_tumour_is_in_the_brain_and_all_outside_is_0(case: SimpleNamespace) -> None:
    image, labels = case.phantoms.phantom(1, 4, 1)

    assert set(np.unique(labels)) <= {0, 1, 2, 4}
    assert np.all(image[:, labels > 0] > 0)
    assert np.all(image[:, 0] == 0)


def test_every_phantom_has_a_core_and_some_do_not_enhance(case: SimpleNamespace) -> None:
    labels = [case.phantoms.phantom(1, institution, 1)[1] for institution in range(1, 31)]

    assert all(np.isin(each, [1, 4]).any() for each in labels)
    assert 0 < sum((each == 4).any() for each in labels) < len(labels)


def test_sizes_are_a_tenth_of_those_of_fets_with_a_long_tail(case: SimpleNamespace) -> None:
    sizes = sorted(case.phantoms.sizes(71), reverse=True)

    assert len(sizes) == 71
    assert sum(sizes) == pytest.approx(631, abs=5)
    assert sizes[0] > 10 * np.median(sizes)
    assert sizes[-1] == 3


def test_seven_institutions_have_a_tail_as_well(case: SimpleNamespace) -> None:
    sizes = case.phantoms.sizes(7)

    assert max(sizes) == max(case.phantoms.sizes(71))
    assert min(sizes) == 3


def test_no_institutions_are_refused(case: SimpleNamespace) -> None:
    with pytest.raises(ValueError, match="institutions must be 1 to 999, got 0"):
        case.phantoms.sizes(0)


def test_the_command_does_not_write_into_a_folder_that_is_in_use(
    case: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.txt").write_text("kept")
    monkeypatch.setattr("sys.argv", ["phantoms.py", str(tmp_path)])

    with pytest.raises(SystemExit, match="not empty: name a new folder"):
        case.phantoms.main()


def test_the_command_does_not_write_into_a_file(
    case: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.txt").write_text("kept")

    for out in (tmp_path / "mine.txt", tmp_path / "mine.txt" / "new"):
        monkeypatch.setattr("sys.argv", ["phantoms.py", str(out)])
        with pytest.raises(SystemExit, match=r"cannot be written to: .*Not a directory"):
            case.phantoms.main()


@pytest.mark.parametrize("wrong", ["--seed=-1", "--institutions=0", "--institutions=1000", "--most=2"])
def test_the_command_refuses_numbers_that_cannot_be_before_it_writes(
    case: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.setattr("sys.argv", ["phantoms.py", str(tmp_path / "new"), wrong])

    with pytest.raises(SystemExit, match="--seed at least 0"):
        case.phantoms.main()

    assert not (tmp_path / "new").exists()


def test_the_command_writes_a_folder_for_each_institution(
    case: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "sys.argv", ["phantoms.py", str(tmp_path / "new"), "--institutions", "2", "--most", "3"]
    )

    case.phantoms.main()

    written = sorted(path.relative_to(tmp_path / "new").parts for path in tmp_path.rglob("*_seg.nii.gz"))
    assert [parts[0] for parts in written] == ["institution-01"] * 3 + ["institution-02"] * 3
