"""Summary statistics, beside NumPy and pandas on the pooled rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.tables import heart, pooled, total

from hanse.algorithms.statistics.summary import SummarySettings, local, solve
from hanse.algorithms.table import Table

COLUMNS = ("age", "chol", "oldpeak")


def settings(**changes: Any) -> SummarySettings:
    given = {"columns": COLUMNS, "aggregated_by": "aggregator"}
    return SummarySettings.model_validate(given | changes)


def found(**changes: Any) -> Any:
    chosen = settings(**changes)
    return solve(total(heart(), lambda table: local(table, chosen)), chosen)


def frame() -> pd.DataFrame:
    return pd.DataFrame(pooled(heart()))


def test_count_mean_and_variance_are_those_of_the_pooled_rows() -> None:
    statistics, data = found(), frame()[list(COLUMNS)]

    assert statistics["count"].tolist() == [len(data)] * 3
    np.testing.assert_allclose(statistics["mean"], data.mean(), rtol=1e-12)
    np.testing.assert_allclose(statistics["variance"], data.var(), rtol=1e-10)
    np.testing.assert_allclose(statistics["sd"], data.std(), rtol=1e-10)


def test_covariance_and_correlation_are_those_of_the_pooled_rows() -> None:
    statistics, data = found(correlation=True), frame()[list(COLUMNS)]

    np.testing.assert_allclose(statistics["covariance"], data.cov(), rtol=1e-9)
    np.testing.assert_allclose(statistics["correlation"], data.corr(), rtol=1e-9)


def test_each_category_has_statistics_of_its_own() -> None:
    statistics = found(by={"column": "cp", "categories": [1, 2, 3, 4]})

    by = frame().groupby("cp")[list(COLUMNS)]
    np.testing.assert_allclose(statistics["mean"], by.mean(), rtol=1e-12)
    np.testing.assert_allclose(statistics["sd"], by.std(), rtol=1e-9)
    assert statistics["count"][:, 0].tolist() == by.size().tolist()


def test_histograms_are_those_of_the_pooled_rows_with_both_ends_of_the_range() -> None:
    statistics = found(ranges={"chol": [100, 400], "age": [29, 77]}, bins=8)

    data = frame()
    for place, (name, low, high) in enumerate([("age", 29, 77), ("chol", 100, 400)]):
        counts, _ = np.histogram(data[name], 8, (low, high))
        assert statistics["histogram"][place].tolist() == counts.tolist()
        assert statistics["below"][place] == (data[name] < low).sum()
        assert statistics["above"][place] == (data[name] > high).sum()


def test_an_origin_saves_the_variance_of_large_numbers() -> None:
    values = 1e9 + np.arange(6.0)
    sites = {"a": {"t": values[:3]}, "b": {"t": values[3:]}}
    near = SummarySettings(columns=("t",), origin={"t": 1e9}, aggregated_by="aggregator")

    statistics = solve(total(sites, lambda table: local(table, near)), near)

    assert statistics["variance"].tolist() == [3.5]
    assert statistics["mean"].tolist() == [1e9 + 2.5]


def test_a_variance_of_one_row_is_not_defined() -> None:
    one = SummarySettings(columns=("t",), aggregated_by="aggregator")

    statistics = solve(local(Table({"t": [4.0]}), one)[1], one)

    assert np.isnan(statistics["variance"]).all()
    assert statistics["mean"].tolist() == [4.0]


def test_a_range_of_a_column_that_is_not_among_the_columns_is_refused() -> None:
    with pytest.raises(ValueError, match="`ranges` has a column 'weight' that `columns` lacks"):
        settings(ranges={"weight": [0, 1]})
