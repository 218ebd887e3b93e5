"""Goals of a run whose metrics are summed masked."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.core.run.masked_runs import SITES, MaskedDriver
from tests.unit.core.run.runs import NEXT_MODEL

from hanse.core.run.requests.commands import Commit
from hanse.errors import WorkflowError


def summed(metric: Any) -> MaskedDriver:
    """A run that keeps the best model by a metric with this range, whose first round is summed."""
    section = {
        "model": {"clip": 1.0},
        "ready_after": "0s",
        "examples": {"least": 100, "most": 100},
        "metrics": {"auc": metric},
    }
    discloses = {"update": "aggregate", "aggregated_by": "secure_aggregation", "metrics": ["auc"]}
    driver = MaskedDriver(
        privacy={"secure_aggregation": section},
        tasks={"train": {"discloses": discloses}},
        keep_best={"metric": "auc"},
    )
    driver.complete(SITES)
    return driver


def test_the_best_model_is_kept_by_a_mean_that_was_summed_masked() -> None:
    driver = summed([0, 1])
    driver.do(Commit(1, NEXT_MODEL, metrics={"auc": 0.8}))
    assert driver.state.best is not None
    assert driver.state.best.value == 0.8


def test_a_round_in_which_no_site_gave_an_optional_metric_is_not_compared() -> None:
    driver = summed({"range": [0, 1], "optional": True})
    driver.do(Commit(1, NEXT_MODEL))
    assert (driver.state.committed, driver.state.best) == (1, None)


def test_a_metric_that_every_site_has_to_give_has_to_be_committed() -> None:
    with pytest.raises(WorkflowError, match="without the metric 'auc'"):
        summed([0, 1]).do(Commit(1, NEXT_MODEL))
