"""Deals the X-rays of `data/` to three clinics, each with a folder of images that it alone would have.

    python clinics.py clinics

writes `clinics/CLINIC/xrays/PART/DIAGNOSIS/NUMBER.png` for the clinics `city`, `valley` and `island`, the
parts `train`, `validate` and `test`, and the diagnoses `normal` and `pneumonia`.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

SOURCE = Path(__file__).parent / "data" / "pneumoniamnist_4406_624.npz"
PARTS = {"train": "train", "validate": "val", "test": "test"}
"""The parts, and the names that they have in the source."""
DIAGNOSES = ("normal", "pneumonia")
"""By the number that is their label in the source."""

Pixels = npt.NDArray[np.uint8]
"""Images, (number, 28, 28)."""


@dataclass(frozen=True, slots=True)
class Machine:
    """How an X-ray machine shows an image whose brightness, from 0 to 1, is x: low + (high - low) x ** gamma.

    Attributes:
        low: Brightness of what is black in the source.
        high: Brightness of what is white in the source.
        gamma: Above 1, what is neither is darker.
        field: Part of its brightness that an image loses at its corners.
        noise: Standard deviation of the noise of each pixel.
    """

    low: float = 0.0
    high: float = 1.0
    gamma: float = 1.0
    field: float = 0.0
    noise: float = 0.0

    def shown(self, images: Pixels, random: np.random.Generator) -> Pixels:
        """The images as this machine would have made them."""
        height, width = images.shape[1:]
        y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
        bright = self.low + (self.high - self.low) * (images / 255.0) ** self.gamma
        bright *= 1 - self.field * (x**2 + y**2) / 2
        bright += self.noise * random.standard_normal(images.shape)
        return np.rint(np.clip(bright, 0, 1) * 255).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class Clinic:
    """What a clinic has of the X-rays.

    Attributes:
        normal: Its part of the X-rays without pneumonia.
        pneumonia: Its part of those with pneumonia.
        machine: What its X-rays look like.
    """

    normal: float
    pneumonia: float
    machine: Machine


CLINICS: Mapping[str, Clinic] = {
    "city": Clinic(0.35, 0.60, Machine()),
    "valley": Clinic(0.45, 0.30, Machine(low=0.10, high=0.90, gamma=0.8)),
    "island": Clinic(0.20, 0.10, Machine(low=0.30, high=0.80, gamma=1.8, field=0.35, noise=0.04)),
}


def dealt(seed: int) -> Iterator[tuple[str, str, str, Pixels]]:
    """Deal every image of the source to one clinic.

    In each part, the images of each diagnosis are shuffled by the seed and cut into three runs, as long as
    the clinics' shares say; then each run is shown by its clinic's machine. An image of the source's test
    set is a test image here too.

    Args:
        seed: Another seed deals other images to a clinic, in the same numbers.

    Yields:
        Clinic, part, diagnosis, and its images.
    """
    with np.load(SOURCE) as source:
        arrays: dict[str, Any] = {name: source[name] for name in source}
    for number, (part, theirs) in enumerate(PARTS.items()):
        labels = arrays[f"{theirs}_labels"].ravel()
        for label, diagnosis in enumerate(DIAGNOSES):
            random = np.random.default_rng([seed, number, label])
            shuffled = random.permutation(np.flatnonzero(labels == label))
            shares = np.cumsum([getattr(clinic, diagnosis) for clinic in CLINICS.values()])
            ends = np.rint(shares * len(shuffled)).astype(int)
            for (name, clinic), chosen in zip(CLINICS.items(), np.split(shuffled, ends[:-1]), strict=True):
                images = arrays[f"{theirs}_images"][chosen]
                yield name, part, diagnosis, clinic.machine.shown(images, random)


def write(folder: Path, seed: int = 1) -> None:
    """Write the clinics' folders; those of earlier are replaced.

    Raises:
        SystemExit: A folder of a clinic's name holds something else than X-rays.
    """
    for name in CLINICS:
        there = folder / name
        if there.exists() and {entry.name for entry in there.iterdir()} - {"xrays"}:
            raise SystemExit(f"{there} holds other files than `xrays`: name another folder")
        shutil.rmtree(there / "xrays", ignore_errors=True)
    for name, part, diagnosis, images in dealt(seed):
        place = folder / name / "xrays" / part / diagnosis
        place.mkdir(parents=True)
        for number, pixels in enumerate(images):
            Image.fromarray(pixels).save(place / f"{number:04}.png")


def main() -> None:
    """Write the folders, and say what each clinic has."""
    parser = argparse.ArgumentParser(description="Deal the X-rays to three clinics.")
    parser.add_argument("folder", type=Path, help="where to write; a folder for each clinic")
    parser.add_argument("--seed", type=int, default=1, help="of the dealing; 1 unless given")
    arguments = parser.parse_args()
    if arguments.seed < 0:
        parser.error(f"--seed must be 0 or more, got {arguments.seed}")
    if arguments.folder.exists() and not arguments.folder.is_dir():
        parser.error(f"{arguments.folder} is not a folder")
    write(arguments.folder, arguments.seed)
    for name in CLINICS:
        counts = {
            part: [
                len(list((arguments.folder / name / "xrays" / part / diagnosis).iterdir()))
                for diagnosis in DIAGNOSES
            ]
            for part in PARTS
        }
        told = (f"{part} {sum(n)} ({n[1] / sum(n):.0%} pneumonia)" for part, n in counts.items())
        print(f"{name}: {', '.join(told)}")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from program import one_line

    with one_line():
        main()
