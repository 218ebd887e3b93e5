"""The same network in a `TorchLearner`, which has the loops of training and evaluation."""

from functools import partial

import torch
from dataloader import HeartLoader
from torch import nn

from hanse.learners.torch import TorchLearner, accuracy


def learner(site):
    data = HeartLoader(site.data["heart"])
    torch.manual_seed(0)
    return TorchLearner(
        model=nn.Sequential(nn.Linear(7, 16), nn.ReLU(), nn.Linear(16, 1), nn.Flatten(0)),
        loss=nn.BCEWithLogitsLoss(),
        optimizer=partial(torch.optim.SGD, lr=0.3),
        train=(torch.tensor(data.X_train), torch.tensor(data.y_train)),
        validate=(torch.tensor(data.X_valid), torch.tensor(data.y_valid)),
        metrics={"accuracy": accuracy},
    )
