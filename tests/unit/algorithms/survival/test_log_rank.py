"""The log-rank test, beside lifelines on the pooled rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from lifelines.statistics import multivariate_logrank_test
from tests.tables import brca, pooled, total

from hanse.algorithms.survival.log_rank import LogRankSettings, local, solve
from hanse.errors import WorkflowError


def settings(by: dict[str, Any]) -> LogRankSettings:
    return LogRankSettings.model_validate(
        {"time": "days", "event": "event", "horizon": 8700, "by": by, "aggregated_by": "aggregator"}
    )


def ages() -> dict[str, Any]:
    """The same patients, in three groups of age."""
    return {
        site: {**columns, "decade": np.digitize(columns["age"], [50, 65])} for site, columns in brca().items()
    }


@pytest.mark.parametrize(
    "by", [{"column": "t2", "categories": [0, 1]}, {"column": "decade", "categories": [0, 1, 2]}]
)
def test_the_test_is_that_of_the_pooled_rows(by: dict[str, Any]) -> None:
    chosen = settings(by)

    ours = solve(total(ages(), lambda table: local(table, chosen))["survival"])

    data = pooled(ages())
    theirs = multivariate_logrank_test(data["days"], data[by["column"]], data["event"])
    assert ours["degrees_of_freedom"] == len(by["categories"]) - 1
    np.testing.assert_allclose(ours["chi_square"], theirs.test_statistic, rtol=1e-8)
    np.testing.assert_allclose(ours["p_value"], theirs.p_value, rtol=1e-7)


def test_one_category_is_refused() -> None:
    with pytest.raises(ValueError, match="the categories that are compared"):
        settings({"column": "t2", "categories": [0]})


def test_a_table_without_events_is_refused() -> None:
    chosen = settings({"column": "t2", "categories": [0, 1]})
    sites = {"a": {"days": np.array([5.0, 6.0]), "event": np.zeros(2), "t2": np.array([0, 1])}}

    with pytest.raises(WorkflowError, match="needs events"):
        solve(total(sites, lambda table: local(table, chosen))["survival"])


def test_a_table_whose_rows_all_have_their_event_at_one_time_is_refused() -> None:
    chosen = settings({"column": "t2", "categories": [0, 1]})
    sites = {"a": {"days": np.array([5.0, 5.0, 5.0]), "event": np.ones(3), "t2": np.array([0, 1, 1])}}

    with pytest.raises(WorkflowError, match="all rows have theirs at one time"):
        solve(total(sites, lambda table: local(table, chosen))["survival"])
