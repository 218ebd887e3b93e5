"""What the reader of X-rays refuses, and with which words."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from hanse.errors import ConfigError

pytestmark = pytest.mark.torch


def refused(case: SimpleNamespace, clinic: Path, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        case.xrays.read(clinic, "train")


def test_images_are_read_from_black_to_white(case: SimpleNamespace, clinic: Path) -> None:
    images, labels = case.xrays.read(clinic, "train").tensors

    assert images.shape == (12, 1, 28, 28)
    assert labels.sum() == 8
    assert 0 <= images.min() < images.max() <= 1


def test_folder_in_another_layout(case: SimpleNamespace, clinic: Path) -> None:
    (clinic / "train").rename(clinic / "training")

    refused(case, clinic, r"no folder .*train/normal\. A clinic has xrays/PART/normal/\*\.png")


def test_image_of_another_size(case: SimpleNamespace, clinic: Path) -> None:
    from PIL import Image

    Image.new("L", (32, 30)).save(clinic / "train" / "normal" / "0001.png")

    refused(case, clinic, r"0001\.png has 32 x 30 pixels, not 28 x 28")


def test_image_in_colour(case: SimpleNamespace, clinic: Path) -> None:
    from PIL import Image

    Image.new("RGB", (28, 28)).save(clinic / "train" / "normal" / "0001.png")

    refused(case, clinic, r"0001\.png is not a grey image of 8 bits: its mode is RGB")


@pytest.mark.parametrize("length", [0, 30, 100])
def test_broken_image(case: SimpleNamespace, clinic: Path, length: int) -> None:
    file = clinic / "train" / "pneumonia" / "0002.png"
    file.write_bytes(file.read_bytes()[:length])

    refused(case, clinic, r"0002\.png cannot be read as an image")


def test_clinic_with_one_diagnosis(case: SimpleNamespace, clinic: Path) -> None:
    shutil.rmtree(clinic / "train" / "normal")
    (clinic / "train" / "normal").mkdir()

    refused(case, clinic, "a clinic needs X-rays of both diagnoses")
