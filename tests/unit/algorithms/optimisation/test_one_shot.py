"""One-shot averaging, beside the formula of its paper."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tests.unit.algorithms.runs import AGGREGATE, SITES, close, descended, examples, run


def test_the_model_is_the_mean_of_the_models_that_sites_trained_to_the_end(tmp_path: Path) -> None:
    tasks = {"train": {"epochs": 200, "lr": 0.05, "discloses": AGGREGATE}}

    outcome, _ = run(
        tmp_path,
        "\ndef learner(site): return Linear(site.name)\n",
        algorithm="one_shot",
        rounds=1,
        tasks=tasks,
    )

    models = [descended(np.zeros(3), site, 0.05, 200) for site in SITES]
    assert outcome.model is not None
    close(outcome.model["w"], np.average(models, axis=0, weights=[examples(site) for site in SITES]))


def test_averaging_is_once(tmp_path: Path) -> None:
    tasks = {"train": {"epochs": 1, "lr": 0.05, "discloses": AGGREGATE}}

    outcome, _ = run(
        tmp_path,
        "\ndef learner(site): return Linear(site.name)\n",
        algorithm="one_shot",
        rounds=None,
        tasks=tasks,
    )

    assert outcome.run.committed == 1
