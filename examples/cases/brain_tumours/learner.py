"""Trains the U-Net on the scans of one institution, and measures Dice by region on those held out."""

from __future__ import annotations

from functools import partial

import torch
from brats import REGIONS, Layout, Patient, load, split
from torch import Tensor
from torch.utils.data import Dataset
from unet import UNet, dice, dice_and_entropy

import hanse
from hanse.learners.torch import TorchLearner


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
    folder, options = site.data["scans"], site.options
    layout = Layout(tuple(options["image"]), float(options["voxel_mm"]), tuple(options["grid"]))
    train, held_out = split(load(folder, layout), folder)
    return trainer(train, held_out)


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
