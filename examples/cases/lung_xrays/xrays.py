"""Reads a clinic's X-rays: `FOLDER/PART/DIAGNOSIS/*.png`, grey images of 28 x 28 pixels."""

from __future__ import annotations

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


def read(folder: Path, part: str) -> TensorDataset:
    """Read the X-rays of one part.

    Args:
        folder: A clinic's folder of X-rays.
        part: `train`, `validate` or `test`.

    Returns:
        Images, float32, (number, 1, 28, 28), from 0 (black) to 1; labels, float32, (number, 1), 1 for
        pneumonia. In the order of the files' names, normal ones first.

    Raises:
        ConfigError: The folder is not in this layout, a diagnosis has no image, or an image cannot be read
            or has another size or colours; names the file or folder.
    """
    images, labels = [], []
    for label, diagnosis in enumerate(DIAGNOSES):
        place = folder / part / diagnosis
        if not place.is_dir():
            raise ConfigError(f"there is no folder {place}", mend=LAYOUT)
        files = sorted(place.glob("*.png"))
        if not files:
            raise ConfigError(
                f"{place} has no .png file, and a clinic needs X-rays of both diagnoses",
                mend=f"{LAYOUT} A clinic with one diagnosis alone cannot take part.",
            )
        images += [pixels(file) for file in files]
        labels += [label] * len(files)
    return TensorDataset(
        torch.from_numpy(np.stack(images)[:, None].astype(np.float32) / 255),
        torch.tensor(labels, dtype=torch.float32)[:, None],
    )


def pixels(file: Path) -> npt.NDArray[np.uint8]:
    """The pixels of one image, (28, 28).

    Raises:
        ConfigError: See `read`.
    """
    try:
        with Image.open(file) as image:
            mode, size, array = image.mode, image.size, np.asarray(image)
    except (
        OSError,
        SyntaxError,
        ValueError,
        Image.DecompressionBombError,
    ):  # what Pillow raises of broken files
        raise ConfigError(f"{file} cannot be read as an image", mend="Copy it again, or remove it.") from None
    if mode != "L":
        raise ConfigError(f"{file} is not a grey image of 8 bits: its mode is {mode}", mend="Convert it.")
    if size != SIZE:
        raise ConfigError(
            f"{file} has {size[0]} x {size[1]} pixels, not {SIZE[0]} x {SIZE[1]}", mend="Resize it."
        )
    return array
