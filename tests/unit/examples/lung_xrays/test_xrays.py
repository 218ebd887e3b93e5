"""What the reader of X-rays refuses, and with which words."""

from __future__ import annotations

import os
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


@pytest.mark.parametrize("name", ["0009.jpg", "0009", "0009.png.bak", "tuberculosis/"])
@pytest.mark.parametrize("place", ["train", "train/normal"])
def test_what_would_be_left_out_is_refused(
    case: SimpleNamespace, clinic: Path, place: str, name: str
) -> None:
    entry = clinic / place / name
    entry.mkdir() if name.endswith("/") else entry.touch()

    refused(case, clinic, rf"{place} has {entry.name}, which would be left out\. Convert images to \.png")


def test_names_in_capitals_are_read(case: SimpleNamespace, clinic: Path) -> None:
    file = clinic / "train" / "normal" / "0001.png"
    file.rename(file.with_suffix(".PNG"))

    images, _ = case.xrays.read(clinic, "train").tensors

    assert len(images) == 12


@pytest.mark.parametrize("name", ["._0001.png", ".DS_Store", "Thumbs.db", "notes.txt"])
def test_files_of_file_managers_and_notes_are_not_read(
    case: SimpleNamespace, clinic: Path, name: str
) -> None:
    (clinic / "train" / "normal" / name).write_bytes(b"no image")

    images, _ = case.xrays.read(clinic, "train").tensors

    assert len(images) == 12


@pytest.mark.parametrize("end", [12, 13, 30])
def test_image_without_its_end(case: SimpleNamespace, clinic: Path, end: int) -> None:
    file = clinic / "train" / "normal" / "0001.png"
    file.write_bytes(file.read_bytes()[:-end])

    refused(case, clinic, r"0001\.png cannot be read as an image")


def test_no_damaged_byte_is_taken_for_an_image(case: SimpleNamespace, clinic: Path) -> None:
    file = clinic / "train" / "normal" / "0001.png"
    whole, image = file.read_bytes(), case.xrays.pixels(file)

    for position in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        file.write_bytes(damaged)
        try:
            assert (case.xrays.pixels(file) == image).all(), position
        except ConfigError:
            continue


def test_jpeg_that_is_named_png(case: SimpleNamespace, clinic: Path) -> None:
    from PIL import Image

    Image.new("L", (28, 28)).save(clinic / "train" / "normal" / "0001.png", format="JPEG")

    refused(case, clinic, r"0001\.png is not a PNG image")


def test_large_image_is_refused_by_its_header(case: SimpleNamespace, clinic: Path) -> None:
    file = clinic / "train" / "normal" / "0001.png"
    whole = file.read_bytes()
    file.write_bytes(whole[:16] + (20_000).to_bytes(4) * 2 + whole[24:])

    refused(case, clinic, r"0001\.png has 20000 x 20000 pixels, not 28 x 28")


def test_animated_image(case: SimpleNamespace, clinic: Path) -> None:
    from PIL import Image

    first, second = (Image.new("L", (28, 28), shade) for shade in (10, 20))
    file = clinic / "train" / "normal" / "0001.png"
    first.save(file, save_all=True, append_images=[second])

    refused(case, clinic, r"0001\.png has 2 frames")


def test_image_that_shows_nothing(case: SimpleNamespace, clinic: Path) -> None:
    from PIL import Image

    Image.new("L", (28, 28)).save(clinic / "train" / "normal" / "0001.png")

    refused(case, clinic, r"all pixels of .*0001\.png are 0")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_pipe_is_not_waited_for(case: SimpleNamespace, clinic: Path) -> None:
    os.mkfifo(clinic / "train" / "normal" / "0009.png")

    refused(case, clinic, r"0009\.png is not a file")
