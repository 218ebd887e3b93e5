"""Quantiles by refined histograms, within their bound of NumPy's on the pooled rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.tables import heart, pooled, total

from hanse.algorithms.statistics.quantiles import (
    QuantileSettings,
    first_intervals,
    local,
    refined,
    results,
)
from hanse.errors import WorkflowError

RANGES = {"oldpeak": (-5.0, 10.0), "chol": (0.0, 700.0), "age": (0.0, 120.0)}
QUANTILES = (0.1, 0.25, 0.5, 0.9, 1.0)


def settings(**changes: Any) -> QuantileSettings:
    given = {"ranges": RANGES, "quantiles": QUANTILES, "aggregated_by": "aggregator"}
    return QuantileSettings.model_validate(given | changes)


def located(chosen: QuantileSettings, refinements: int) -> Any:
    intervals = first_intervals(chosen)
    for _ in range(refinements):
        sums = total(heart(), lambda table, at=intervals: local(table, chosen, at))
        intervals = refined(sums["located"], chosen, intervals)
    return results(intervals, chosen)


@pytest.mark.parametrize("refinements", [1, 2, 5])
def test_quantiles_are_within_the_bound_of_those_of_the_pooled_rows(refinements: int) -> None:
    found, data = located(settings(bins=32), refinements), pooled(heart())

    for place, name in enumerate(sorted(RANGES)):
        expected = np.quantile(data[name], QUANTILES, method="inverted_cdf")
        assert (np.abs(found["value"][place] - expected) <= found["bound"][place]).all()
        width = RANGES[name][1] - RANGES[name][0]
        np.testing.assert_allclose(found["bound"][place], width / 32**refinements / 2, rtol=1e-6)


def test_each_category_has_quantiles_of_its_own() -> None:
    by = {"column": "sex", "categories": [0, 1]}

    found, data = located(settings(bins=32, by=by), 4), pooled(heart())

    for category in (0, 1):
        for place, name in enumerate(sorted(RANGES)):
            rows = data[name][data["sex"] == category]
            expected = np.quantile(rows, QUANTILES, method="inverted_cdf")
            assert (
                np.abs(found["value"][category, place] - expected) <= found["bound"][category, place]
            ).all()


def test_each_column_is_of_the_rows_that_have_its_value() -> None:
    data = {"t": np.array([1.0, np.nan, 3.0, 8.0]), "u": np.array([1.0, 2.0, np.nan, 3.0])}
    chosen = settings(ranges={"t": (0, 10), "u": (0, 10)}, quantiles=[0.5, 1.0], missing="leave_out")

    at = first_intervals(chosen)
    intervals = refined(total({"a": data}, lambda table: local(table, chosen, at))["located"], chosen, at)

    found = results(intervals, chosen)
    assert (np.abs(found["value"] - [[3, 8], [2, 3]]) <= found["bound"]).all()


def test_a_value_at_the_lower_end_of_the_range_is_found() -> None:
    # A serum cholesterol of 0 stands for one that was not measured; a tenth of the patients and more have it.
    found = located(settings(bins=32), 6)

    assert abs(found["value"][1][0]) <= found["bound"][1][0] < 1e-6


def test_a_quantile_outside_of_the_range_is_refused() -> None:
    chosen = settings(ranges={"age": (0, 40)}, quantiles=[0.9])

    with pytest.raises(WorkflowError, match=r"the quantile 0\.9 of 'age' is outside its range"):
        located(chosen, 1)


def test_no_rows_are_refused() -> None:
    chosen = settings()
    empty = {"count": np.zeros((1, 3)), "below": np.zeros((1, 3, 5)), "inside": np.zeros((1, 3, 5, 64))}

    with pytest.raises(WorkflowError, match="no row of any site has a value in the column 'age'"):
        refined(empty, chosen, first_intervals(chosen))
