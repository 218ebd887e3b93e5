"""Trains the U-Net on the scans of one institution, and measures Dice by region on those held out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from brats import REGIONS, Layout, Patient, load, split
from torch import Tensor
from torch.utils.data import Dataset
from unet import UNet, dice, dice_and_entropy

import hanse
from hanse.errors import PlanError
from hanse.learners.torch import TorchLearner

_OPTIONS = "For BraTS: `options: {image: [240, 240, 155], voxel_mm: 1.0, grid: [128, 128, 128]}`."


class Scans(Dataset[tuple[Tensor, Tensor]]):
    """Pairs of image and regions.

    Args:
        patients: Whose scans.
        flipped: Show every second image, drawn at random, with left and right exchanged.
    """

    def __init__(self, patients: list[Patient], *, flipped: bool = False) -> None:
        self._patients = patients
        self._flipped = flipped

    def __len__(self) -> int:
        return len(self._patients)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        patient = self._patients[index]
        image, regions = patient.image.float(), patient.regions.float()
        if self._flipped and torch.rand(()) < 0.5:
            image, regions = image.flip(1), regions.flip(1)
        return image, regions


def learner(site: hanse.Site) -> hanse.Learner:
    """The learner of one institution, whose data source `scans` is a folder in the layout of BraTS."""
    folder = site.data["scans"]
    train, held_out = split(load(folder, layout(site.options)), folder)
    return trainer(train, held_out)


def layout(options: Mapping[str, Any]) -> Layout:
    """What the plan's `options` say of every image.

    Raises:
        PlanError: One is missing, or cannot be.
    """
    image, grid, edge = (options.get(key) for key in ("image", "grid", "voxel_mm"))
    for key, sizes, step in (("image", image, 1), ("grid", grid, 4)):
        fit = isinstance(sizes, list | tuple) and len(sizes) == 3
        if not fit or not all(type(size) is int and size > 0 and size % step == 0 for size in sizes):
            kind = "whole numbers above 0" if step == 1 else f"multiples of {step} above 0"
            raise PlanError(f"`options: {{{key}: ...}}` is three {kind}, got {sizes!r}", mend=_OPTIONS)
    if type(edge) not in (int, float) or not 0 < edge < math.inf:
        raise PlanError(f"`options: {{voxel_mm: ...}}` is a number above 0, got {edge!r}", mend=_OPTIONS)
    return Layout(tuple(image), float(edge), tuple(grid))


def trainer(train: list[Patient], held_out: list[Patient], *, keep_optimizer: bool = False) -> TorchLearner:
    """The learner of these patients."""
    return TorchLearner(
        model=UNet,
        loss=dice_and_entropy,
        optimizer=partial(torch.optim.Adam, lr=3e-3),
        train=Scans(train, flipped=True),
        validate=Scans(held_out),
        # The plan measures one patient at a time, so that each mean is over the patients with the region.
        metrics={f"dice_{name}": partial(dice, region=number) for number, name in enumerate(REGIONS)},
        clip_norm=1.0,
        keep_optimizer=keep_optimizer,
    )
