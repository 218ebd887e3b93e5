"""Statistics of tables by masked sums, simulated: rows are counted, and what was cut ends the run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.unit.algorithms.test_pooled_rows import around, learner

import hanse
from hanse.errors import WorkflowError

SITES = around(0, 1)


def masked(name: str, *, most: int = 200, ring: int = 64, **plan: Any) -> Any:
    """An algorithm over one cell of three sites."""
    algorithm = {**plan.pop("algorithm"), "name": name, "aggregated_by": "secure_aggregation"}
    section = {"ring": ring, "examples": {"most": most}}
    data = {site: {"rows": columns} for site, columns in SITES.items()}
    return hanse.simulate(
        learner,
        data,
        progress=False,
        algorithm=algorithm,
        cells={"all": list(SITES)},
        cohort={"minimum": 3},
        privacy={"secure_aggregation": section},
        **plan,
    )


CONTINGENCY = {
    "rows": {"column": "ill", "categories": [0, 1]},
    "columns": {"column": "event", "categories": [0, 1]},
}


def test_the_rows_of_a_table_are_counted() -> None:
    results = masked("contingency", algorithm=CONTINGENCY).results

    assert int(results["contingency_sample"]["rows"]) == 360
    assert np.asarray(results["contingency"]["counts"]).sum() == 360


def test_more_rows_than_the_plan_says_end_the_run() -> None:
    with pytest.raises(WorkflowError, match=r"at 3 of 3 sites numbers were cut to the ranges") as refused:
        masked("contingency", algorithm=CONTINGENCY, most=100)

    assert "`examples: {most: ...}`, the most rows of a site" in str(refused.value)


def test_a_range_that_is_too_small_ends_the_run() -> None:
    algorithm = {"columns": ["t"]}

    with pytest.raises(WorkflowError, match=r"State wider ones: the `range` of its groups"):
        masked("summary", algorithm=algorithm, groups={"moments": {"range": [-1, 1]}})
    assert masked("summary", algorithm=algorithm, groups={"moments": {"range": [-1000, 1000]}}).results
