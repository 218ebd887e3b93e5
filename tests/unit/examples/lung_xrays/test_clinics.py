"""Every X-ray is dealt to one clinic, by a rule that a seed repeats."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.torch

Dealt = dict[tuple[str, str, str], Any]


@pytest.fixture(scope="module")
def dealt(case: SimpleNamespace) -> Dealt:
    """Images by clinic, part and diagnosis."""
    return {(clinic, part, diagnosis): images for clinic, part, diagnosis, images in case.clinics.dealt(1)}


def sizes(dealt: Dealt, part: str, diagnosis: str | None = None) -> Counter[str]:
    found = Counter[str]()
    for (clinic, of, kind), images in dealt.items():
        if of == part and diagnosis in (None, kind):
            found[clinic] += len(images)
    return found


def test_every_image_is_at_one_clinic(case: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = {
        name: case.clinics.Clinic(c.normal, c.pneumonia, case.clinics.Machine())
        for name, c in case.clinics.CLINICS.items()
    }
    monkeypatch.setattr(case.clinics, "CLINICS", plain)

    here = [image.tobytes() for *_, images in case.clinics.dealt(1) for image in images]

    with np.load(case.clinics.SOURCE) as source:
        all_images = [image.tobytes() for name in source if name.endswith("images") for image in source[name]]
    assert sorted(here) == sorted(all_images)


def test_images_of_the_test_set_stay_test_images(dealt: Dealt) -> None:
    assert sizes(dealt, "test").total() == 624
    assert sizes(dealt, "test", "pneumonia").total() == 390


def test_one_seed_deals_alike_and_another_otherwise(case: SimpleNamespace, dealt: Dealt) -> None:
    again = {(clinic, part, kind): images for clinic, part, kind, images in case.clinics.dealt(1)}
    other = {(clinic, part, kind): images for clinic, part, kind, images in case.clinics.dealt(2)}

    assert all(np.array_equal(dealt[key], again[key]) for key in dealt)
    assert {key: len(images) for key, images in other.items()} == {key: len(i) for key, i in dealt.items()}
    assert not np.array_equal(dealt["city", "test", "normal"], other["city", "test", "normal"])


def test_clinics_differ_in_size_and_prevalence(dealt: Dealt) -> None:
    train, sick = sizes(dealt, "train"), sizes(dealt, "train", "pneumonia")

    assert train == {"city": 2232, "valley": 1223, "island": 427}
    assert sick["city"] / train["city"] > sick["valley"] / train["valley"] > sick["island"] / train["island"]


def test_images_of_the_island_have_less_contrast(dealt: Dealt) -> None:
    contrast = {clinic: dealt[clinic, "test", "normal"].std() for clinic in ("city", "valley", "island")}

    assert contrast["island"] < 0.6 * contrast["city"]


def test_folders_are_what_the_reader_reads(
    case: SimpleNamespace, dealt: Dealt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = [(*key, images[:3]) for key, images in dealt.items()]
    monkeypatch.setattr(case.clinics, "dealt", lambda seed: iter(few))

    case.clinics.write(tmp_path)

    images, labels = case.xrays.read(tmp_path / "island" / "xrays", "test").tensors
    assert labels.ravel().tolist() == [0, 0, 0, 1, 1, 1]
    assert np.array_equal(np.rint(images[3, 0].numpy() * 255), dealt["island", "test", "pneumonia"][0])


def test_a_folder_with_other_files_is_left_alone(case: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "city").mkdir()
    (tmp_path / "city" / "thesis.txt").write_text("mine", "utf-8")

    with pytest.raises(SystemExit, match="holds other files"):
        case.clinics.write(tmp_path)
