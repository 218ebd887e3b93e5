"""Reads a clinic's X-rays: `FOLDER/PART/DIAGNOSIS/*.png`, grey images of 28 x 28 pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch.utils.data import TensorDataset

DIAGNOSES = ("normal", "pneumonia")
"""Folders of a part, by the number that is their label."""
SIZE = (28, 28)
"""Width and height of an image, in pixels."""
LAYOUT = (
    "a clinic has `xrays/train/normal/*.png`, `xrays/train/pneumonia/*.png`, and the same for its other parts"
)


def read(folder: Path, part: str) -> TensorDataset:
    """Read the X-rays of one part.

    Args:
        folder: A clinic's folder of X-rays.
        part: `train`, `validate` or `test`.

    Returns:
        Images, float32, (number, 1, 28, 28), from 0 (black) to 1; labels, float32, (number, 1), 1 for
        pneumonia. In the order of the files' names, normal ones first.

    Raises:
        ValueError: The folder is not in this layout, a diagnosis has no image, or an image cannot be read or
            has another size or colours; names the file or folder.
    """
    images, labels = [], []
    for label, diagnosis in enumerate(DIAGNOSES):
        place = folder / part / diagnosis
        if not place.is_dir():
            raise ValueError(f"there is no folder {place}: {LAYOUT}")
        files = sorted(place.glob("*.png"))
        if not files:
            raise ValueError(
                f"{place} has no .png file: training and AUC need examples of both diagnoses, "
                "so that a clinic with one alone cannot take part"
            )
        images += [pixels(file) for file in files]
        labels += [label] * len(files)
    return TensorDataset(
        torch.from_numpy(np.stack(images)[:, None].astype(np.float32) / 255),
        torch.tensor(labels, dtype=torch.float32)[:, None],
    )


def pixels(file: Path) -> np.ndarray:
    """The pixels of one image, uint8, (28, 28).

    Raises:
        ValueError: See `read`.
    """
    try:
        with Image.open(file) as image:
            if image.mode != "L":
                raise ValueError(
                    f"{file} is not a grey image of 8 bits (its mode is {image.mode}): convert it"
                )
            if image.size != SIZE:
                raise ValueError(
                    f"{file} has {image.width} x {image.height} pixels, not {SIZE[0]} x {SIZE[1]}: resize it"
                )
            return np.asarray(image)
    except (UnidentifiedImageError, OSError, SyntaxError) as error:  # what Pillow raises of a broken file
        raise ValueError(f"{file} cannot be read as an image: copy it again, or leave it out") from error
