"""FedProx, beside the pseudocode of its paper, and beside federated averaging."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tests.unit.algorithms.runs import AGGREGATE, SITES, close, examples, gradient, rows, run

CODE = "\ndef learner(site): return Linear(site.name)\n"
TASKS: dict[str, Any] = {"train": {"epochs": 3, "lr": 0.05, "discloses": AGGREGATE}}


def test_the_model_is_that_of_algorithm_2(tmp_path: Path) -> None:
    outcome, _ = run(tmp_path, CODE, algorithm={"name": "fedprox", "mu": 0.4}, tasks=TASKS)

    w, weights = np.zeros(3), [examples(site) for site in SITES]
    for _ in range(4):
        trained = []
        for site in SITES:
            v = w
            for _ in range(3):
                v = v - 0.05 * (gradient(v, *rows(site)) + 0.4 * (v - w))
            trained.append(v)
        w = np.average(trained, axis=0, weights=weights)
    assert outcome.model is not None
    close(outcome.model["w"], w)


def test_without_the_proximal_term_it_is_federated_averaging_to_the_bit(tmp_path: Path) -> None:
    models = []
    for algorithm in ({"name": "fedprox", "mu": 0}, "fedavg"):
        folder = tmp_path / str(len(models))
        folder.mkdir()
        outcome, _ = run(folder, CODE, algorithm=algorithm, tasks=TASKS)
        assert outcome.model is not None
        models.append(np.asarray(outcome.model["w"]).tobytes())

    assert models[0] == models[1]
