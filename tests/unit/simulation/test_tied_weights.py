"""A torch model two of whose names are one tensor, under lossy compression."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hanse.config.load import load_plan
from hanse.simulation.simulate import Settings, VirtualSite, simulate

pytestmark = pytest.mark.torch

PLAN = """
name: tied
code: [tied.py]
learner: tied:learner
rounds: 3
seed: 3
compression: {upload: [int8], smallest: 1}
tasks:
  train: {discloses: {update: aggregate, aggregated_by: aggregator, metrics: [loss]}}
"""
LEARNER = """
from functools import partial

import torch
from torch import nn

from hanse.learners.torch import TorchLearner

class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(8, 4)
        self.output = nn.Linear(4, 8, bias=False)
        self.output.weight = self.embedding.weight

    def forward(self, words):
        return self.output(self.embedding(words))

def learner(site):
    words = torch.arange(8)
    data = (words, (words + 1 + site.index) % 8)
    return TorchLearner(Tied(), nn.CrossEntropyLoss(), partial(torch.optim.SGD, lr=1.0), data, data)
"""


def test_weights_that_are_tied_stay_so_in_the_federations_model(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(PLAN, encoding="utf-8")
    (tmp_path / "tied.py").write_text(LEARNER, encoding="utf-8")
    sites = [VirtualSite(name, {}) for name in ("a", "b", "c")]

    outcome = simulate(
        load_plan(tmp_path / "plan.yaml"), sites, Settings(tmp_path / "state", 1_000), lambda *_: None
    )

    assert outcome.model is not None
    assert np.array_equal(outcome.model["embedding.weight"], outcome.model["output.weight"])
    assert np.abs(outcome.model["embedding.weight"]).max() > 0
