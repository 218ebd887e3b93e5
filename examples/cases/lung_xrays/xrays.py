"""Reads a clinic's X-rays: `FOLDER/PART/DIAGNOSIS/*.png`, grey images of 28 x 28 pixels."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch.utils.data import TensorDataset

from hanse.errors import ConfigError

DIAGNOSES = ("normal", "pneumonia")
"""Folders of a part, by the number that is their label."""
SIZE = (28, 28)
"""Width and height of an image, in pixels."""
LAYOUT = "A clinic has xrays/PART/normal/*.png and xrays/PART/pneumonia/*.png, of the parts train and test."
_NOTES = frozenset((".csv", ".db", ".ini", ".json", ".md", ".txt", ".yaml"))
"""Suffixes of files that may lie beside the images and are not read."""
_AGAIN = "Copy it again, or remove it."


def read(folder: Path, part: str) -> TensorDataset:
    """Read the X-rays of one part.

    Args:
        folder: A clinic's folder of X-rays.
        part: `train`, `validate` or `test`.

    Returns:
        Images, float32, (number, 1, 28, 28), from 0 (black) to 1; labels, float32, (number, 1), 1 for
        pneumonia. In the order of the files' names, normal ones first.

    Raises:
        ConfigError: The folder is not in this layout or has images that would be left out, a diagnosis has
            no image, or an image cannot be read or has another size or colours; names the file or folder.
    """
    images, labels = [], []
    places = [folder / part / diagnosis for diagnosis in DIAGNOSES]
    for place in places:
        if not place.is_dir():
            raise ConfigError(f"there is no folder {place}", mend=LAYOUT)
    _only([each for each in _entries(folder / part) if each not in places], folder / part)
    for label, place in enumerate(places):
        files = _images(place)
        images += [pixels(file) for file in files]
        labels += [label] * len(files)
    return TensorDataset(
        torch.from_numpy(np.stack(images)[:, None].astype(np.float32) / 255),
        torch.tensor(labels, dtype=torch.float32)[:, None],
    )


def _images(place: Path) -> list[Path]:
    """The images of a diagnosis, in the order of their names."""
    entries = _entries(place)
    files = [entry for entry in entries if entry.suffix.lower() == ".png"]
    _only([entry for entry in entries if entry not in set(files)], place)
    if not files:
        raise ConfigError(
            f"{place} has no .png file, and a clinic needs X-rays of both diagnoses",
            mend=f"{LAYOUT} A clinic with one diagnosis alone cannot take part.",
        )
    return files


def _entries(place: Path) -> list[Path]:
    """What a folder has, without hidden files, such as those that macOS writes beside each image."""
    try:
        return sorted(entry for entry in place.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise ConfigError(f"the folder {place} cannot be read ({error.strerror})", mend=_AGAIN) from None


def _only(others: list[Path], place: Path) -> None:
    """Refuse images and folders that would be left out: the clinic would train on less than it has."""
    left_out = [entry for entry in others if entry.suffix.lower() not in _NOTES or entry.is_dir()]
    if left_out:
        more = f", and {len(left_out) - 1} more" if len(left_out) > 1 else ""
        raise ConfigError(
            f"{place} has {left_out[0].name}{more}, which would be left out",
            mend=f"Convert images to .png, and move away what is not of this case. {LAYOUT}",
        )


def pixels(file: Path) -> npt.NDArray[np.uint8]:
    """The pixels of one image, (28, 28).

    Raises:
        ConfigError: See `read`.
    """
    try:
        _check_size(file)
        with Image.open(file, formats=["PNG"]) as image:
            mode, frames = image.mode, getattr(image, "n_frames", 1)
            image.verify()  # to the end of the file, which the pixels alone do not need
        if mode != "L":
            raise ConfigError(
                f"{file} is not a grey image of 8 bits: its mode is {mode}",
                mend="Convert it to grey of 8 bits, which is mode L.",
            )
        if frames != 1:
            raise ConfigError(f"{file} has {frames} frames", mend="Write one image to a file.")
        with Image.open(file, formats=["PNG"]) as image:
            array = np.asarray(image)
    except (OSError, SyntaxError, ValueError):  # what Pillow raises of broken files
        raise ConfigError(f"{file} cannot be read as an image", mend=_AGAIN) from None
    if array.min() == array.max():
        raise ConfigError(
            f"all pixels of {file} are {array.min()}: it shows nothing", mend="Export it again, or remove it."
        )
    return array


def _check_size(file: Path) -> None:
    """Refuse another size by the first bytes of the file: a large image would take memory to decode."""
    if not file.is_file():  # a pipe would have the reader wait
        raise ConfigError(f"{file} is not a file", mend=_AGAIN)
    with file.open("rb") as stream:
        start = stream.read(24)
    if start[:8] != b"\x89PNG\r\n\x1a\n" and len(start) >= 8:
        raise ConfigError(f"{file} is not a PNG image, whatever its name says", mend="Convert it to .png.")
    if len(start) < 24:
        raise ConfigError(f"{file} cannot be read as an image: it is cut off", mend=_AGAIN)
    size = struct.unpack(">II", start[16:])
    if size != SIZE:
        raise ConfigError(
            f"{file} has {size[0]} x {size[1]} pixels, not {SIZE[0]} x {SIZE[1]}", mend="Resize it."
        )
