"""A PyTorch model that several sites train together: put your own data and model in the marked places."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import hanse
from hanse.learners.torch import TorchLearner, accuracy

# Patients of four hospitals, which come with Hanse; see the README.md in that folder.
EXAMPLE = Path(hanse.__file__).parent / "data" / "heart_disease"

# Columns of the table, each with a usual value and spread that all sites scale it by.
COLUMNS = {
    "age": (54, 9),
    "sex": (0.5, 0.5),
    "cp": (3, 1),
    "trestbps": (130, 20),
    "thalach": (140, 25),
    "exang": (0.5, 0.5),
    "oldpeak": (1, 1),
}


def learner(site: hanse.Site) -> hanse.Learner:
    """Make the learner of one site: the one function that the plan names."""
    # Your data: what the site calls `heart` in its site.yaml. A virtual site has no data
    # of its own; it is dealt its share of the example.
    if site.data:
        x, y = read([site.data["heart"]])
    else:
        x, y = read(sorted(EXAMPLE.glob("*.csv")))
        mine = site.share(y)
        x, y = x[mine], y[mine]
    held_out = torch.arange(len(y)) % 4 == 0
    return TorchLearner(
        # Your model. Each site makes it with the same random numbers.
        model=nn.Sequential(nn.Linear(len(COLUMNS), 16), nn.ReLU(), nn.Linear(16, 1), nn.Flatten(0)),
        loss=nn.BCEWithLogitsLoss(),
        optimizer=partial(torch.optim.SGD, lr=0.1),
        train=(x[~held_out], y[~held_out]),
        validate=(x[held_out], y[held_out]),
        metrics={"accuracy": accuracy},
    )


def read(files: list[Path]) -> tuple[Tensor, Tensor]:
    """Read patients without a missing value: scaled columns, and 1 for the ill or 0."""
    names = (*COLUMNS, "num")
    table = np.concatenate([np.genfromtxt(file, delimiter=",", names=True) for file in files])
    table = table[~np.any([np.isnan(table[name]) for name in names], axis=0)]
    x = np.stack([(table[name] - usual) / spread for name, (usual, spread) in COLUMNS.items()], axis=1)
    return torch.from_numpy(x).float(), torch.from_numpy(table["num"] > 0).float()
