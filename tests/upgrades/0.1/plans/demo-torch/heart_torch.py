"""Logistic regression with PyTorch, one learner a hospital."""

from __future__ import annotations

from functools import partial

import torch
from heart_data import NUM_INPUTS, Patients, accuracy, auc, load
from torch.utils.data import DataLoader, TensorDataset

import hanse
from hanse.learners.torch import TorchLearner


def learner(site: hanse.Site) -> TorchLearner:
    """Make the learner of one hospital."""
    train, held_out = load(site.data["heart"])
    return TorchLearner(
        model=torch.nn.Linear(NUM_INPUTS, 1),
        loss=torch.nn.BCEWithLogitsLoss(),
        optimizer=partial(torch.optim.SGD, lr=0.01),
        train=tensors(train),
        # All in one batch: the AUC of a whole is no mean of the AUC of its parts.
        validate=DataLoader(tensors(held_out), batch_size=len(held_out.y)),
        metrics={
            "accuracy": lambda scores, y: accuracy(scores.numpy(), y.numpy()),
            "auc": lambda scores, y: auc(scores.numpy(), y.numpy()),
        },
        device="cpu",
    )


def tensors(patients: Patients) -> TensorDataset:
    """The patients as tensors of shape (patients, 13) and (patients, 1)."""
    return TensorDataset(torch.from_numpy(patients.x), torch.from_numpy(patients.y[:, None]))
