"""Cross-site evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.algorithms.runs import (
    AGGREGATE,
    INDIVIDUAL,
    SITES,
    close,
    descended,
    examples,
    loss,
    rows,
    run,
)

from hanse.core.plan.plan import Plan

CODE = "\ndef learner(site): return Linear(site.name)\n"
TASKS: dict[str, Any] = {
    "train": {"epochs": 30, "lr": 0.05, "discloses": INDIVIDUAL},
    "evaluate": {"discloses": {"metrics": ["loss"]}},
}


def test_each_model_is_measured_at_every_site(tmp_path: Path) -> None:
    outcome, _ = run(tmp_path, CODE, algorithm={"name": "cross_site", "sites": 4}, rounds=1, tasks=TASKS)

    models = [descended(np.zeros(3), site, 0.05, 30) for site in SITES]
    models.append(np.average(models, axis=0, weights=[examples(site) for site in SITES]))
    expected = [[loss(model, *rows(site)) for site in SITES] for model in models]
    result = outcome.results["cross_site"]
    assert isinstance(result, dict)
    close(result["loss"], expected)


def test_a_site_that_fails_to_measure_leaves_its_place_empty(tmp_path: Path) -> None:
    code = CODE + "\nLinear.evaluate_all = Linear.evaluate\n"
    failing = """
def evaluate(self, parameters, task):
    if len(self.y) == 17:  # those of site b
        raise ValueError("no")
    return self.evaluate_all(parameters, task)

Linear.evaluate = evaluate
"""

    outcome, _ = run(
        tmp_path,
        code + failing,
        algorithm={"name": "cross_site", "sites": 4},
        rounds=1,
        tasks={**TASKS, "evaluate": {"retries": 0, "discloses": {"metrics": ["loss"]}}},
        cohort={"quorum": 0.5},
    )

    result = outcome.results["cross_site"]
    assert isinstance(result, dict)
    assert np.isnan(result["loss"]).all(axis=0).tolist() == [False, True, False, False]
    assert np.isfinite(result["loss"][:, [0, 2, 3]]).all()


def test_a_plan_that_discloses_sums_only_is_refused() -> None:
    with pytest.raises(
        ValueError, match="workflow cross_site needs `train` to disclose an update: `individual`"
    ):
        Plan.model_validate(
            {
                "name": "trial",
                "code": ["sites.py"],
                "learner": "sites:learner",
                "workflow": "cross_site",
                "tasks": {**TASKS, "train": {"discloses": AGGREGATE}},
            }
        )
