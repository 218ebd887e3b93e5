"""FedAvgM, beside the formula of its paper."""

from __future__ import annotations

import numpy as np
from tests.unit.workflow.hosts import ScriptedHost

from hanse.algorithms.optimisation.fedavg import fedavg
from hanse.algorithms.optimisation.fedavgm import FEDAVGM, FedAvgMSettings
from hanse.core.values.update import Aggregate
from hanse.workflow.base import Request
from hanse.workflow.federation import Federation


def test_the_model_follows_the_papers_formula() -> None:
    keys = FEDAVGM.keys(FedAvgMSettings(momentum=0.7, lr=0.5))
    changes = np.random.default_rng(2).normal(size=(4, 2))
    tasks = {"train": {"discloses": {"update": "individual"}}}
    host = ScriptedHost(committed=0, model={"w": np.zeros(2)}, rounds=4, tasks=tasks, **keys)

    def mean(request: Request) -> Aggregate:
        return Aggregate(1, {}, {"w": changes[request.round_number - 1]}, ("a",))

    host.sum = mean  # type: ignore[method-assign]
    fedavg(Federation(host))

    w, v = np.zeros(2), np.zeros(2)
    for commit, change in zip(host.commits, changes, strict=True):
        v = 0.7 * v - change  # the change is minus the pseudo-gradient
        w = w - 0.5 * v
        np.testing.assert_allclose(commit.model["w"], w, rtol=1e-12)
