"""Patients of a hospital: from its CSV file to standardised numbers.

Prepared and split as in FLamby's benchmark (Ogier du Terrail et al. 2022), so
that what is measured here can be held against its published figures.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]

NUMERIC = ("age", "sex", "trestbps", "chol", "fbs", "thalach", "exang", "oldpeak")
LEVELS = {"cp": (2, 3, 4), "restecg": (1, 2)}  # one input a level; the first level is all zeros
NUM_INPUTS = len(NUMERIC) + sum(len(levels) for levels in LEVELS.values())
TEST_FRACTION = 0.34
SPLIT_SEED = 43


class Patients(NamedTuple):
    """Some patients of one hospital.

    Attributes:
        x: Their measurements, shape (patients, 13).
        y: 1 where a heart disease was found, else 0; shape (patients,).
    """

    x: Floats
    y: Floats


def load(path: Path) -> tuple[Patients, Patients]:
    """Read a hospital's training and held-out patients.

    Args:
        path: The hospital's CSV file; or a folder with files of several,
            where each is split and standardised by itself.

    Returns:
        Patients to train on and patients held out, standardised by mean and
        standard deviation of the hospital's own training patients.
    """
    files = sorted(path.glob("*.csv")) if path.is_dir() else [path]
    hospitals = [divide(read(file)) for file in files]
    train, held_out = zip(*hospitals, strict=True)
    return _together(train), _together(held_out)


def read(file: Path) -> Patients:
    """Read the patients of one hospital that have every value the model needs."""
    columns = (*NUMERIC, *LEVELS, "num")
    table = np.genfromtxt(file, delimiter=",", names=True)  # NaN where a field is empty
    table = table[~np.any([np.isnan(table[name]) for name in columns], axis=0)]
    numbers = [table[name] for name in NUMERIC]
    levels = [table[name] == level for name, choices in LEVELS.items() for level in choices]
    x = np.stack([*numbers, *levels], axis=1).astype(np.float32)
    return Patients(x, (table["num"] > 0).astype(np.float32))


def divide(patients: Patients) -> tuple[Patients, Patients]:
    """Split off the patients that are held out, and standardise both parts by the first."""
    train, held_out = split(patients.y)
    mean = patients.x[train].mean(axis=0)
    deviation = patients.x[train].std(axis=0, ddof=1)
    deviation[deviation == 0] = 1  # every training patient has the same value
    x = (patients.x - mean) / deviation
    return Patients(x[train], patients.y[train]), Patients(x[held_out], patients.y[held_out])


def split(labels: Floats) -> tuple[Indices, Indices]:
    """Choose which patients are held out: 34 % of each label, always the same ones.

    The same patients as scikit-learn's `train_test_split` chooses with seed 43, so as FLamby does.
    Where a label has no more than two patients, the labels are not kept apart.
    """
    count = len(labels)
    num_train = count - math.ceil(TEST_FRACTION * count)
    random = np.random.RandomState(SPLIT_SEED)
    by_label = [np.flatnonzero(labels == label) for label in (0, 1)]
    if min(len(group) for group in by_label) <= 2:
        held_out = random.permutation(count)[: count - num_train]
    else:
        shares = np.array([len(group) for group in by_label]) * num_train / count
        take = np.floor(shares).astype(int)
        take[np.argmax(shares - take)] += num_train - take.sum()
        rest = [random.permutation(group)[number:] for group, number in zip(by_label, take, strict=True)]
        held_out = np.concatenate(rest)
    return np.setdiff1d(np.arange(count), held_out), np.sort(held_out)


def accuracy(scores: Floats, y: Floats) -> float:
    """Share of the patients whose log-odds are on the right side of 0; from 0 to 1."""
    return float(np.mean((scores > 0) == (y == 1)))


def auc(scores: Floats, y: Floats) -> float:
    """Chance that an ill patient scores above a healthy one; from 0 to 1, 0.5 is a guess.

    Unlike the accuracy, it gains nothing from calling everyone ill.
    """
    ill, healthy = scores[y == 1][:, np.newaxis], scores[y == 0]
    return float(np.mean(ill > healthy) + np.mean(ill == healthy) / 2)


def _together(parts: tuple[Patients, ...]) -> Patients:
    return Patients(np.concatenate([part.x for part in parts]), np.concatenate([part.y for part in parts]))
