"""The algorithms that change training, with TorchLearner as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.algorithms.runs import AGGREGATE, run

from hanse.core.plan.built_in import BUILT_IN
from hanse.core.run.round_events import RoundCommitted

CODE = """
from functools import partial


def learner(site):
    import torch
    from hanse.learners.torch import TorchLearner

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.body = torch.nn.Linear(3, 4)
            self.bn = torch.nn.BatchNorm1d(4)
            self.head = torch.nn.Linear(4, 1)

        def forward(self, x):
            return self.head(torch.relu(self.bn(self.body(x)))).squeeze(-1)

    data = tuple(torch.tensor(part, dtype=torch.float32) for part in rows(site.name))
    return TorchLearner(
        Net(),
        loss=torch.nn.MSELoss(),
        optimizer=partial(torch.optim.SGD, lr=0.05),
        train=data,
        validate=data,
    )
"""
TRAIN = {"epochs": 2, "batch_size": 8, "last_batch": "merge"}
TASKS: dict[str, Any] = {
    "train": {**TRAIN, "discloses": AGGREGATE},
    "evaluate": {"discloses": {"metrics": ["loss"]}},
}
ALGORITHMS: list[dict[str, Any]] = [
    {"name": "fedprox", "mu": 0.1},
    {"name": "scaffold"},
    {"name": "fednova"},
    {"name": "feddyn", "alpha": 0.1},
    {"name": "ditto", "mu": 0.1},
    {"name": "fine_tuning"},
    {"name": "fedbn", "tensors": ["bn.*"]},
    {"name": "fedper", "tensors": ["head.*", "bn.*"]},
]


@pytest.mark.torch
@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda algorithm: algorithm["name"])
def test_the_loss_becomes_smaller(tmp_path: Path, algorithm: dict[str, Any]) -> None:
    pytest.importorskip("torch")
    own = {"ditto": "personalise", "fine_tuning": "finetune"}.get(algorithm["name"])
    tasks = TASKS | ({own: TRAIN} if own else {})

    outcome, events = run(tmp_path, CODE, algorithm=algorithm, tasks=tasks, rounds=8)

    losses = [e.metrics["loss"] for e in events if isinstance(e, RoundCommitted) and e.metrics]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]
    if own:
        prefix = BUILT_IN[algorithm["name"]].prefixes[own]
        assert np.isfinite(outcome.run.metrics[f"{prefix}loss"])
